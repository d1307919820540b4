"""Servers that may be struck by any fault, and clients that keep going as real ones do."""

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import sqlalchemy as sa
from httpx_sse import SSEError, aconnect_sse
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import connect, migrate
from resolvers.embedded import start_postgres, start_valkey
from streams.connection import connect_alone as connect_redis
from streams.cursor import Cursor
from telemetry.tasks import end
from tests.support.directories import reachable_directory
from tests.support.parliament import insert_activities
from tests.support.proxy import Proxy, proxied
from tests.support.server import NO_TLS, ServerProcess, token
from tests.support.waiting import wait_until

KINDS = ("with a cursor", "with a device ID", "confirming")
SMALL = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)]
SUBSCRIPTION = """
subscription ($since: Cursor, $filter: ActivityFilter, $subscriber: ID, $confirm: Confirmation!) {
  activityAdded(since: $since, filter: $filter, subscriber: $subscriber, confirm: $confirm) {
    __typename
    cursor
    ... on ActivityAdded { deliveryAttempt activity { title } }
    ... on FeedGap { since through reason recovery }
    ... on GapHealed { activities { title } }
    ... on StreamNotice { kind head }
  }
}
"""
ACKNOWLEDGE = """
mutation ($through: Cursor!, $subscriber: ID!) {
  acknowledge(through: $through, subscriber: $subscriber) { __typename ... on Acknowledged { pending } }
}
"""


@dataclass
class FaultyClient:
    """One subscriber of a kind of KINDS: connects, reads, comes back. Remembers all it was ever sent."""

    kind: str
    url: str
    seen: list[tuple[Cursor, str, int]] = field(default_factory=list)
    gaps: list[dict[str, Any]] = field(default_factory=list)
    closings: int = 0
    connects: int = 0
    cursor: str | None = None
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    connected: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.reading.set()

    @property
    def titles(self) -> set[str]:
        """What it has."""
        return {title for _, title, _ in self.seen}

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self.connected.clear()
            with contextlib.suppress(httpx.HTTPError, SSEError, OSError, json.JSONDecodeError):
                await self._stream()
            await asyncio.sleep(0.05)

    async def _stream(self) -> None:
        transport = httpx.AsyncHTTPTransport(verify=NO_TLS, socket_options=SMALL)
        headers = {"Authorization": f"Bearer {token(self.kind.split()[-1])}"}
        variables = {
            "since": self.cursor if self.kind == "with a cursor" else None,
            "subscriber": None if self.kind == "with a cursor" else "phone",
            "confirm": "CLIENT" if self.kind == "confirming" else "SOCKET",
            "filter": {"types": ["SPEECH"]},
        }
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, transport=transport) as http:
            body = {"query": SUBSCRIPTION, "variables": variables}
            async with aconnect_sse(http, "POST", "/graphql", json=body) as source:
                async for sent in source.aiter_sse():
                    await self.reading.wait()
                    if sent.data:
                        await self._take(sent.json()["data"]["activityAdded"], http)

    async def _take(self, event: dict[str, Any], http: httpx.AsyncClient) -> None:
        self.cursor = event["cursor"]
        match event["__typename"]:
            case "StreamNotice":
                self.connects += event["kind"] == "HELLO"
                self.closings += event["kind"] == "CLOSING"
                self.connected.set()
            case "FeedGap":
                self.gaps.append(event)
            case "ActivityAdded":
                cursor = Cursor.parse(event["cursor"])
                self.seen.append((cursor, event["activity"]["title"], event["deliveryAttempt"]))
                if self.kind == "confirming":
                    variables = {"through": event["cursor"], "subscriber": "phone"}
                    await http.post("/graphql", json={"query": ACKNOWLEDGE, "variables": variables})

    def first_times(self) -> list[str]:
        """Titles in the order in which they came first."""
        return list(dict.fromkeys(title for _, title, _ in self.seen))


class Arena:
    """PostgreSQL, Valkey and a server process, each of which can be stopped and started at the same address."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.postgres = start_postgres(directory / "postgres", durable=False)
        self.valkey = start_valkey(directory, durable=True)
        self.server: ServerProcess | None = None
        self.proxies: dict[str, Proxy] = {}
        self.clients: list[FaultyClient] = []
        self.published: list[str] = []
        self.kept_out = False
        self.engine: AsyncEngine
        self.redis: Redis

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        enter = self._stack.enter_async_context
        self.proxies = {
            "postgres": await enter(proxied(lambda: self.postgres.sockets / ".s.PGSQL.5432")),
            "redis": await enter(proxied(lambda: self.valkey.sockets / "valkey.sock")),
            "http": await enter(proxied(self._door, narrow=True)),
        }
        self.database_url = f"postgresql://postgres@127.0.0.1:{self.proxies['postgres'].port}/postgres"
        self.redis_url = f"redis://127.0.0.1:{self.proxies['redis'].port}/0"
        self.engine = connect(self.database_url, pool_size=2)
        self._stack.push_async_callback(self.engine.dispose)
        self.redis = connect_redis(self.redis_url)
        self._stack.push_async_callback(self.redis.aclose)
        await migrate(self.engine)
        await self.start_server()
        self.clients = [FaultyClient(kind, f"http://127.0.0.1:{self.proxies['http'].port}") for kind in KINDS]
        tasks = [asyncio.create_task(client.run(), name=client.kind) for client in self.clients]
        self._stack.push_async_callback(end, tasks)
        for client in self.clients:
            await wait_until(client.connected.is_set, description=f"{client.kind} is connected")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        if self.server is not None:
            await self.server.kill()
            print(self.server.output[-6_000:])  # noqa: T201 - pytest shows it when the test fails
        for child in (self.valkey, self.postgres):
            child.stop()

    def _running(self) -> ServerProcess:
        if self.server is None or not self.server.url:
            raise OSError("no server")
        return self.server

    def _door(self) -> int:
        if self.kept_out:
            raise OSError("clients are kept out")
        return int(self._running().url.rpartition(":")[2])

    async def start_server(self, **more: str) -> None:
        """Start a server process, in place of one that has ended."""
        environment = {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "STATE_DIR": str(self.directory / "state"),
            "BOOKMARK_EVERY": "0.5",
            "MAX_CONNECTS_PER_MINUTE": "10000",
            **more,
        }
        self.server = await ServerProcess("serve", environment=environment).start()

    def stop_redis(self, *, crash: bool = False) -> None:
        """Stop it in order, or as a crash does."""
        self.valkey.kill() if crash else self.valkey.stop()
        self.proxies["redis"].cut()

    def start_redis(self, *, empty: bool = False) -> None:
        """Start it again, with what it had or without."""
        if empty:
            for path in self.directory.glob("*/appendonlydir/*"):
                path.unlink()
        self.valkey = start_valkey(self.directory, durable=True)

    def stop_postgres(self) -> None:
        """Stop it, fast."""
        self.postgres.stop()
        self.proxies["postgres"].cut()

    def start_postgres(self) -> None:
        """Start it again."""
        self.postgres = start_postgres(self.directory / "postgres", durable=False)

    async def publish(self, title: str, count: int = 3) -> None:
        """INSERT activities that clients want, and one that they do not."""
        await insert_activities(self.engine, count, title=title)
        await insert_activities(self.engine, 1, title="of no interest", type="VOTE")
        self.published += [f"{title} {k}" for k in range(count)]

    async def all_have(self, title: str, *, within: float = 60.0) -> None:
        """Wait until every client has an activity."""
        for client in self.clients:
            await wait_until(
                lambda client=client: title in client.titles,  # type: ignore[misc]
                description=f"the client {client.kind} has {title!r}",
                within=within,
            )

    async def http(self, path: str) -> dict[str, Any]:
        """The JSON at a path of the server."""
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS, timeout=10) as http:
            body: dict[str, Any] = (await http.get(f"{self._running().url}{path}")).json()
            return body

    async def metric(self, name: str) -> float:
        """The sum of a metric of the server."""
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS, timeout=10) as http:
            lines = (await http.get(f"{self._running().url}/metrics")).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def verify(self) -> dict[str, str]:
        """What each client got, in a few words. Raises AssertionError for anything lost or out of order."""
        found = {}
        for client in self.clients:
            missing = [title for title in self.published if title not in client.titles]
            assert not missing, f"the client {client.kind} never got {missing}, gaps {client.gaps}"
            order = [title for title in client.first_times() if title in set(self.published)]
            assert self.published == order, f"the client {client.kind} got them in another order"
            assert client.titles == set(self.published), client.titles - set(self.published)
            reasons = sorted({gap["reason"] for gap in client.gaps})
            found[client.kind] = "all, in order" + (f"; told {', '.join(reasons)}" if reasons else "")
        return found


@asynccontextmanager
async def arena() -> AsyncIterator[Arena]:
    """An arena with three connected clients."""
    with reachable_directory() as directory:
        async with Arena(directory) as made:
            yield made


__all__ = ["KINDS", "Arena", "arena", "sa", "signal"]
