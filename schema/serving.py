"""A uvicorn server that ends its streams before it waits for them, and whose orderly end by a signal is a success."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from schema.wire import EXTENSION

BACKLOG = 2_048
"""Connections that may wait to be accepted; the kernel's net.core.somaxconn is the other limit."""

TAKES_NOTHING = timedelta(seconds=30)


class Detached(Exception):
    """Why uvicorn has lost a connection that is still open."""


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, from which a response that has begun can be taken over: see `schema.wire.Wire`."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A peer that acknowledges nothing for TAKES_NOTHING is gone, however long its machine keeps silent."""
        super().connection_made(transport)
        peer = transport.get_extra_info("socket")
        if peer is not None and peer.family != socket.AF_UNIX and hasattr(socket, "TCP_USER_TIMEOUT"):
            milliseconds = TAKES_NOTHING // timedelta(milliseconds=1)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def on_message_begin(self) -> None:
        """Called by the parser for each request of the connection."""
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]  # an object of ours

    def detach(self) -> tuple[asyncio.Transport, bool]:
        """Give the transport away: uvicorn forgets the connection as if its client had left."""
        chunked = bool(self.cycle.chunked_encoding)
        self._unset_keepalive_if_required()
        self.flow.resume_reading()  # or nobody would notice that the client leaves
        self.connection_lost(Detached())
        return self.transport, chunked


class Server(uvicorn.Server):
    """uvicorn waits for every connection before it tells the application to stop, and a stream ends for no one.

    So `drain` runs first, once nothing new is accepted; it must return by itself. Connections that then still have
    something unsent, or a request in progress, get `linger` before they are cut. A second Ctrl-C cuts everything.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Callable[[], Awaitable[None]],
        linger: timedelta = timedelta(seconds=2),
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._linger = linger

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal. uvicorn would raise it again after an orderly shutdown, and so exit non-zero."""
        with self.capture_signals():
            await self._serve(sockets)
            if not self.force_exit:
                self._captured_signals.clear()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, drain, then do what uvicorn does, but never for longer than `linger`."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await self._drain_unless_forced()
        loop = asyncio.get_running_loop()
        cut = loop.call_later(self._linger.total_seconds(), self._cut_connections)
        try:
            await super().shutdown(sockets)
        finally:
            cut.cancel()

    async def _drain_unless_forced(self) -> None:
        drain = asyncio.ensure_future(self._drain())
        while not self.force_exit:
            done, _ = await asyncio.wait({drain}, timeout=0.1)
            if done:
                await drain
                return
        drain.cancel()
        await asyncio.wait({drain})

    def _cut_connections(self) -> None:
        """Close without flushing: a client that reads nothing would keep its connection, and us, for ever."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in self.server_state.tasks:
            task.cancel()


def settle_garbage_collector() -> None:
    """Let the collector leave alone what start-up made, and look at the rest less often.

    Its defaults (a full collection whenever a quarter has been added) walk over every open stream again and again while
    thousands open; full collections were the 300 ms outliers of a fan-out. What a stream leaves behind reference counts
    free: the collector is needed for cycles only, and those come with exceptions.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def run_server(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    drain: Callable[[], Awaitable[None]],
    drain_within: timedelta,
    stopping: asyncio.Event,
    started: Callable[[str], None],
    listener: socket.socket | None = None,
) -> int:
    """Serve until SIGTERM, SIGINT or `stopping`; return the exit status, 0 for an orderly end.

    `started` is told the address when the first request would be answered. `port` 0 takes a free one. Raises OSError,
    before anything else is done, if it cannot listen there. `listener`: a bound socket to take instead.
    """
    if listener is None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    config = uvicorn.Config(
        app,
        http=Connection,
        backlog=BACKLOG,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=False,
    )
    server = Server(config, drain=drain, linger=drain_within / 5)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_serve(server, listener, stopping=stopping, started=started))
    return 0 if server.started else 3


async def _serve(
    server: Server, listener: socket.socket, *, stopping: asyncio.Event, started: Callable[[str], None]
) -> None:
    serving = asyncio.create_task(server.serve([listener]), name="serve")
    while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.02)
    if not serving.done():
        settle_garbage_collector()
        started(address(listener))
    stop = asyncio.create_task(stopping.wait(), name="stop")
    await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    server.should_exit = True
    await serving


def address(listener: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
