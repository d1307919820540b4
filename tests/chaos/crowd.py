"""Those who write while a round lasts: publishers, readers who mark, an operator who redrives, and who falls asleep."""

import asyncio
import contextlib
import random
from collections.abc import Sequence
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from resolvers.database.tables import activities, dead_letters
from tests.chaos.clients import FAILURES, ChaosClient
from tests.chaos.cluster import Cluster
from tests.chaos.history import History, Kind
from tests.chaos.schedule import SERVERS
from tests.support.server import NO_TLS, token

MARK = "mutation ($ids: [ID!]!) { markRead(activityIds: $ids) { readState { version } } }"
PUBLISH = """
mutation ($title: String!) {
  publishActivity(input: {type: VOTE, title: $title}) { ... on PublishedActivity { activity { id } } }
}
"""
FEED = "{ feed(first: 5) { unreadCount edges { isRead } } }"
REDRIVE = "mutation ($id: ID!) { redriveDeadLetter(id: $id) { __typename } }"


class Crowd:
    """Writes down in the history what it was promised."""

    def __init__(
        self, *, cluster: Cluster, clients: Sequence[ChaosClient], history: History, chance: random.Random
    ) -> None:
        self._cluster = cluster
        self._clients = clients
        self._history = history
        self._chance = chance

    def start(self) -> list[asyncio.Task[None]]:
        """Everybody's tasks, which go on until cancelled."""
        work = [self._insert, self._insert, self._mutate, self._mark, self._operate, self._doze]
        return [asyncio.create_task(one(), name=one.__name__) for one in work]

    async def _insert(self) -> None:
        """Transactions of a few rows that commit in another order than they began in; some are rolled back."""
        while True:
            with contextlib.suppress(SQLAlchemyError, OSError):
                async with self._cluster.engine.connect() as connection:
                    rows = [
                        {"type": self._chance.choice(["SPEECH", "VOTE"]), "title": "inserted"}
                        for _ in range(self._chance.randint(1, 3))
                    ]
                    ids = (await connection.execute(sa.insert(activities).returning(activities.c.id), rows)).scalars()
                    inserted = set(ids)
                    await asyncio.sleep(self._chance.uniform(0, 0.3))
                    if self._chance.random() < 0.9:
                        await connection.commit()
                        self._history.committed |= inserted
            await asyncio.sleep(self._chance.uniform(0.02, 0.2))

    async def _mutate(self) -> None:
        while True:
            with contextlib.suppress(*FAILURES):
                answer = await self.ask("publisher", "publish", PUBLISH, title="published")
                self._history.committed.add(int(answer["data"]["publishActivity"]["activity"]["id"]))
            await asyncio.sleep(self._chance.uniform(0.1, 0.3))

    async def _mark(self) -> None:
        """Readers who open the feed, as clients do (it warms their bitmap), and mark some of what they got."""
        while True:
            client = self._chance.choice(self._clients)
            user = client.history.user
            if known := sorted(client.had):
                ids = self._chance.sample(known, min(len(known), self._chance.randint(1, 3)))
                with contextlib.suppress(*FAILURES):
                    if self._chance.random() < 0.3:
                        await self.ask(user, "read", FEED)
                    answer = await self.ask(user, "read", MARK, ids=[str(one) for one in ids])
                    if answer.get("data"):
                        self._history.promised.setdefault(user, set()).update(ids)
            await asyncio.sleep(self._chance.uniform(0.02, 0.1))

    async def _operate(self) -> None:
        """An operator who redrives half of what is dead, whether or not the reason for it is gone."""
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 1.5))
            with contextlib.suppress(SQLAlchemyError, *FAILURES):
                for letter in await self.dead():
                    if self._chance.random() < 0.5:
                        await self.redrive(letter)

    async def dead(self, *, readable: bool = False) -> list[int]:
        """IDs of the letters that wait for an operator; with `readable` only those of entries that can be read."""
        query = sa.select(dead_letters.c.id).where(dead_letters.c.state == "DEAD").order_by(dead_letters.c.id)
        if readable:
            query = query.where(dead_letters.c.activity_id.is_not(None))
        async with self._cluster.engine.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def redrive(self, letter: int) -> None:
        """Have it delivered after all. Raises FAILURES."""
        await self.ask("operator", "ops", REDRIVE, id=str(letter))

    async def _doze(self) -> None:
        slow = [client for client in self._clients if client.history.kind is Kind.SLOW]
        while slow:
            for client in slow:
                client.asleep = self._chance.random() < 0.5
            await asyncio.sleep(self._chance.uniform(0.5, 2))

    async def ask(self, user: str, scope: str, query: str, **variables: object) -> dict[str, Any]:
        """The answer of a server to an operation. Raises FAILURES."""
        headers = {"Authorization": f"Bearer {token(user, scope)}"}
        url = self._cluster.url(self._chance.randrange(SERVERS))
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=10, trust_env=False, verify=NO_TLS) as http:
            answer = await http.post("/graphql", json={"query": query, "variables": variables})
            body: dict[str, Any] = answer.json()
            return body
