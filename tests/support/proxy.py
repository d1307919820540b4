"""A TCP port that leads to a server which may come and go, and whose connections a test can cut."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from telemetry.tasks import end

CHUNK = 64 * 1024
NARROW = 4_096


class Proxy:
    """Forwards bytes both ways between `port` on 127.0.0.1 and wherever `target` says: a socket's path, or a port."""

    def __init__(self, target: Callable[[], Path | int], *, narrow: bool) -> None:
        self._target = target
        self._narrow = narrow
        self.delay = 0.0
        """Seconds that every chunk takes longer, in both directions."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def cut(self) -> None:
        """Cut every connection, as a dead network does: no goodbye to either side."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self._narrow:
            writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW)
            writer.transport.set_write_buffer_limits(high=NARROW)
        try:
            target = self._target()
            if isinstance(target, Path):
                there = await asyncio.open_unix_connection(target)
            else:
                there = await self._connect(target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(there[1])
        for source, sink in ((reader, there[1]), (there[0], writer)):
            task = asyncio.create_task(self._pump(source, sink), name="proxy-pump")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made = socket.socket()
        made.setblocking(False)
        if self._narrow:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, NARROW)
        try:
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        except OSError:
            made.close()
            raise
        return await asyncio.open_connection(sock=made, limit=NARROW if self._narrow else CHUNK)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                await asyncio.sleep(self.delay)
                sink.write(data)
                await sink.drain()
        self._writers.discard(sink)
        sink.close()


@asynccontextmanager
async def proxied(target: Callable[[], Path | int], *, narrow: bool = False) -> AsyncIterator[Proxy]:
    """A proxy while the block runs; a `narrow` one buffers next to nothing, so that what blocks one end blocks both."""
    proxy = Proxy(target, narrow=narrow)
    server = await asyncio.start_server(proxy._connected, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await end(proxy._tasks)
