"""Which server processes live: what a dead one owned is claimed at once, what a living one owns is waited for."""

import asyncio
import logging
import os
import secrets
from datetime import timedelta

from redis.asyncio import Redis

from streams.connection import Script, translated
from streams.errors import StreamsUnavailable
from streams.keys import Keys

log = logging.getLogger("divisionbell.streams")

BEAT_EVERY = timedelta(seconds=1)
DEAD_AFTER = timedelta(seconds=5)
"""Without a sign of life. Longer than any pause of a healthy process, far shorter than PEL_IDLE."""
RELEASED = "released"
"""Owner of entries whose stream ended in order: the subscriber's next stream takes them at once."""


def process_name() -> str:
    """A name that no other process has, this one's next life included; also its name as a Redis consumer."""
    return f"p{os.getpid()}-{secrets.token_hex(3)}"


class Processes:
    """Says once a second that this process lives, and remembers which others do."""

    def __init__(self, *, redis: "Redis", name: str, shard: int = 0) -> None:
        self.name = name
        self._redis = redis
        self._keys = [Keys(shard).processes]
        self._beat = Script(redis, "heartbeat")
        self._living: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            try:
                await self.beat()
            except StreamsUnavailable as error:
                log.debug("no heartbeat", extra={"error": str(error)})
            await asyncio.sleep(BEAT_EVERY.total_seconds())

    async def beat(self) -> None:
        """Give one sign of life. Raises StreamsUnavailable; who lives is then as it was known last."""
        dead_after = DEAD_AFTER // timedelta(milliseconds=1)
        living = await self._beat(keys=self._keys, args=[self.name, dead_after])
        self._living = frozenset(name.decode() for name in living)

    async def resign(self) -> None:
        """This process ends in order: nobody has to wait until it counts as dead. Raises StreamsUnavailable."""
        async with translated("resigning"):
            await self._redis.zrem(self._keys[0], self.name)

    def gives_up(self, owner: str) -> bool:
        """Whether what `owner` owns may be claimed at once: it was released, is our own, or its process is dead."""
        return owner in (RELEASED, self.name) or owner not in self._living
