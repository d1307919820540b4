"""What the servers that are measured have in common."""

import asyncio
import contextlib
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import psutil

from tests.benchmarks.building import on_core
from tests.benchmarks.client import Target
from tests.benchmarks.wire import HELLO, subscribe

ANSWERS_WITHIN = 20.0


class Peer(ABC):
    """A server: `start` on one core and a port of 127.0.0.1, `publish`, `stop`."""

    name: str
    most = 1_000_000
    """Subscribers beyond which it is not measured."""
    opened_by = HELLO
    port = 0

    @abstractmethod
    async def start(self, core: int | None) -> None:
        """Start it; return when it answers. Raises PeerMissing."""

    @abstractmethod
    async def publish(self, first: int, count: int) -> None:
        """Publish `count` activities at once, numbered from `first`."""

    @abstractmethod
    async def stop(self) -> None:
        """End it, at once."""

    @abstractmethod
    def processes(self) -> Sequence[psutil.Process]:
        """Those that serve."""

    def requests(self, count: int) -> list[bytes]:
        """The requests of `count` subscribers."""
        return [subscribe(subscriber=f"device-{k}") for k in range(count)]

    def target(self, count: int) -> Target:
        """Where `count` subscribers go."""
        return Target(self.port, self.requests(count), self.opened_by)

    def resident(self) -> int:
        """Bytes of memory that its processes hold."""
        return sum(process.memory_info().rss for process in self.processes())

    def cpu(self) -> float:
        """Seconds of CPU that its processes have used."""
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    @asynccontextmanager
    async def running(self, core: int | None) -> AsyncIterator[Self]:
        """Started for the length of a block."""
        try:
            await self.start(core)
            yield self
        finally:
            await self.stop()


class ChildPeer(Peer):
    """A server that is one child process and gets its activities by HTTP."""

    _process: asyncio.subprocess.Process | None = None

    async def spawn(
        self, command: Sequence[str | Path], core: int | None, environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it on `self.port`, and wait until something listens there."""
        with on_core(core):
            self._process = await asyncio.create_subprocess_exec(
                *map(str, command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                env=environment,
            )
        async with asyncio.timeout(ANSWERS_WITHIN):
            while not await _listens(self.port):
                if self._process.returncode is not None:
                    raise RuntimeError(f"{self.name} ended with status {self._process.returncode}")
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL for who does not heed it."""
        if self._process is None:
            return
        children = self.processes()
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(3):
                await self._process.wait()
        except TimeoutError:
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._process = None

    def processes(self) -> Sequence[psutil.Process]:
        """The process."""
        return [psutil.Process(self._process.pid)] if self._process and self._process.returncode is None else []

    async def post(self, path: str, bodies: Sequence[bytes], headers: str = "") -> None:
        """POST each body, pipelined on one connection; return when all are answered by a 2xx."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for body in bodies:
                head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
            for _ in bodies:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                if head.split()[1][0] != "2":
                    raise RuntimeError(f"{self.name} answered {head.splitlines()[0]}")
                if "content-length: " in head:
                    await reader.readexactly(int(head.split("content-length: ")[1].split()[0]))
        finally:
            writer.close()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
