"""Our own server: durable positions, metrics, PostgreSQL and Redis included."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import asyncpg
import psutil

from tests.benchmarks.building import on_core
from tests.benchmarks.peers.child import Peer
from tests.benchmarks.wire import BILL, MP, SUBSCRIPTION, subscribe, title
from tests.benchmarks.world import World
from tests.support.server import ServerProcess, token

RAISED = {
    "MAX_STREAMS": "19500",
    "MAX_CONNECTS_PER_SECOND": "1000000",
    "MAX_CONNECTS_PER_MINUTE": "1000000",
    "LOG_LEVEL": "INFO",
}
INSERT = """
INSERT INTO activities (type, title, mp_id, bill_id) SELECT 'VOTE', title, $2, $3 FROM unnest($1::text[]) AS title
"""


class DivisionBell(Peer):
    """`cli serve`; activities are rows that are inserted in one transaction."""

    name = "Division Bell"

    def __init__(self, world: World, *, port: int = 0, environment: Mapping[str, str] | None = None) -> None:
        self.world = world
        self.port = port
        self._environment = {**RAISED, **(environment or {})}
        self._server: ServerProcess | None = None
        self._database: asyncpg.Connection | None = None
        self._rows = (0, 0)

    async def start(self, core: int | None) -> None:
        """Start the server; the same port again after the first time."""
        environment = {**self._environment, **self.world.environment(), "PORT": str(self.port)}
        self._server = ServerProcess("serve", environment=environment)
        with on_core(core):
            await self._server.start()
        self.port = int(self._server.url.rpartition(":")[2])
        if self._database is None:
            self._database = await asyncpg.connect(self.world.database_url)
            self._rows = await self._about(MP["name"], BILL["number"])

    async def _about(self, name: str, number: str) -> tuple[int, int]:
        assert self._database is not None
        mp = await self._database.fetchval(
            "INSERT INTO mps (name, party, riding) VALUES ($1, $2, $3)"
            " ON CONFLICT (name, riding) DO UPDATE SET party = excluded.party RETURNING id",
            name,
            MP["party"],
            MP["riding"],
        )
        bill = await self._database.fetchval(
            "INSERT INTO bills (number, title) VALUES ($1, $2)"
            " ON CONFLICT (number) DO UPDATE SET title = excluded.title RETURNING id",
            number,
            BILL["title"],
        )
        return int(mp), int(bill)

    async def new_mp(self, name: str) -> int:
        """Another MP; its ID."""
        return (await self._about(name, BILL["number"]))[0]

    async def publish(self, first: int, count: int, mp: int | None = None) -> None:
        """One INSERT, one transaction."""
        assert self._database is not None
        titles = [title(sequence) for sequence in range(first, first + count)]
        await self._database.execute(INSERT, titles, mp or self._rows[0], self._rows[1])

    def requests(self, count: int) -> list[bytes]:
        """Each subscriber is a user of its own, with a token and a device of its own."""
        return self.requests_by(count, lambda _: (SUBSCRIPTION, {}))

    def requests_by(self, count: int, operation: Callable[[int], tuple[str, Mapping[str, Any]]]) -> list[bytes]:
        """The same, each with a document and variables of its own."""
        run = os.urandom(3).hex()
        operations = map(operation, range(count))
        return [
            subscribe(token=token(f"reader-{run}-{k}"), subscriber=f"phone-{k}", query=query, variables=variables)
            for k, (query, variables) in enumerate(operations)
        ]

    async def kill(self) -> None:
        """SIGKILL."""
        if self._server is not None:
            await self._server.kill()

    async def stop(self) -> None:
        """SIGKILL, and forget."""
        await self.kill()
        self._server = None
        if self._database is not None:
            await self._database.close()
            self._database = None

    def processes(self) -> Sequence[psutil.Process]:
        """The server, and its workers when it has some."""
        if self._server is None:
            return []
        server = psutil.Process(self._server.pid)
        return [server, *server.children(recursive=True)]
