"""How many streams each user has open, in all processes together."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from streams.connection import Client, Script
from streams.errors import StreamsUnavailable
from streams.keys import Keys
from streams.together import GATHER, Together

log = logging.getLogger("divisionbell.streams")

LEAVE_EVERY = 0.2
ASK_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Most open streams of a user and of all, and how many streams a user may open in `window`."""

    per_user: int
    all_users: int
    connects: int
    window: timedelta


@dataclass(frozen=True, slots=True)
class Full:
    """A limit is reached: `user_limit`, `global_limit` or `connect_rate`."""

    limit: str
    wait: timedelta


class Connections:
    """Counts in Redis, where every process counts. While Redis is away, nothing is refused for these limits."""

    def __init__(self, *, redis: Client, process: str, limits: Limits, shard: int = 0) -> None:
        self._keys = Keys(shard)
        self._process = process
        self._limits = limits
        self._enter = Script(redis, "enter")
        self._entering = Together(self._enter_all, name="enter-streams", gather=GATHER)
        self._leave = Script(redis, "leave")
        self._left: Counter[str] = Counter()
        self._ask_at = 0.0

    async def enter(self, user: str) -> Full | None:
        """Count a stream that is about to open; what is in the way if it may not."""
        if time.monotonic() < self._ask_at:
            return None  # Redis did not answer a moment ago: nobody waits for it to not answer again
        try:
            if self._left[user]:
                await self.settle()  # who has just left must not stand in their own way
            limit, seconds = await self._entering(user)
        except StreamsUnavailable:
            self._ask_at = time.monotonic() + ASK_AGAIN
            return None
        return Full(limit.decode(), timedelta(seconds=seconds)) if limit else None

    async def _enter_all(self, users: Sequence[str]) -> Sequence[tuple[bytes, int]]:
        limits, keys = self._limits, self._keys
        answers: Sequence[tuple[bytes, int]] = await self._enter(
            keys=[keys.connections, keys.connections_of(self._process), *map(keys.connects, users)],
            args=[limits.per_user, limits.all_users, limits.connects, int(limits.window.total_seconds()), *users],
        )
        return answers

    def leave(self, user: str) -> None:
        """A counted stream has ended; written within a moment."""
        self._left[user] += 1

    async def run(self) -> None:
        """Write down who left, until cancelled."""
        while True:
            await asyncio.sleep(LEAVE_EVERY)
            if self._left:
                try:
                    await self.settle()
                except StreamsUnavailable as error:
                    log.debug("departures wait for Redis", extra={"error": str(error)})

    async def settle(self) -> None:
        """Write down who left. Raises StreamsUnavailable; they are then written later."""
        left, self._left = self._left, Counter()
        if left:
            await self._write([part for user, count in left.items() for part in (user, count)], left)

    async def resign(self) -> None:
        """Take back all that this process ever counted: it is about to end. Raises StreamsUnavailable."""
        self._left.clear()
        await self._write([], Counter())

    async def _write(self, args: list[str | bytes | int], left: Counter[str]) -> None:
        keys = [self._keys.connections, self._keys.connections_of(self._process)]
        try:
            await self._leave(keys=keys, args=args)
        except BaseException:
            self._left.update(left)
            raise
