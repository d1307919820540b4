"""Reading the log at any place: from the ring if it reaches back so far, else Redis, else PostgreSQL."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from streams.connection import Client, translated
from streams.cursor import Cursor
from streams.entries import Entry, Log, from_fields
from streams.errors import EntryUnreadable, StreamsUnavailable
from streams.tail import Tail

log = logging.getLogger("divisionbell.streams")
T = TypeVar("T")


def unbroken(entries: Sequence[Entry[T]], *, after: Cursor) -> bool:
    """Whether `entries` is the run of the log that follows `after`, with nothing left out."""
    reached = after
    for entry in entries:
        if entry.prev > reached or entry.cursor <= reached:
            return False
        reached = entry.cursor
    return True


class History(Generic[T]):
    """The log from any cursor up to what the tail has, whoever still has it."""

    def __init__(self, *, tail: Tail[T], redis: Client, log_of_record: Log[T], decode: Callable[[bytes], T]) -> None:
        self._tail = tail
        self._redis = redis
        self._log = log_of_record
        self._decode = decode

    async def after(self, cursor: Cursor, limit: int) -> Sequence[Entry[T]]:
        """Up to `limit` entries that follow `cursor`, in order, without holes; empty at the tail's head.

        Raises what the log raises when only PostgreSQL has them and does not answer.
        """
        if (recent := self._tail.ring.after(cursor, limit)) is not None:
            return recent
        try:
            async with translated("reading the past"):
                raw: Any = await self._redis.xrange(self._tail.key, min=f"({cursor}", max="+", count=limit)
            entries = [from_fields(entry_id, fields, self._decode) for entry_id, fields in raw]
        except (StreamsUnavailable, EntryUnreadable) as error:
            log.info("reading the past from PostgreSQL", extra={"error": str(error)})
        else:
            if entries and unbroken(entries, after=cursor):
                return entries
        return await self._log.after(cursor, limit)

    async def at(self, cursor: Cursor) -> Entry[T] | None:
        """The entry with that cursor, from the ring or PostgreSQL; None if there is none (any more)."""
        return self._tail.ring.at(cursor) or await self._log.at(cursor)
