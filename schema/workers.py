"""Several server processes on one port: started together, replaced when they die, drained together.

uvicorn's `Process` starts, asks and ends a worker. Its `Multiprocess` makes workers of its own kind only, says neither
when all are ready nor how it ended, starts again without a pause, and hears nothing while it waits (ADR 0012).
"""

import contextlib
import logging
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import wait
from pathlib import Path

from uvicorn.config import STARTUP_FAILURE

from schema.serving import address
from schema.worker import Place, Serve, Worker, bound
from telemetry.metrics import WorkerMetrics
from telemetry.shared import SharedMetrics, forget_gauges

log = logging.getLogger("divisionbell.schema")

LOOK_EVERY = 1.0
HUNG_AFTER = timedelta(seconds=15)
"""Without an answer. A thread answers, so a busy event loop does not look hung; a frozen process does."""
START_WITHIN = timedelta(seconds=60)
"""Until the first answer: a machine that is busy takes its time to import everything."""
STEADY_AFTER = 60.0
LONGEST_PAUSE = 30.0
LINGER = timedelta(seconds=10)
"""Beyond the time to drain: what a worker writes down at its end has time-outs of 8 s together."""
PARENT = "parent"


@dataclass(slots=True)
class Post:
    """Where one worker after another serves. `streak`: how many died here, none of them later than STEADY_AFTER."""

    place: Place
    worker: Worker | None = None
    began: float = 0
    due: float = 0
    streak: int = 0


def pause_after(streak: int) -> float:
    """Seconds until the last of `streak` workers that died in a row is replaced: none for the first."""
    return min(LONGEST_PAUSE, 2.0 ** min(streak - 2, 10)) if streak > 1 else 0.0


class Supervisor:
    """Keeps a worker at every post until a signal comes; then all drain, and a second signal cuts."""

    def __init__(
        self,
        serve: Serve,
        places: Sequence[Place],
        *,
        metrics: WorkerMetrics,
        drain_within: timedelta,
        hung_after: timedelta,
        started: Callable[[], None],
    ) -> None:
        """`started` is called once, when all workers serve."""
        self._serve = serve
        self._posts = [Post(place) for place in places]
        self._metrics = metrics
        self._shared = SharedMetrics(metrics.registry, directory=places[0].metrics, name=PARENT)
        self._drain_within = drain_within
        self._hung_after = hung_after
        self._started = started
        self._told = False
        self._status: int | None = None
        self._signals: list[int] = []

    def run(self) -> int:
        """Supervise; return the exit status: 0 when all drained after a signal, 128 and its number if one cut them."""
        with self._hearing() as woken:
            try:
                while not self._signals and self._status is None:
                    for post in self._posts:
                        self._look_after(post, time.monotonic())
                    self._tell()
                    self._sleep(woken, LOOK_EVERY if self._told else LOOK_EVERY / 20)
                status = self._end(woken)
            finally:
                for worker in self._living():
                    worker.kill()
                    worker.join()
                self._shared.close()
        return self._status or status

    def _look_after(self, post: Post, now: float) -> None:
        if post.worker is None:
            if now >= post.due:
                post.began = now
                post.worker = Worker(self._serve, post.place)
                post.worker.start()
        elif post.worker.exitcode is not None:
            self._bury(post, post.worker, now)
        else:
            with contextlib.suppress(OSError, EOFError):  # it dies: its exit status is there in a moment
                patience = self._hung_after if post.worker.answered else START_WITHIN
                if post.worker.ask(now) > patience.total_seconds():
                    log.error("worker does not answer", extra=_about(post.worker))
                    self._bury(post, post.worker, now, reason="hung")

    def _bury(self, post: Post, worker: Worker, now: float, *, reason: str | None = None) -> None:
        worker.kill()  # closes its pipe too
        worker.join()
        status = worker.exitcode or 0
        post.worker = None
        forget_gauges(post.place.metrics, str(post.place.number))
        others_serve = any(other.worker and other.worker.ready for other in self._posts)
        if not worker.ready and not (self._told and others_serve):
            log.error("worker failed to start, stopping", extra=_about(worker))
            self._status = max(status, 0) or STARTUP_FAILURE
            return
        post.streak = 1 if now - post.began >= STEADY_AFTER else post.streak + 1
        seconds = pause_after(post.streak)
        post.due = now + seconds
        log.error("worker ended, replacing it", extra={**_about(worker), "in_seconds": seconds})
        self._metrics.workers_replaced_total.labels(reason or _reason(status)).inc()
        self._shared.write()

    def _tell(self) -> None:
        serving = [post for post in self._posts if post.worker and post.worker.ready]
        self._metrics.workers_active.set(len(serving))
        self._shared.write()
        if not self._told and len(serving) == len(self._posts):
            self._told = True
            self._started()

    def _end(self, woken: socket.socket) -> int:
        """Ask every worker to drain and wait for it; cut at the next signal, kill after the time there is."""
        workers = self._living()
        for worker in workers:
            worker.terminate()
        heard = len(self._signals)
        status = 0
        deadline = time.monotonic() + (self._drain_within + LINGER).total_seconds()
        while living := [worker for worker in workers if worker.exitcode is None]:
            if len(self._signals) > heard:
                heard = len(self._signals)
                status = 128 + self._signals[-1]
                for worker in living:
                    worker.interrupt()
            if time.monotonic() > deadline:
                log.error("workers do not end, killing them", extra={"workers": len(living)})
                return 1
            self._sleep(woken, LOOK_EVERY)
        # A worker that was still starting knows no better than to die of the signal.
        return status or int(any(worker.exitcode not in (0, -signal.SIGTERM) for worker in workers))

    def _living(self) -> list[Worker]:
        return [post.worker for post in self._posts if post.worker and post.worker.exitcode is None]

    def _sleep(self, woken: socket.socket, seconds: float) -> None:
        """Until a worker ends, a signal comes, or so many seconds are over."""
        ends = [worker.process.sentinel for worker in self._living()]
        if woken in wait([*ends, woken], seconds):
            woken.recv(4_096)

    @contextlib.contextmanager
    def _hearing(self) -> Iterator[socket.socket]:
        """SIGTERM and SIGINT are remembered and wake the socket, so that none falls between a look and a wait."""
        woken, wake = socket.socketpair()
        with woken, wake:
            wake.setblocking(False)
            before = {
                number: signal.signal(number, lambda heard, _: self._signals.append(heard))
                for number in (signal.SIGTERM, signal.SIGINT)
            }
            wakeup = signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
            try:
                yield woken
            finally:
                signal.set_wakeup_fd(wakeup)
                for number, handler in before.items():
                    signal.signal(number, handler)


def _about(worker: Worker) -> dict[str, object]:
    return {"number": worker.place.number, "pid": worker.pid, "status": worker.exitcode}


def _reason(status: int) -> str:
    return "killed" if status < 0 else "failed" if status else "ended"


def run_workers(
    serve: Serve,
    *,
    count: int,
    host: str,
    port: int,
    drain_within: timedelta,
    hung_after: timedelta = HUNG_AFTER,
    started: Callable[[str], None],
) -> int:
    """Serve in `count` processes until SIGTERM or SIGINT; return the exit status.

    `started` is told the address when all of them serve. Raises OSError, before anything else, if the port is taken.
    """
    with _reserve(host, port) as reserved, _metrics_directory() as directory:
        port = reserved.getsockname()[1]
        places = [Place(number, host, port, Path(directory)) for number in range(count)]
        return Supervisor(
            serve,
            places,
            metrics=WorkerMetrics(),
            drain_within=drain_within,
            hung_after=hung_after,
            started=lambda: started(address(reserved)),
        ).run()


def _metrics_directory() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="divisionbell-metrics-", ignore_cleanup_errors=True)


def _reserve(host: str, port: int) -> socket.socket:
    """Hold the port, for as long as the workers may come and go, without ever listening: it gets no connection."""
    if port:
        # Without SO_REUSEPORT, which would let us in beside another server of the same user.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        socket.create_server((host, port), family=family).close()
    return bound(host, port)
