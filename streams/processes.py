"""Which server processes live: what a dead one owned is claimed at once, what a living one owns is waited for."""

import asyncio
import logging
import os
import secrets
from datetime import timedelta

from streams.connection import Client, Script, translated
from streams.errors import StreamsUnavailable
from streams.keys import keys_of

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

    def __init__(self, *, redis: Client, name: str, shards: int = 1) -> None:
        self.name = name
        self._redis = redis
        self._keys = [keys.processes for keys in keys_of(shards)]  # scripts of each shard ask who lives
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
        """Give one sign of life, in every shard. A process that one of them has heard lives.

        Raises StreamsUnavailable if a shard does not answer; if none does, who lives is as it was known last.
        """
        args: list[str | bytes | int] = [self.name, DEAD_AFTER // timedelta(milliseconds=1)]
        beats = (self._beat(keys=[key], args=args) for key in self._keys)
        answers = await asyncio.gather(*beats, return_exceptions=True)
        heard = [answer for answer in answers if not isinstance(answer, BaseException)]
        if heard:
            self._living = frozenset(name.decode() for living in heard for name in living)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer

    async def resign(self) -> None:
        """This process ends in order: nobody has to wait until it counts as dead. Raises StreamsUnavailable."""
        async with translated("resigning"):
            await asyncio.gather(*(self._redis.zrem(key, self.name) for key in self._keys))

    def gives_up(self, owner: str) -> bool:
        """Whether what `owner` owns may be claimed at once: it was released, is our own, or its process is dead."""
        return owner in (RELEASED, self.name) or owner not in self._living
