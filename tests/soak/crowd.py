"""What a soak does all the time: streams that are dropped and come back, polls, marks, and activities."""

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from enum import StrEnum
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from telemetry.tasks import end
from tests.benchmarks.wire import title
from tests.soak.servers import Servers
from tests.support.parliament import insert_activities
from tests.support.server import token
from tests.support.waiting import wait_until


class Kind(StrEnum):
    """How a stream knows where it was."""

    CURSOR = "cursor"
    DEVICE = "device"
    CONFIRMING = "confirming"
    FILTERED = "filtered"


STREAMS = {Kind.CURSOR: 24, Kind.DEVICE: 12, Kind.CONFIRMING: 4, Kind.FILTERED: 8}
POLLERS, READERS = 4, 4
LASTS, AWAY = (5.0, 25.0), (0.2, 3.0)
"""Seconds that a stream lives before its client drops it, and until it comes back."""
PUBLISH_EVERY, POLL_EVERY, READ_EVERY = 1.0, 2.0, 4.0
SUBSCRIPTION = """
subscription ($since: Cursor, $filter: ActivityFilter, $subscriber: ID, $confirm: Confirmation!) {
  activityAdded(since: $since, filter: $filter, subscriber: $subscriber, confirm: $confirm) {
    __typename cursor
    ... on ActivityAdded { deliveryAttempt activity { id type title mp { name } } }
    ... on ReadStateChanged { activityIds }
    ... on FeedGap { reason }
    ... on StreamNotice { kind }
  }
}
"""
UPDATES = "query ($since: Cursor!) { updates(since: $since) { cursor events { __typename cursor } } }"
FEED = "{ feed(first: 20) { head unreadCount edges { isRead node { id type title } } } health { healthy } }"
MARK = "mutation ($ids: [ID!]!) { markRead(activityIds: $ids) { readState { unreadCount } } }"
MARK_ALL = "mutation ($through: Cursor!) { markAllRead(through: $through) { readState { unreadCount } } }"
ACKNOWLEDGE = 'mutation ($through: Cursor!) { acknowledge(through: $through, subscriber: "phone") { __typename } }'
PUBLISH = "mutation ($title: String!) { publishActivity(input: {type: STATEMENT, title: $title}) { __typename } }"
FAILURES = (httpx.HTTPError, OSError, asyncio.IncompleteReadError, KeyError, TypeError, ValueError)


class Crowd:
    """The same people all the time. `counts` says what they did, and what went wrong."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        # Given up before the server does, after 5 s: else a request may meet a connection that is being closed.
        limits = httpx.Limits(keepalive_expiry=2)
        url = f"http://127.0.0.1:{servers.port}"
        self._http = httpx.AsyncClient(base_url=url, timeout=20, trust_env=False, limits=limits)
        self._sequence = 0
        self.counts: Counter[str] = Counter()

    async def fill(self, count: int) -> None:
        """Publish so many at once, as history: as large as what follows, and without a number that anybody counts."""
        await insert_activities(self._servers.engine, count, title=title(0).replace("@@", "--"), type="VOTE")
        async with self._servers.engine.connect() as connection:
            query = sa.text("SELECT NOT EXISTS (SELECT FROM activities WHERE cursor IS NULL)")
            await wait_until(
                lambda: _holds(connection, query), description="the log has what was there before", within=60, every=0.2
            )

    async def run(self) -> None:
        """Go on until cancelled."""
        work: list[Callable[[], Awaitable[None]]] = [self._publish]
        work += [_Stream(kind, k, self).live for kind, many in STREAMS.items() for k in range(many)]
        work += [_Poller(f"poller-{k}", self).poll for k in range(POLLERS)]
        work += [_Reader(f"reader-{k}", self).read for k in range(READERS)]
        tasks = [asyncio.create_task(self._again(one)) for one in work]
        try:
            await asyncio.gather(*tasks)
        finally:
            await end(tasks)
            await self._http.aclose()

    async def _again(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except FAILURES as error:
                self.counts[f"failed: {type(error).__name__}"] += 1
                await asyncio.sleep(1)

    async def _publish(self) -> None:
        """One activity: four of five by INSERT, the fifth by mutation."""
        self._sequence += 1
        if self._sequence % 5:
            await insert_activities(self._servers.engine, 1, title=title(self._sequence), type="VOTE")
        else:
            await self.ask("editor", PUBLISH, scope="publish", title=title(self._sequence))
        self.counts["published"] += 1
        await asyncio.sleep(PUBLISH_EVERY)

    async def ask(self, user: str, query: str, *, scope: str = "read", **variables: Any) -> dict[str, Any]:
        """The data of a query or a mutation."""
        headers = {"Authorization": f"Bearer {token(user, scope)}"}
        answer = await self._http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
        data: dict[str, Any] = answer.json()["data"]
        return data

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the server."""
        return await asyncio.open_connection("127.0.0.1", self._servers.port)


class _Stream:
    """One that listens, drops without a word, and comes back; with a cursor it proves that it missed nothing."""

    def __init__(self, kind: Kind, number: int, crowd: Crowd) -> None:
        self._kind, self._crowd = kind, crowd
        self._user = f"{kind}-{number}"
        self._chance = random.Random(self._user)
        self._cursor: str | None = None
        self._last = 0

    async def live(self) -> None:
        """One connection, and the time until the next."""
        reader, writer = await self._crowd.connect()
        self._crowd.counts["connects"] += 1
        try:
            writer.write(self._request())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._chance.uniform(*LASTS)):
                    while line := await reader.readline():
                        await self._line(line)
        finally:
            # Half of them by RST, as where a network has forgotten a connection.
            writer.transport.abort() if self._chance.random() < 0.5 else writer.close()
        await asyncio.sleep(self._chance.uniform(*AWAY))

    def _request(self) -> bytes:
        kind = self._kind
        variables = {
            "since": self._cursor if kind in {Kind.CURSOR, Kind.FILTERED} else None,
            "subscriber": "phone" if kind in {Kind.DEVICE, Kind.CONFIRMING} else None,
            "confirm": "CLIENT" if kind is Kind.CONFIRMING else "SOCKET",
            "filter": {"types": ["STATEMENT"]} if kind is Kind.FILTERED else None,
        }
        body = json.dumps({"query": SUBSCRIPTION, "variables": variables}).encode()
        return (
            b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Accept: text/event-stream\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
            % (token(self._user).encode(), len(body), body)
        )

    async def _line(self, line: bytes) -> None:
        """One line of the answer; whether a chunk's size stands between does not matter."""
        if line.startswith(b"id: "):
            self._cursor = line[4:].strip().decode()
        elif line.startswith(b"HTTP/1.1 ") and b" 200" not in line:
            self._crowd.counts["refused"] += 1
        elif line.startswith(b"data:") and b"FeedGap" in line:
            self._crowd.counts["gaps"] += 1
            self._crowd.counts[f"gap of a {self._kind}: {json.loads(line[5:])['data']['activityAdded']['reason']}"] += 1
        elif line.startswith(b"data:") and (mark := line.find(b"@@")) >= 0:
            self._take(int(line[mark + 2 :].partition(b":")[0]))
            if self._kind is Kind.CONFIRMING:
                acknowledged = (await self._crowd.ask(self._user, ACKNOWLEDGE, through=self._cursor))["acknowledge"]
                self._crowd.counts[f"confirmed: {acknowledged['__typename']}"] += 1

    def _take(self, sequence: int) -> None:
        self._crowd.counts["deliveries"] += 1
        if sequence <= self._last:
            self._crowd.counts["repeated"] += 1
        elif self._kind is Kind.CURSOR and self._last:
            self._crowd.counts["missing"] += sequence - self._last - 1
        self._last = max(self._last, sequence)


class _Poller:
    def __init__(self, user: str, crowd: Crowd) -> None:
        self._user, self._crowd = user, crowd
        self._cursor: str | None = None

    async def poll(self) -> None:
        """`updates` from where it was."""
        if self._cursor is None:
            self._cursor = (await self._crowd.ask(self._user, FEED))["feed"]["head"]
        updates = (await self._crowd.ask(self._user, UPDATES, since=self._cursor))["updates"]
        self._cursor = updates["cursor"]
        self._crowd.counts["polls"] += 1
        await asyncio.sleep(POLL_EVERY)


class _Reader:
    def __init__(self, user: str, crowd: Crowd) -> None:
        self._user, self._crowd = user, crowd
        self._pages = 0

    async def read(self) -> None:
        """Look at a page, and mark what is unread on it; every tenth time everything."""
        feed = (await self._crowd.ask(self._user, FEED))["feed"]
        self._pages += 1
        if self._pages % 10 == 0:
            await self._crowd.ask(self._user, MARK_ALL, through=feed["head"])
        else:
            await self._crowd.ask(self._user, MARK, ids=_unread(feed["edges"]) or [feed["edges"][0]["node"]["id"]])
        self._crowd.counts["marks"] += 1
        await asyncio.sleep(READ_EVERY)


async def _holds(connection: AsyncConnection, query: sa.TextClause) -> bool:
    return bool((await connection.execute(query)).scalar_one())


def _unread(edges: Sequence[dict[str, Any]]) -> list[str]:
    return [edge["node"]["id"] for edge in edges if not edge["isRead"]]
