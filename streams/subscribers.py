"""Who reads: a user's device, its position and its consumer group."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streams.connection import Script, translated
from streams.cursor import Cursor
from streams.entries import positions_key, stream_key

_DEVICE = re.compile(r"[A-Za-z0-9._~-]{1,64}", re.ASCII)
MOST_PENDING = 1_000
"""Pending entries read back when a subscriber returns; more would be a backlog, which the position covers."""


class SubscriberInvalid(ValueError):
    """The text is no device ID."""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """The durable identity whose position the server keeps: user and client-chosen device ID."""

    user: str
    device: str

    @classmethod
    def of(cls, user: str, device: str) -> "Subscriber":
        """Raises SubscriberInvalid for a device ID that is not 1 to 64 letters, digits, `.`, `_`, `~` or `-`."""
        if not _DEVICE.fullmatch(device):
            raise SubscriberInvalid("subscriber must be 1 to 64 letters, digits, '.', '_', '~' or '-'")
        return cls(user, device)

    @property
    def name(self) -> str:
        """Field of the positions hash. The user is percent-encoded: a colon in it must not reach another's device."""
        return f"{quote(self.user, safe='')}:{self.device}"

    @property
    def group(self) -> str:
        """Name of the consumer group that holds this subscriber's exceptions."""
        return f"users:{self.name}"


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry in a subscriber's PEL: handed over `deliveries` times and never confirmed."""

    cursor: Cursor
    deliveries: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A subscriber as it stands when it connects. Receipts carry `epoch`; those of an older one no longer count."""

    subscriber: Subscriber
    position: Cursor
    epoch: int
    known: bool
    pending: tuple[Pending, ...]


class Subscribers:
    """Positions and pending entries in Redis."""

    def __init__(self, *, redis: "Redis", shard: int = 0) -> None:
        self._redis = redis
        self._stream = stream_key(shard)
        self._positions = positions_key(shard)
        self._open = Script(redis, "open")

    async def open(self, subscriber: Subscriber, *, since: Cursor | None, head: Cursor) -> Opened:
        """Take the subscriber over: a new epoch, and where it continues.

        `since` is the client's own cursor, the truth for its device; without it the kept position counts, and `head`
        for one never seen before. Raises StreamsUnavailable.
        """
        position, epoch, known = await self._open(
            keys=[self._positions], args=[subscriber.name, "" if since is None else str(since), str(head)]
        )
        pending = await self._pending(subscriber) if known else ()
        return Opened(subscriber, Cursor.parse(position), int(epoch), bool(known), pending)

    async def position(self, subscriber: Subscriber) -> Cursor | None:
        """Where the subscriber stands; None if it was never seen. Raises StreamsUnavailable."""
        async with translated("reading a position"):
            kept: Any = await self._redis.hget(self._positions, subscriber.name)
        return None if kept is None else Cursor.parse(kept.split(b" ")[0])

    async def _pending(self, subscriber: Subscriber) -> tuple[Pending, ...]:
        async with translated("reading pending entries"):
            try:
                rows: Any = await self._redis.xpending_range(
                    self._stream, subscriber.group, min="-", max="+", count=MOST_PENDING
                )
            except ResponseError as error:
                if str(error).startswith("NOGROUP"):
                    return ()  # the group is made with the first exception only
                raise
        return tuple(Pending(Cursor.parse(row["message_id"]), row["times_delivered"]) for row in rows)
