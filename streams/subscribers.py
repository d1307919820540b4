"""Who reads: a user's device, its position and its consumer group."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import quote

from redis.exceptions import ResponseError

from streams.checkpoints import Checkpoint, Checkpoints
from streams.connection import Client, Script, translated
from streams.cursor import Cursor
from streams.errors import StreamsUnavailable
from streams.keys import Keys, index_of, keys_of, shard_of
from streams.together import GATHER, Together

log = logging.getLogger("divisionbell.streams")

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
    name: str = field(init=False, compare=False)
    """Field of the positions hash. The user is percent-encoded: a colon in it must not reach another's device."""

    def __post_init__(self) -> None:
        """Make the name once: every receipt needs it. What is as plain as a device ID, quoting would not change."""
        user = self.user if _DEVICE.fullmatch(self.user) else quote(self.user, safe="")
        object.__setattr__(self, "name", f"{user}:{self.device}")

    @classmethod
    def of(cls, user: str, device: str) -> "Subscriber":
        """Raises SubscriberInvalid for a device ID that is not 1 to 64 letters, digits, `.`, `_`, `~` or `-`."""
        if not _DEVICE.fullmatch(device):
            raise SubscriberInvalid("subscriber must be 1 to 64 letters, digits, '.', '_', '~' or '-'")
        return cls(user, device)

    @property
    def group(self) -> str:
        """Name of the consumer group that holds this subscriber's exceptions."""
        return f"users:{self.name}"


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry in a subscriber's PEL: handed over `deliveries` times, last `idle` seconds ago, by `owner`."""

    cursor: Cursor
    deliveries: int
    owner: str
    idle: float


@dataclass(frozen=True, slots=True)
class Suspect:
    """The entry first in a subscriber's line that failed `attempts` times (instants in ms since 1970)."""

    cursor: Cursor
    attempts: int
    first_ms: int
    last_ms: int

    def __str__(self) -> str:
        """As it is kept in Redis."""
        return f"{self.cursor} {self.attempts} {self.first_ms} {self.last_ms}"


@dataclass(frozen=True, slots=True)
class Opened:
    """A subscriber as it stands when it connects. Receipts carry `epoch`; those of an older one no longer count.

    `lost`: nobody remembers where it stood, so it starts at the head. `mail` is what it has to be told.
    """

    subscriber: Subscriber
    position: Cursor
    epoch: int
    pending: tuple[Pending, ...] = ()
    suspect: Suspect | None = None
    mail: tuple[str, ...] = ()
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Where a subscriber stands after it confirmed, and how many entries are still pending for it."""

    position: Cursor
    pending: int


@dataclass(frozen=True, slots=True)
class Opening:
    """A subscriber that connects: the client's own cursor, and what PostgreSQL remembers if it was asked."""

    subscriber: Subscriber
    since: Cursor | None
    kept: Checkpoint | None = None


class Subscribers:
    """Positions and pending entries in the subscribers' shards, and in PostgreSQL where Redis has lost them."""

    def __init__(self, *, redis: Client, process: str, checkpoints: Checkpoints, shards: int = 1) -> None:
        self._redis = redis
        self._shards = keys_of(shards)
        self._process = process
        self._checkpoints = checkpoints
        self._open = Script(redis, "open")
        self._opening = [
            Together(partial(self._take_over, keys), name="open-subscribers", gather=GATHER) for keys in self._shards
        ]
        self._acknowledge = Script(redis, "acknowledge")

    async def open(self, subscriber: Subscriber, *, since: Cursor | None, head: Cursor) -> Opened:
        """Take the subscriber over: a new epoch, and where it continues.

        `since` is the client's own cursor, the truth for its device; without it the kept position counts, and `head`
        for one never seen before. Raises StreamsUnavailable.
        """
        opening = self._opening[shard_of(subscriber.name, len(self._shards))]
        opened = await opening(Opening(subscriber, since))
        if opened is not None:
            return opened
        try:
            kept = await self._checkpoints.introduce(subscriber.name, position=head if since is None else since)
        except Exception as error:  # noqa: BLE001 - the store's own errors: PostgreSQL is away
            log.warning("a position is unknown and cannot be looked up", extra={"error": repr(error)})
            kept, lost = Checkpoint(subscriber.name, head, 0), since is None
        else:
            lost = False
        opened = await opening(Opening(subscriber, since, kept))
        if opened is None:
            raise StreamsUnavailable("Redis was flushed while a subscriber connected")
        return replace(opened, lost=lost)

    def _keys(self, subscriber: Subscriber) -> Keys:
        return self._shards[shard_of(subscriber.name, len(self._shards))]

    async def _take_over(self, keys: Keys, openings: Sequence[Opening]) -> list[Opened | None]:
        """None for a subscriber that is not known here, as long as nobody has said what PostgreSQL remembers."""
        args: list[str | bytes | int] = [self._process, MOST_PENDING]
        for one in openings:
            args += (one.subscriber.name, one.subscriber.group, "" if one.since is None else str(one.since))
            args += ("", 0) if one.kept is None else (str(one.kept.position), one.kept.epoch)
        replies = await self._open(
            keys=[keys.positions, keys.stream, keys.suspects, keys.mail, keys.signals], args=args
        )
        return [_opened(one.subscriber, reply) if reply else None for one, reply in zip(openings, replies, strict=True)]

    async def pending(self, subscriber: Subscriber) -> tuple[Pending, ...]:
        """The oldest entries of its PEL. Raises StreamsUnavailable."""
        async with translated("reading pending entries"):
            try:
                rows: Any = await self._redis.xpending_range(
                    self._keys(subscriber).stream, subscriber.group, min="-", max="+", count=MOST_PENDING
                )
            except ResponseError as error:
                if str(error).startswith("NOGROUP"):
                    return ()  # the group is made with the first exception only
                raise
        return tuple(
            _pending((row["message_id"], row["consumer"], row["time_since_delivered"], row["times_delivered"]))
            for row in rows
        )

    async def acknowledge(self, subscriber: Subscriber, through: Cursor) -> Acknowledged | None:
        """Confirm everything up to `through`; None for a subscriber that is not known. Raises StreamsUnavailable."""
        keys = self._keys(subscriber)
        reply = await self._acknowledge(
            keys=[keys.positions, *index_of(keys), keys.suspects, keys.signals],
            args=[subscriber.name, subscriber.group, self._process, str(through)],
        )
        return Acknowledged(Cursor.parse(reply[0]), int(reply[1])) if reply else None

    async def position(self, subscriber: Subscriber) -> Cursor | None:
        """Where the subscriber stands; None if it was never seen. Raises StreamsUnavailable."""
        async with translated("reading a position"):
            kept: Any = await self._redis.hget(self._keys(subscriber).positions, subscriber.name)
        return None if kept is None else Cursor.parse(kept.split(b" ")[0])


def _opened(subscriber: Subscriber, reply: Sequence[Any]) -> Opened:
    position, epoch, suspect, mail, pending = reply
    return Opened(
        subscriber=subscriber,
        position=Cursor.parse(position),
        epoch=int(epoch),
        pending=tuple(_pending(row) for row in pending),
        suspect=_suspect(suspect.decode()),
        mail=tuple(mail.decode().split()),
    )


def _pending(row: Sequence[Any]) -> Pending:
    cursor, owner, idle_ms, deliveries = row
    return Pending(Cursor.parse(cursor), int(deliveries), owner.decode(), int(idle_ms) / 1_000)


def _suspect(text: str) -> Suspect | None:
    if not text:
        return None
    cursor, attempts, first_ms, last_ms = text.split()
    return Suspect(Cursor.parse(cursor), int(attempts), int(first_ms), int(last_ms))
