"""Strawberry's own subscriptions over server-sent events, as its documentation sets them up: stock_server.py."""

import json
import os
import sys

from tests.benchmarks.peers.child import ChildPeer, free_port
from tests.benchmarks.wire import event
from tests.support.server import REPOSITORY


class Stock(ChildPeer):
    """One uvicorn process (uvloop, httptools), a queue for each subscriber, the selection executed for each."""

    name = "Strawberry, stock SSE"
    most = 1_000

    async def start(self, core: int | None) -> None:
        """Start it."""
        self.port = free_port()
        command = [sys.executable, "-m", "tests.benchmarks.peers.stock_server", str(self.port)]
        await self.spawn(command, core, {**os.environ, "PYTHONPATH": str(REPOSITORY)})

    async def publish(self, first: int, count: int) -> None:
        """All in one POST."""
        body = json.dumps([event(sequence) for sequence in range(first, first + count)]).encode()
        await self.post("/publish", [body])
