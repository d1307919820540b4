"""One child process: started so that it neither outlives us nor dies of our Ctrl-C, and stopped for certain."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

_PR_SET_PDEATHSIG = 1
STOP_WITHIN = timedelta(seconds=10)
START_WITHIN = timedelta(seconds=30)


class StartFailed(RuntimeError):
    """A server did not come up; the message quotes the end of its log."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user a child runs as; None means ours."""

    uid: int
    gid: int


def _before_exec(stop_signal: signal.Signals) -> Callable[[], None] | None:
    """What the child does between fork and exec: ask the kernel for `stop_signal` when its parent dies."""
    if not sys.platform.startswith("linux"):
        return None  # a leftover is then found and ended by the next start
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, stop_signal, 0, 0, 0)
        if os.getppid() != parent:  # it died before the request was heard
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


class Child:
    """A running server process. `url` is what clients connect to; leave the `with` block to stop it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_path: Path,
        stop_signal: signal.Signals,
        url: str,
        sockets: Path,
        account: Account | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start it. Raises RuntimeError outside the main thread.

        The kernel sends the parent-death signal when the *thread* that forked ends, not the process: started from a
        worker thread, the server would stop a second later.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError(
                "start embedded servers from the main thread: they end with the thread that started them"
            )
        self.url = url
        self.log_path = log_path
        self.sockets = sockets
        self._stop_signal = stop_signal
        self._binary = command[0]
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binaries, found by binaries.py
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=dict(environment or {}),
                start_new_session=True,  # Ctrl-C is for us; we stop it when nobody needs it any more
                preexec_fn=_before_exec(stop_signal),  # noqa: PLW1509 - main thread only, and the call is async-safe
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def wait_until_ready(self, ready: Callable[[], bool]) -> None:
        """Return when `ready` does. Raises StartFailed when the process ends first, or after 30 s; it is gone then."""
        deadline = time.monotonic() + START_WITHIN.total_seconds()
        while not ready():
            if not self.alive or time.monotonic() > deadline:
                self.kill()
                tail = "\n".join(self.log_path.read_text(errors="replace").splitlines()[-15:])
                raise StartFailed(f"{self._binary} did not start; the end of {self.log_path}:\n{tail}")
            time.sleep(0.01)

    def stop(self, *, within: timedelta = STOP_WITHIN) -> int:
        """Stop it gently, after `within` by force; return its exit code (0 for a gentle end)."""
        code = self.halt(within=within)
        self._remove_sockets()
        return code

    def halt(self, *, within: timedelta = STOP_WITHIN) -> int:
        """`stop` that leaves the sockets' private directory, so that its successor has the same URL."""
        if self.alive:
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(within.total_seconds())
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._process.kill()
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, such as SIGSTOP."""
        self._process.send_signal(number)

    def _remove_sockets(self) -> None:
        for path in self.sockets.glob("*"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.sockets.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def socket_directory(remembered_in: Path, account: Account | None) -> Path:
    """A new private directory for a socket, short enough for the 107 bytes that a socket's path may have.

    Its name is kept in `remembered_in`, so that the directory of a server that was killed is removed by the next one.
    """
    if remembered_in.exists():
        left = Path(remembered_in.read_text())
        if left.parent == Path("/tmp") and left.name.startswith("divisionbell-"):  # noqa: S108 - compared, not used
            for path in left.glob("*"):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                left.rmdir()
    made = Path(tempfile.mkdtemp(prefix="divisionbell-", dir="/tmp"))
    if account:
        os.chown(made, account.uid, account.gid)
    remembered_in.write_text(str(made))
    return made


def end_leftover(pid: int, name: str, stop_signal: signal.Signals) -> None:
    """Stop the process `pid` if it runs and its command line holds `name`, and wait until it is gone.

    A server whose parent was killed may still be shutting down; starting beside it would fail on its lock file.
    """
    deadline = time.monotonic() + STOP_WITHIN.total_seconds()
    number = stop_signal
    while _is_running(pid, name):
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        time.sleep(0.05)


def _is_running(pid: int, name: str) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        if sys.platform.startswith("linux"):
            return False
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return True
        return False
    return name.encode() in command and state != "Z"
