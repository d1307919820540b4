"""The leader's slow rounds: what crashed processes and absent subscribers leave behind in Redis."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from streams.connection import Client, Script, translated
from streams.dead_letters import DeadLetters, LetterStore
from streams.each import in_each
from streams.errors import StreamsUnavailable
from streams.keys import Keys, index_of, keys_of
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
FIRST = Keys()
"""The shard there always is."""
FORGOTTEN_AT_ONCE = 500
"""Positions looked at in a round: a million take a few hours."""


class Janitor:
    """Parks, sweeps, forgets, trims and repairs. Every step is safe to do twice, and beside another janitor."""

    def __init__(
        self,
        *,
        redis: Client,
        publisher: Publisher[Any],
        dead_letters: DeadLetters,
        letters: LetterStore,
        leadership: Leadership,
        metrics: Metrics,
        park_after: timedelta = PARK_AFTER,
        unused_after: timedelta = UNUSED_AFTER,
        dead_after: timedelta = DEAD_AFTER,
        round_every: timedelta = ROUND_EVERY,
        shards: int = 1,
    ) -> None:
        """`publisher` trims the streams."""
        self._redis = redis
        self._shards = keys_of(shards)
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
        self._scans = dict.fromkeys(self._shards, 0)
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
        """What is due often, once, in every shard. Raises StreamsUnavailable, and what PostgreSQL raises."""
        await in_each(map(self._look_after, self._shards))
        for state, count in (await self._letters.waiting()).items():
            self._metrics.dead_letters.labels(state=state).set(count)

    async def _look_after(self, keys: Keys) -> None:
        await self.park(keys)
        await self.sweep(keys)
        await self.forget(keys)
        await self.bury_processes(keys)

    async def remail(self) -> None:
        """Redriven letters that have not arrived: tell their subscribers again what a flush took.

        Raises StreamsUnavailable, and what PostgreSQL raises.
        """
        await in_each(itertools.starmap(self._dead_letters.redrive, await self._letters.to_heal()))

    async def park(self, keys: Keys = FIRST) -> int:
        """Make missed again what has been pending for absent subscribers for long; return how many entries."""
        parked = 0
        async with translated("looking for absent subscribers"):
            long_pending: Any = await self._redis.zrange(keys.pending_since, "-inf", "+inf", byscore=True)
        for names in _batches(long_pending):
            for name in names:
                parked += await self._park(
                    keys=[keys.positions, *index_of(keys), keys.processes],
                    args=[name, _group(name), self._park_after, self._dead_after],
                )
            await asyncio.sleep(PAUSE)
        self._metrics.entries_parked_total.inc(parked)
        return parked

    async def sweep(self, keys: Keys = FIRST) -> None:
        """Look after every group that is registered: dead consumers, disuse, and the index of pending entries."""
        async with translated("reading the registry of groups"):
            registered: Any = await self._redis.zrange(keys.groups, 0, -1)
        for names in _batches(registered):
            args = [part for name in names for part in (name, _group(name))]
            deleted, removed, wrong = await self._sweep(
                keys=[*index_of(keys), keys.processes, keys.signals], args=[self._dead_after, self._unused_after, *args]
            )
            for what, count in (("consumer", deleted), ("group", removed), ("index", wrong)):
                self._metrics.janitor_repairs_total.labels(what=what).inc(count)
            await asyncio.sleep(PAUSE)
        await self._add_up(keys)

    async def forget(self, keys: Keys = FIRST) -> None:
        """Drop positions of subscribers that have not come for long; PostgreSQL has them."""
        async with translated("looking at positions"):
            reply: Any = await self._redis.hscan(keys.positions, self._scans[keys], count=FORGOTTEN_AT_ONCE)
        self._scans[keys], positions = reply
        if positions:
            forgotten = await self._forget(
                keys=[keys.positions, keys.pending, keys.processes, keys.mail],
                args=[self._unused_after, self._dead_after, *positions],
            )
            self._metrics.janitor_repairs_total.labels(what="position").inc(forgotten)

    async def bury_processes(self, keys: Keys = FIRST) -> None:
        """Take back the connections of dead processes, and forget them when no entry is theirs any more."""
        living = set(await self._heartbeat(keys=[keys.processes], args=["", self._dead_after]))
        async with translated("looking for dead processes"):
            known: Any = await self._redis.zrange(keys.processes, 0, -1)
        for name in known:
            if name not in living:
                await self._leave(keys=[keys.connections, keys.connections_of(name.decode())], args=[])
                async with translated("forgetting a dead process"):
                    await self._redis.zrem(keys.processes, name)
                log.info("a server process is gone", extra={"process_name": name.decode()})

    async def _add_up(self, keys: Keys) -> None:
        """Set the total to the sum of its parts, where it has drifted."""
        async with translated("adding up pending entries"):
            await self._redis.eval(
                "local sum = 0 for _, n in ipairs(redis.call('HVALS', KEYS[1])) do sum = sum + n end"
                " redis.call('SET', KEYS[2], sum)",
                2,
                keys.pending,
                keys.pending_total,
            )


def _ms(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def _group(name: bytes) -> bytes:
    return b"users:" + name


def _batches(names: Sequence[bytes]) -> Iterator[list[bytes]]:
    rest = iter(names)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch
