"""One round: clients, publishers and readers who mark, the faults of a schedule, then peace, and the reckoning."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from resolvers.database.tables import activities, user_activity_reads
from streams.cursor import Cursor
from telemetry.tasks import end
from tests.chaos.checker import Violation, violations
from tests.chaos.clients import FAILURES, ChaosClient
from tests.chaos.cluster import Cluster, cluster
from tests.chaos.history import ClientHistory, History, Kind, Row
from tests.chaos.schedule import SERVERS, Schedule
from tests.support.server import NO_TLS, Client, token
from tests.support.waiting import wait_until

SETTLED = 60.0
"""Seconds after the last fault within which everybody has everything."""
PAGE = 50
MARK = "mutation ($ids: [ID!]!) { markRead(activityIds: $ids) { readState { version } } }"
PUBLISH = """
mutation ($title: String!) {
  publishActivity(input: {type: VOTE, title: $title}) { ... on PublishedActivity { activity { id } } }
}
"""
FEED = "{ feed(first: 50) { servedBy unreadCount edges { isRead node { id } } } }"


@dataclass
class Round:
    """A round under way."""

    cluster: Cluster
    schedule: Schedule
    clients: Sequence[ChaosClient]
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.schedule.seed)
        self.history.clients = [client.history for client in self.clients]

    async def run(self) -> list[Violation]:
        """Everything, from the first connection to the verdict."""
        tasks = [asyncio.create_task(client.run(), name=client.history.name) for client in self.clients]
        try:
            await wait_until(
                lambda: all(client.history.starts for client in self.clients),
                description="all are connected",
                within=30,
            )
            await self._trouble()
            await self.cluster.heal()
            await self._calm()
            await self._reckon()
        finally:
            await end(tasks)
        return violations(self.history)

    async def _trouble(self) -> None:
        """Publish, mark, and strike."""
        busy = [
            asyncio.create_task(work(), name=name)
            for name, work in {
                "inserts": self._insert,
                "more inserts": self._insert,
                "mutations": self._mutate,
                "marks": self._mark,
                "sleepers": self._doze,
            }.items()
        ]
        started = asyncio.get_running_loop().time()
        strikes = []
        for step in self.schedule.steps:
            await asyncio.sleep(max(0, started + step.at - asyncio.get_running_loop().time()))
            strikes.append(asyncio.create_task(self.cluster.strike(step), name=str(step.fault)))
        await asyncio.gather(*strikes)
        await end(busy)

    async def _insert(self) -> None:
        """Transactions of a few rows that commit in another order than they began in; some are rolled back."""
        while True:
            with contextlib.suppress(SQLAlchemyError, OSError):
                async with self.cluster.engine.connect() as connection:
                    rows = [
                        {"type": self.chance.choice(["SPEECH", "VOTE"]), "title": "inserted"}
                        for _ in range(self.chance.randint(1, 3))
                    ]
                    ids = (await connection.execute(sa.insert(activities).returning(activities.c.id), rows)).scalars()
                    inserted = set(ids)
                    await asyncio.sleep(self.chance.uniform(0, 0.3))
                    if self.chance.random() < 0.9:
                        await connection.commit()
                        self.history.committed |= inserted
            await asyncio.sleep(self.chance.uniform(0.02, 0.2))

    async def _mutate(self) -> None:
        while True:
            with contextlib.suppress(*FAILURES):
                answer = await self._ask("publisher", "publish", PUBLISH, {"title": "published"})
                self.history.committed.add(int(answer["data"]["publishActivity"]["activity"]["id"]))
            await asyncio.sleep(self.chance.uniform(0.1, 0.3))

    async def _mark(self) -> None:
        while True:
            client = self.chance.choice(self.clients)
            user = client.history.user
            if known := sorted(client.had):
                ids = self.chance.sample(known, min(len(known), self.chance.randint(1, 3)))
                with contextlib.suppress(*FAILURES):
                    answer = await self._ask(user, "read", MARK, {"ids": [str(one) for one in ids]})
                    if answer.get("data"):
                        self.history.promised.setdefault(user, set()).update(ids)
            await asyncio.sleep(self.chance.uniform(0.02, 0.1))

    async def _doze(self) -> None:
        slow = [client for client in self.clients if client.history.kind is Kind.SLOW]
        while slow:
            for client in slow:
                client.asleep = self.chance.random() < 0.5
            await asyncio.sleep(self.chance.uniform(0.5, 2))

    async def _ask(self, user: str, scope: str, query: str, variables: dict[str, object]) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token(user, scope)}"}
        url = self.cluster.url(self.chance.randrange(SERVERS))
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10, trust_env=False, verify=NO_TLS) as http:
            answer = await http.post("/graphql", json={"query": query, "variables": variables})
            body: dict[str, Any] = answer.json()
            return body

    async def _calm(self) -> None:
        """One activity of each type while the slow ones do not read (I7); then they do too, and all have everything."""
        slow = [client for client in self.clients if client.history.kind is Kind.SLOW]
        for client in slow:
            client.asleep = True
        last = {kind: await self._insert_one(kind) for kind in ("SPEECH", "VOTE")}
        started = time.monotonic()
        with contextlib.suppress(AssertionError):
            await self._all_have(last, [client for client in self.clients if client not in slow])
        self.history.slowest_calm = time.monotonic() - started
        for client in slow:
            client.asleep = False
        with contextlib.suppress(AssertionError):  # the checker says what is missing
            await self._all_have(last, slow)

    async def _insert_one(self, kind: str) -> int:
        async with self.cluster.engine.begin() as connection:
            query = sa.insert(activities).values(type=kind, title="calm").returning(activities.c.id)
            one = int((await connection.execute(query)).scalar_one())
        self.history.committed.add(one)
        return one

    async def _all_have(self, last: dict[str, int], clients: Sequence[ChaosClient]) -> None:
        for client in clients:
            wanted = {one for kind, one in last.items() if client.history.types is None or kind in client.history.types}
            await wait_until(
                lambda client=client, wanted=wanted: wanted <= client.had,  # type: ignore[misc]
                description=f"{client.history.name} has the last",
                within=SETTLED,
                every=0.05,
            )

    async def _reckon(self) -> None:
        """Ask PostgreSQL, Redis, the metrics and the feed."""
        history = self.history
        async with self.cluster.engine.connect() as connection:
            log = await connection.execute(
                sa.select(activities.c.id, activities.c.n, activities.c.cursor, activities.c.type)
                .where(activities.c.cursor.is_not(None))
                .order_by(activities.c.n)
            )
            history.log = [Row(row.id, row.n, Cursor(row.cursor), row.type) for row in log]
            marks = await connection.execute(
                sa.select(user_activity_reads.c.user_id, user_activity_reads.c.activity_id)
            )
            for user, activity in marks:
                history.marked.setdefault(user, set()).add(activity)
        await self._settle_books()
        for user in sorted({client.user for client in history.clients}):
            await self._look(user)
        self.cluster.stop_redises()  # the other path must say the same
        for user in sorted({client.user for client in history.clients})[:3]:
            await self._look(user)

    async def _settle_books(self) -> None:
        async def nothing_pending() -> bool:
            self.history.pending = await self.cluster.pending()
            return not self.history.pending

        with contextlib.suppress(AssertionError):
            await wait_until(nothing_pending, description="nothing is pending", every=0.1)

        async def balanced() -> bool:
            self.history.unaccounted = {
                f"server {k}": await self.cluster.metric(k, "sse_entries_unaccounted") for k in range(SERVERS)
            }
            return not any(self.history.unaccounted.values())

        with contextlib.suppress(AssertionError):
            await wait_until(balanced, description="the books are balanced", every=0.2)

    async def _look(self, user: str) -> None:
        """What a server shows a user; what the sweep has to heal has ten seconds and a bit for it."""

        async def shown() -> bool:
            async with Client(self.cluster.url(0, direct=True), user=user) as client:
                feed = (await client.ask(FEED))["feed"]
            edges = [(int(edge["node"]["id"]), bool(edge["isRead"])) for edge in feed["edges"]]
            self.history.shown.setdefault(user, {})[feed["servedBy"]] = edges
            self.history.unread[user] = feed["unreadCount"]
            marked = self.history.marked.get(user, set())
            return all(is_read == (one in marked) for one, is_read in edges)

        with contextlib.suppress(AssertionError):
            await wait_until(shown, description="marks are shown", within=25, every=0.5)


async def run_round(
    schedule: Schedule, *, clients: int, made_by: type[Cluster] = Cluster
) -> tuple[list[Violation], History, str]:
    """Run one on servers of its own; what is violated, the history, and the end of the servers' output."""
    async with cluster(made_by) as here:
        kinds = list(Kind)
        made = [
            ChaosClient(
                ClientHistory(
                    name=f"client-{number}",
                    user=f"user-{number // len(kinds)}-{number % 2}"
                    if kinds[number % len(kinds)] not in _ALONE
                    else f"user-{number}",
                    kind=kinds[number % len(kinds)],
                    types=frozenset({"VOTE"}) if kinds[number % len(kinds)] is Kind.FILTERED else None,
                ),
                here,
                schedule.seed * 1_000 + number,
            )
            for number in range(clients)
        ]
        found = Round(here, schedule, made)
        return await found.run(), found.history, here.output()


_ALONE = frozenset({Kind.DEVICE, Kind.CONFIRMING})
"""They use one device ID, so each needs a user of its own."""
