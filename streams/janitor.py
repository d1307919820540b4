"""The leader's slow rounds: what crashed processes and absent subscribers leave behind in Redis."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis

from streams.connection import Script, translated
from streams.dead_letters import DeadLetters, LetterStore
from streams.errors import StreamsUnavailable
from streams.keys import Keys
from streams.processes import DEAD_AFTER
from streams.publisher import Publisher
from telemetry.leading import Leadership, lead
from telemetry.metrics import Metrics
from telemetry.rounds import Rounds

log = logging.getLogger("divisionbell.streams")

ROUND_EVERY = timedelta(seconds=10)
SELDOM = timedelta(minutes=1)
PARK_AFTER = timedelta(minutes=5)
UNUSED_AFTER = timedelta(days=30)
BATCH = 250
"""Subscribers a script call: a millisecond or two of Redis' one thread."""
PAUSE = 0.05
"""Seconds between two calls, so that a round over many groups takes a fraction of Redis' time."""
FORGOTTEN_AT_ONCE = 500
"""Positions looked at in a round: a million take a few hours."""


class Janitor:
    """Parks, sweeps, forgets, trims and repairs. Every step is safe to do twice, and beside another janitor."""

    def __init__(
        self,
        *,
        redis: "Redis",
        publisher: Publisher[Any],
        dead_letters: DeadLetters,
        letters: LetterStore,
        leadership: Leadership,
        metrics: Metrics,
        park_after: timedelta = PARK_AFTER,
        unused_after: timedelta = UNUSED_AFTER,
        dead_after: timedelta = DEAD_AFTER,
        round_every: timedelta = ROUND_EVERY,
        shard: int = 0,
    ) -> None:
        """`publisher` trims the stream."""
        self._redis = redis
        self._keys = Keys(shard)
        self._publisher = publisher
        self._dead_letters = dead_letters
        self._letters = letters
        self._leadership = leadership
        self._metrics = metrics
        self._ended = {
            what: Rounds(metrics.repairs_waiting_seconds.labels(what=what)) for what in ("pending", "redriven", "trim")
        }
        self._park_after = _ms(park_after)
        self._unused_after = _ms(unused_after)
        self._dead_after = _ms(dead_after)
        self._round_every = round_every.total_seconds()
        self._scan = 0
        self._park = Script(redis, "park")
        self._sweep = Script(redis, "sweep")
        self._forget = Script(redis, "forget")
        self._heartbeat = Script(redis, "heartbeat")
        self._leave = Script(redis, "leave")

    async def run(self) -> None:
        """Lead whenever nobody else does, until cancelled."""
        await lead(self._leadership, self._begin, role="janitor", log=log, again_after=self._round_every / 10)

    async def _begin(self) -> None:
        with ExitStack() as stack:
            for rounds in self._ended.values():
                stack.enter_context(rounds.leading())
            await self._rounds()

    async def _rounds(self) -> None:
        duties: dict[str, tuple[float, Callable[[], Awaitable[None]]]] = {
            "pending": (self._round_every, self.round),
            "redriven": (SELDOM.total_seconds(), self.remail),
            "trim": (SELDOM.total_seconds(), self._publisher.trim),
        }
        clock = asyncio.get_running_loop().time
        due = {name: clock() + every for name, (every, _) in duties.items()}
        while True:
            await asyncio.sleep(max(min(due.values()) - clock(), 0))
            for name, (every, work) in duties.items():
                if clock() < due[name]:
                    continue
                due[name] = clock() + every
                try:
                    await work()
                except StreamsUnavailable as error:
                    log.warning("the janitor waits for Redis", extra={"duty": name, "error": str(error)})
                else:
                    self._ended[name].done()

    async def round(self) -> None:
        """What is due often, once. Raises StreamsUnavailable, and what PostgreSQL raises."""
        await self.park()
        await self.sweep()
        await self.forget()
        await self.bury_processes()
        for state, count in (await self._letters.waiting()).items():
            self._metrics.dead_letters.labels(state=state).set(count)

    async def remail(self) -> None:
        """Redriven letters that have not arrived: tell their subscribers again what a flush took.

        Raises StreamsUnavailable, and what PostgreSQL raises.
        """
        for subscriber, letter_id, cursor in await self._letters.to_heal():
            await self._dead_letters.redrive(subscriber, letter_id, cursor)

    async def park(self) -> int:
        """Make missed again what has been pending for absent subscribers for long; return how many entries."""
        keys, parked = self._keys, 0
        async with translated("looking for absent subscribers"):
            long_pending: Any = await self._redis.zrange(keys.pending_since, "-inf", "+inf", byscore=True)
        for names in _batches(long_pending):
            for name in names:
                parked += await self._park(
                    keys=[*self._index(keys.positions), keys.processes],
                    args=[name, _group(name), self._park_after, self._dead_after],
                )
            await asyncio.sleep(PAUSE)
        self._metrics.entries_parked_total.inc(parked)
        return parked

    async def sweep(self) -> None:
        """Look after every group that is registered: dead consumers, disuse, and the index of pending entries."""
        keys = self._keys
        async with translated("reading the registry of groups"):
            registered: Any = await self._redis.zrange(keys.groups, 0, -1)
        for names in _batches(registered):
            args = [part for name in names for part in (name, _group(name))]
            deleted, removed, wrong = await self._sweep(
                keys=[*self._index(), keys.processes, keys.signals], args=[self._dead_after, self._unused_after, *args]
            )
            for what, count in (("consumer", deleted), ("group", removed), ("index", wrong)):
                self._metrics.janitor_repairs_total.labels(what=what).inc(count)
            await asyncio.sleep(PAUSE)
        await self._add_up()

    async def forget(self) -> None:
        """Drop positions of subscribers that have not come for long; PostgreSQL has them."""
        keys = self._keys
        async with translated("looking at positions"):
            reply: Any = await self._redis.hscan(keys.positions, self._scan, count=FORGOTTEN_AT_ONCE)
        self._scan, positions = reply
        if positions:
            forgotten = await self._forget(
                keys=[keys.positions, keys.pending, keys.processes, keys.mail],
                args=[self._unused_after, self._dead_after, *positions],
            )
            self._metrics.janitor_repairs_total.labels(what="position").inc(forgotten)

    async def bury_processes(self) -> None:
        """Take back the connections of dead processes, and forget them when no entry is theirs any more."""
        keys = self._keys
        living = set(await self._heartbeat(keys=[keys.processes], args=["", self._dead_after]))
        async with translated("looking for dead processes"):
            known: Any = await self._redis.zrange(keys.processes, 0, -1)
        for name in known:
            if name not in living:
                await self._leave(keys=[keys.connections, keys.connections_of(name.decode())], args=[])
                async with translated("forgetting a dead process"):
                    await self._redis.zrem(keys.processes, name)
                log.info("a server process is gone", extra={"process_name": name.decode()})

    async def _add_up(self) -> None:
        """Set the total to the sum of its parts, where it has drifted."""
        async with translated("adding up pending entries"):
            await self._redis.eval(
                "local sum = 0 for _, n in ipairs(redis.call('HVALS', KEYS[1])) do sum = sum + n end"
                " redis.call('SET', KEYS[2], sum)",
                2,
                self._keys.pending,
                self._keys.pending_total,
            )

    def _index(self, *first: str) -> list[str]:
        keys = self._keys
        return [*first, keys.stream, keys.groups, keys.pending, keys.pending_since, keys.pending_total]


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def _group(name: bytes) -> bytes:
    return b"users:" + name


def _batches(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    rest = iter(names)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch
