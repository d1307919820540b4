"""One round: clients and a crowd who write, the faults of a schedule, then peace, and the reckoning."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from resolvers.database.tables import activities, dead_letters
from telemetry.tasks import end
from tests.chaos.checker import Violation, violations
from tests.chaos.clients import FAILURES, ChaosClient
from tests.chaos.cluster import Cluster
from tests.chaos.crowd import Crowd
from tests.chaos.history import DEVICES, ClientHistory, History, Kind
from tests.chaos.reckoning import read_letters, reckon
from tests.chaos.schedule import Schedule
from tests.chaos.strikes import strike
from tests.support.waiting import wait_until

SETTLED = 60.0
"""Seconds after the last fault within which everybody has everything."""
USUAL_RATE = 5
"""Activities that are published in a second, at least, unless the machine or a fault keeps the publishers from it."""


@dataclass
class Round:
    """A round under way."""

    cluster: Cluster
    schedule: Schedule
    clients: Sequence[ChaosClient]
    settled: float = SETTLED
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        self.history.clients = [client.history for client in self.clients]
        self._crowd = Crowd(
            cluster=self.cluster,
            clients=self.clients,
            history=self.history,
            chance=random.Random(self.schedule.seed),
        )

    async def run(self) -> list[Violation]:
        """Everything, from the first connection to the verdict."""
        await self.cluster.heal()
        tasks = [asyncio.create_task(client.run(), name=client.history.name) for client in self.clients]
        try:
            await wait_until(
                lambda: all(client.history.starts for client in self.clients),
                description="all are connected",
                within=SETTLED,
            )
            await self._trouble()
            await self.cluster.heal()
            await self._calm()
            await self._redrive()
            await reckon(self.cluster, self.history)
        finally:
            await end(tasks)
        await read_letters(self.cluster, self.history)
        return violations(self.history)

    async def _trouble(self) -> None:
        """Publish, mark, redrive, and strike."""
        busy = self._crowd.start()
        began = time.monotonic()
        strikes = []
        for step in self.schedule.steps:
            await self._until(step.at, since=began)
            strikes.append(asyncio.create_task(strike(self.cluster, step), name=str(step.fault)))
        await asyncio.gather(*strikes)
        await end(busy)

    async def _until(self, at: float, *, since: float) -> None:
        """Until it is that late, and, on a machine that is busy with other things, as much is published as ever."""
        with contextlib.suppress(AssertionError):
            await wait_until(
                lambda: time.monotonic() >= since + at and len(self.history.committed) >= at * USUAL_RATE,
                description="it is time",
                within=5 * at,
            )

    async def _calm(self) -> None:
        """Everybody has what is newest; then again while the slow ones do not read (I7); then those have it too."""
        slow = [client for client in self.clients if client.history.kind is Kind.SLOW]
        others = [client for client in self.clients if client not in slow]
        for client in self.clients:
            client.calm, client.asleep = True, False
        with contextlib.suppress(AssertionError):  # the checker says what is missing
            await self._all_have(await self._insert_two(), self.clients)
        for client in slow:
            client.asleep = True
        last, started = await self._insert_two(), time.monotonic()
        with contextlib.suppress(AssertionError):
            await self._all_have(last, others)
        self.history.slowest_calm = time.monotonic() - started
        for client in slow:
            client.asleep = False
        with contextlib.suppress(AssertionError):
            await self._all_have(last, slow)

    async def _redrive(self) -> None:
        """All that is dead and can be read is delivered after all."""
        with contextlib.suppress(AssertionError):
            await wait_until(
                self._all_healed, description="what was redriven has arrived", within=self.settled, every=0.2
            )

    async def _all_healed(self) -> bool:
        with contextlib.suppress(SQLAlchemyError, *FAILURES):
            for letter in await self._crowd.dead(readable=True):
                await self._crowd.redrive(letter)
                self.history.redriven_in_peace.add(letter)
            query = sa.select(sa.func.count()).where(
                dead_letters.c.activity_id.is_not(None), dead_letters.c.healed_at.is_(None)
            )
            async with self.cluster.engine.connect() as connection:
                return not await connection.scalar(query)
        return False

    async def _insert_two(self) -> dict[str, int]:
        """One activity of each type that anybody wants."""
        return {kind: await self._insert_one(kind) for kind in ("SPEECH", "VOTE")}

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
                within=self.settled,
                every=0.05,
            )


async def run_round(
    here: Cluster, schedule: Schedule, *, clients: int, settled: float = SETTLED
) -> tuple[list[Violation], History]:
    """Run one on a cluster that may have seen others; what is violated, and the history."""
    made = [
        ChaosClient(_history_of(number, schedule.seed), here, schedule.seed * 1_000 + number)
        for number in range(clients)
    ]
    found = Round(here, schedule, made, settled)
    return await found.run(), found.history


def _history_of(number: int, seed: int) -> ClientHistory:
    """Clients of each kind in turn; some users have several devices, and of those who have but one, each is a user."""
    kind = list(Kind)[number % len(Kind)]
    of = number if kind in DEVICES else f"{number // len(Kind)}-{number % 2}"
    return ClientHistory(
        name=f"client-{number}",
        user=f"user-{seed}-{of}",
        kind=kind,
        types=frozenset({"VOTE"}) if kind is Kind.FILTERED else None,
    )
