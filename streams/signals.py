"""What one process tells the others about a subscriber, so that a stream of it hears at once what it must know.

Nothing depends on a signal to arrive: a stream that was taken over learns it from its next receipt too, released
entries are found when they have been idle, mail is read when the subscriber comes back.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from streams.connection import Client, translated
from streams.errors import StreamsUnavailable
from streams.keys import Keys

log = logging.getLogger("divisionbell.streams")

BLOCK_MS = 1_000
KEPT = 10_000
"""Signals in the stream: a reader that falls further behind hears the rest."""


class SignalKind(StrEnum):
    """What happened. `detail` is the new epoch, nothing, the cursor, the word of mail, or what a user has read."""

    TAKEN_OVER = "taken_over"
    RELEASED = "released"
    ACKNOWLEDGED = "acknowledged"
    REDRIVEN = "redriven"
    READ = "read"


@dataclass(frozen=True, slots=True)
class Signal:
    """One message about the subscriber `name` (of READ: the user), or about all of them for `*`."""

    kind: SignalKind
    name: str
    detail: str


class Signals:
    """Follows the signals from now on and hands each to `heard`."""

    def __init__(self, *, redis: Client, heard: Callable[[Signal], None], shard: int = 0) -> None:
        self._redis = redis
        self._heard = heard
        self._key = Keys(shard).signals
        self._last: str | None = None

    async def say(self, signal: Signal) -> None:
        """Tell every process, this one too. Raises StreamsUnavailable."""
        fields: Any = {"kind": signal.kind.value, "name": signal.name, "detail": signal.detail}
        async with translated("sending a signal"):
            await self._redis.xadd(self._key, fields, maxlen=KEPT, approximate=True)

    async def run(self) -> None:
        """Follow until cancelled. What is said while Redis is away is not heard."""
        while True:
            try:
                await self.follow_once()
            except StreamsUnavailable as error:
                log.debug("no signals", extra={"error": str(error)})
                await asyncio.sleep(BLOCK_MS / 1_000)

    async def follow_once(self) -> None:
        """Wait up to a second for signals and hand them on. Raises StreamsUnavailable."""
        async with translated("following the signals"):
            if self._last is None:
                newest: Any = await self._redis.xrevrange(self._key, count=1)
                self._last = newest[0][0].decode() if newest else "0-0"
            reply: Any = await self._redis.xread({self._key: self._last}, count=1_000, block=BLOCK_MS)
        for _, rows in reply:
            for entry_id, fields in rows:
                self._last = entry_id.decode()
                try:
                    kind = SignalKind(fields[b"kind"].decode())
                    self._heard(Signal(kind, fields[b"name"].decode(), fields[b"detail"].decode()))
                except (KeyError, ValueError):
                    log.debug("a signal of another version", extra={"id": self._last})
