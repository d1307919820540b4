"""A C program that only writes: it shows what the load client can take, and that no other figure is the client's."""

import asyncio
from collections.abc import Sequence

import psutil

from tests.benchmarks.building import build, on_core
from tests.benchmarks.peers.child import Peer
from tests.benchmarks.wire import data


class Blaster(Peer):
    """One `send` an event and connection, of prebuilt bytes."""

    name = "raw writer (the load client's ceiling)"
    opened_by = ": hi"

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, core: int | None) -> None:
        """It takes a port and says which."""
        before, _, rest = data(0).decode().partition("@@")
        frame = f"{before}@@{rest.partition('@')[2]}"
        with on_core(core):
            self._process = await asyncio.create_subprocess_exec(
                str(build("blaster")), frame, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())

    async def publish(self, first: int, count: int) -> None:
        """One line of input."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{first} {count}\n".encode())
        await self._process.stdin.drain()

    async def stop(self) -> None:
        """SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def processes(self) -> Sequence[psutil.Process]:
        """The program."""
        return [psutil.Process(self._process.pid)] if self._process else []
