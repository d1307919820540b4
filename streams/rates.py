"""How often something may be done in a minute, counted in all processes together without asking anybody first."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import starmap

from streams.connection import Client, Script
from streams.each import in_each
from streams.errors import StreamsUnavailable
from streams.keys import Keys, keys_of, shard_of
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.streams")

WINDOW = 60.0
EXCHANGE_EVERY = 0.5
MOST_COUNTS = 100_000
"""About 300 bytes each. The oldest go first; what they counted is still in Redis."""
BATCH = 250


@dataclass(slots=True)
class Count:
    """One key's window: what happened `here` since the last exchange, in `all` processes before it, and in `before`,
    the window before.
    """

    window: int
    here: int = 0
    all: int = 0
    before: int = 0

    def roll(self, window: int) -> None:
        """Go on to a later window."""
        self.before = self.all + self.here if window == self.window + 1 else 0
        self.window, self.here, self.all = window, 0, 0


def wait(count: Count, *, elapsed: float, cost: int, most: int) -> float:
    """How many windows until `cost` more fit under `most` a window; 0: they fit now.

    elapsed: share of the window that is over. The window before counts for the share of it that a window ending now
    would still cover. More than `most` at once never fits; it is told to wait for a window without anything else.
    """
    used = count.all + count.here
    cost = min(cost, most)
    if used + count.before * (1 - elapsed) + cost <= most:
        return 0.0
    if used + cost <= most:
        return 1 - (most - used - cost) / count.before - elapsed
    return 1 - elapsed + max(0.0, 1 - (most - cost) / used)


class Rates:
    """Counts by limit and key, such as a user or an address; `most` has each limit's number for a minute.

    Asking Redis before every operation would cost 0.1 ms and an outage. So each process decides by what it knows, and
    twice a second adds what it counted to Redis and learns what the others did: n processes may let through what fits
    into half a second more. While Redis is away each counts alone.
    """

    def __init__(
        self,
        *,
        redis: Client,
        metrics: Metrics,
        most: Mapping[str, int],
        now: Callable[[], float] = time.time,
        shards: int = 1,
    ) -> None:
        self._shards = keys_of(shards)
        self._metrics = metrics
        self._most = dict(most)
        self._now = now
        self._counts: dict[tuple[str, str], Count] = {}
        self._changed: dict[tuple[str, str], None] = {}
        self._swept = 0
        self._add = Script(redis, "rates")

    def __len__(self) -> int:
        """How many keys are counted."""
        return len(self._counts)

    def hit(self, limit: str, key: str, cost: int = 1) -> timedelta | None:
        """Count `cost` and return None; or, beyond the limit, count nothing and return how long to wait."""
        window, elapsed = divmod(self._now() / WINDOW, 1)
        name = limit, key
        count = self._counts.get(name)
        if count is None:
            count = self._begin(name, int(window))
        elif count.window != window:
            count.roll(int(window))
        windows = wait(count, elapsed=elapsed, cost=cost, most=self._most[limit])
        if windows > 0:
            return timedelta(seconds=windows * WINDOW)
        count.here += cost
        self._changed[name] = None
        return None

    def _begin(self, name: tuple[str, str], window: int) -> Count:
        if len(self._counts) >= MOST_COUNTS:
            oldest = next(iter(self._counts))
            del self._counts[oldest]
            self._metrics.rate_limit_forgotten_total.inc()
        count = self._counts[name] = Count(window)
        return count

    async def run(self) -> None:
        """Exchange counts with the other processes until cancelled."""
        while True:
            await asyncio.sleep(EXCHANGE_EVERY)
            try:
                await self.exchange()
            except StreamsUnavailable as error:
                self._metrics.rate_limit_unshared_total.inc()
                log.debug("rates are counted alone", extra={"error": str(error)})
            self._sweep()

    async def exchange(self) -> None:
        """Tell what was counted here, and learn what was elsewhere. Raises StreamsUnavailable; it is told later."""
        changed, self._changed = self._changed, {}
        by_shard: dict[Keys, list[tuple[str, str]]] = {}  # a script takes the keys of one
        for name in changed:
            by_shard.setdefault(self._shards[shard_of(name[1], len(self._shards))], []).append(name)
        await in_each(starmap(self._exchange_in, by_shard.items()))

    async def _exchange_in(self, shard: Keys, names: list[tuple[str, str]]) -> None:
        for first in range(0, len(names), BATCH):
            try:
                await self._exchange(shard, names[first : first + BATCH])
            except BaseException:
                self._changed.update(dict.fromkeys(names[first:]))
                raise

    async def _exchange(self, shard: Keys, names: list[tuple[str, str]]) -> None:
        window = int(self._now() / WINDOW)
        told = [(name, count, count.here) for name in names if (count := self._counts.get(name)) and count.here]
        told = [one for one in told if one[1].window == window]
        if not told:
            return
        keys = [shard.rate(*name, at) for name, _, _ in told for at in (window, window - 1)]
        answers = await self._add(keys=keys, args=[int(2 * WINDOW), *(here for _, _, here in told)])
        for (_, count, here), (everywhere, before) in zip(told, answers, strict=True):
            if count.window == window:  # not rolled on while Redis answered
                count.all, count.before = int(everywhere), int(before)
                count.here -= here

    def _sweep(self) -> None:
        """Once a window, forget who did nothing in the last two."""
        window = int(self._now() / WINDOW)
        if window != self._swept:
            self._swept = window
            self._counts = {name: count for name, count in self._counts.items() if count.window >= window - 1}
