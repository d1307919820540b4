"""A uvicorn server that ends its streams before it waits for them, and whose orderly end by a signal is a success."""

import asyncio
import gc
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import uvicorn
from starlette.types import ASGIApp

from schema.connection import USUAL, Bounds, bounded, forget_the_silent, sweep

BACKLOG = 16_384
"""Connections that may wait to be accepted; the kernel's net.core.somaxconn, 4,096 as it comes, is the other limit.

Of a crowd that comes back at once, who finds the queue full is not refused: the SYN is dropped, and the client's kernel
tries again after 1, 3, 7, 15 seconds. A loop with thousands of streams to open is a second in coming round to accept.
"""


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

    async def on_tick(self, counter: int) -> bool:
        """Uvicorn calls this ten times a second."""
        if counter % 10 == 0:
            sweep(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

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
    bounds: Bounds = USUAL,
    proxies: Sequence[str] = (),
) -> int:
    """Serve until SIGTERM, SIGINT or `stopping`; return the exit status, 0 for an orderly end.

    `started` is told the address when the first request would be answered. `port` 0 takes a free one. Raises OSError,
    before anything else is done, if it cannot listen there. `listener`: a bound socket to take instead. `proxies`: the
    addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
    """
    if listener is None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    forget_the_silent(listener)
    config = uvicorn.Config(
        app,
        http=bounded(bounds),
        backlog=BACKLOG,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
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
