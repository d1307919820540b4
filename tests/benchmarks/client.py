"""The load client of load/client.c, driven by lines, its answers merged."""

import asyncio
import contextlib
import json
import struct
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.building import build, on_core
from tests.benchmarks.figures import Arrival, Latencies, Opened, Replayed, Report

MOST_CONNECTIONS = 19_000
"""Of one client process: 20,000 files are what one may open on many machines."""


class LoadProcess:
    """One client process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.arrivals: dict[int, Arrival] = {}
        self.arrived = asyncio.Event()
        self._reader = asyncio.create_task(self._read(), name="load client")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            answer = json.loads(raw)
            if answer["type"] == "arrived":
                self.arrivals[answer["sequence"]] = Arrival(answer["first"] / 1e6, answer["last"] / 1e6)
                self.arrived.set()
            else:
                self._answers.put_nowait(answer)
        self._answers.put_nowait({"type": "ended"})

    async def ask(self, command: str, kind: str, within: float) -> dict[str, Any]:
        """Send a command; its answer. Raises RuntimeError when the client has ended, TimeoutError."""
        self.tell(command)
        async with asyncio.timeout(within):
            answer = await self._answers.get()
        if answer["type"] != kind:
            raise RuntimeError(f"the load client answered {answer['type']} to {command}")
        return answer

    def tell(self, command: str) -> None:
        """Send a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())

    async def stop(self) -> None:
        """End it, and with it its connections."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader


class Load:
    """Several client processes that look like one."""

    def __init__(self, processes: Sequence[LoadProcess]) -> None:
        self._processes = processes

    async def open(self, within: float = 300) -> Opened:
        """Open every connection; return when all are open or have failed."""
        answers = await self._all("open", "opened", within)
        return Opened(
            open=sum(answer["open"] for answer in answers),
            failed=sum(answer["failed"] for answer in answers),
            refused=sum(answer["refused"] for answer in answers),
            seconds=max(answer["seconds"] for answer in answers),
            failure=next(filter(None, (answer["failure"] for answer in answers)), ""),
        )

    async def allow(self, in_flight: int) -> None:
        """From now on each process has so many opens under way at most."""
        await self._all(f"allow {in_flight}", "allowed", 30)

    async def expect(self, first: int, count: int, *, strict: bool = True) -> None:
        """Start counting at zero, for sequence numbers from `first`. Not `strict`: some are meant for others."""
        for process in self._processes:
            process.arrivals.clear()
        await self._all(f"expect {first} {count} {int(strict)}", "expecting", 30)

    async def arrival(self, sequence: int, within: float = 60) -> Arrival:
        """Wait until the event has reached every connection. Raises TimeoutError."""
        async with asyncio.timeout(within):
            for process in self._processes:
                while sequence not in process.arrivals:
                    process.arrived.clear()
                    await process.arrived.wait()
        found = [process.arrivals[sequence] for process in self._processes]
        return Arrival(min(one.first for one in found), max(one.last for one in found))

    async def report(self) -> Report:
        """What was seen so far."""
        answers = await self._all("report", "report", 30)
        total: dict[str, Any] = {
            name: sum(answer[name] for answer in answers)
            for name in ("connections", "open", "lost", "reopened", "deliveries", "missing", "duplicates")
        }
        total |= {name: sum(answer[name] for answer in answers) for name in ("incomplete", "bytes", "cpu")}
        return Report(
            **total,
            first=min((answer["first"] for answer in answers if answer["first"]), default=0) / 1e6,
            last=max(answer["last"] for answer in answers) / 1e6,
            failure=next(filter(None, (answer["failure"] for answer in answers)), ""),
            latencies=Latencies.merged(answer["histogram"] for answer in answers),
        )

    async def opens(self, since: float) -> tuple[int, Latencies]:
        """How many are open, and how long after `since` (seconds since 1970) each has opened."""
        return await self._since("opens", since)

    async def resumed(self, since: float) -> tuple[int, Latencies]:
        """How many of those that were cut have seen an event again; how long after their own connect, or `since`."""
        return await self._since("resumed", since)

    async def jitter(self, every: float, away: float) -> None:
        """From now on each connection is cut every `every` seconds, evenly spread, for `away`; 0 ends that."""
        await self._all(f"jitter {int(every * 1e3)} {int(away * 1e3)}", "jitter", 30)

    async def replayed(self) -> Replayed:
        """How those that `jitter` has cut got what they had missed."""
        answers = await self._all("replayed", "replayed", 30)
        return Replayed(
            **{name: sum(answer[name] for answer in answers) for name in ("cuts", "nothing", "waiting")},
            waits=Latencies.merged(answer["histogram"] for answer in answers),
        )

    async def _since(self, what: str, since: float) -> tuple[int, Latencies]:
        answers = await self._all(f"{what} {int(since * 1e6)}", what, 30)
        return sum(answer["open"] for answer in answers), Latencies.merged(answer["histogram"] for answer in answers)

    async def _all(self, command: str, kind: str, within: float) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(process.ask(command, kind, within) for process in self._processes)))


@dataclass(frozen=True, slots=True)
class Target:
    """Where connections go, and the HTTP requests that open them, one each. `opened_by` shows in an open stream."""

    port: int
    requests: Sequence[bytes]
    opened_by: str


@asynccontextmanager
async def load(
    targets: Sequence[Target],
    *,
    core: int | None,
    in_flight: int = 64,
    per_second: int = 0,
    reconnect: bool = False,
    backoff: bool = False,
    nap: int = 0,
) -> AsyncIterator[Load]:
    """Client processes on `core`, at least one a target; nothing is open yet. All are ended when the block is left.

    `in_flight` and `per_second` (0: no limit) bound the opens of each process. An open that is refused is tried again
    every 50 ms until `Load.open` has lost its patience; with `reconnect` so is a stream that was cut, with its cursor.
    With `backoff` they come back with the product's own client's delays: full jitter, longer for each failure.
    `nap` is for clients that share cores with servers: so many microseconds pass between two looks at the sockets, so
    that a delivery does not interrupt the server for every client that it wakes.
    """
    program = build("client")
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="divisionbell-bench-")))
        processes: list[LoadProcess] = []
        for port, requests, opened_by in _shares(targets):
            path = directory / f"requests-{len(processes)}"
            _write(path, requests)
            options = {
                "in-flight": in_flight,
                "per-second": per_second,
                "first-source": 1 + len(processes) * 4 % 200,
                "retry": 1,
                "reconnect": int(reconnect),
                "backoff": int(backoff),
                "nap": nap,
            }
            with on_core(core):
                process = await asyncio.create_subprocess_exec(
                    *(str(program), "127.0.0.1", str(port), str(path), opened_by),
                    *(f"{name}={value}" for name, value in options.items()),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=1 << 20,
                )
            processes.append(LoadProcess(process))
            stack.push_async_callback(processes[-1].stop)
        yield Load(processes)


def _shares(targets: Sequence[Target]) -> Iterator[tuple[int, Sequence[bytes], str]]:
    for target in targets:
        for first in range(0, len(target.requests), MOST_CONNECTIONS):
            yield target.port, target.requests[first : first + MOST_CONNECTIONS], target.opened_by


def _write(path: Path, requests: Sequence[bytes]) -> None:
    with path.open("wb") as file:
        for request in requests:
            file.write(struct.pack("=I", len(request)) + request)


async def settled(load: Load, deliveries: int, within: float) -> Report:
    """Wait until so many deliveries are counted, or `within` seconds have passed; then the report."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within):
            while (report := await load.report()).deliveries < deliveries:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.2)
            return report
    return await load.report()
