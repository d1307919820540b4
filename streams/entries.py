"""An entry of the log, in the one form it has everywhere, and its fields in the Redis stream."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from streams.cursor import Cursor, CursorInvalid
from streams.errors import EntryUnreadable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One activity at its place in the log.

    `prev` is the cursor of its predecessor in the log (0 for the first): whoever has read up to another place than
    `prev` is missing something. `published_at` is in milliseconds since 1970; `data` is the activity as JSON and `item`
    the same decoded.
    """

    cursor: Cursor
    prev: Cursor
    activity_id: int
    published_at: int
    data: bytes
    traceparent: str | None
    item: T


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends: its last cursor and last log number, both 0 when it is empty."""

    cursor: Cursor
    n: int


@dataclass(frozen=True, slots=True)
class Place:
    """A cursor seen from the log: cursor and `n` of the last entry at or before it (0: none), and whether it is that.

    `start` is the place before the oldest entry that the log still has (`START` while nothing was removed).
    """

    at: Cursor
    n: int
    exact: bool
    start: Cursor


class Log(Protocol[T]):
    """What this floor needs of the log of record. Every method raises LogUnavailable-like errors of its own."""

    async def head(self) -> Head:
        """Where the log ends now."""
        ...

    async def after(self, cursor: Cursor, limit: int) -> Sequence[Entry[T]]:
        """Up to `limit` entries that follow `cursor`, in cursor order, without holes; empty at the head."""
        ...

    async def at(self, cursor: Cursor) -> Entry[T] | None:
        """The entry with that cursor; None when the log has none."""
        ...

    async def place(self, cursor: Cursor) -> Place:
        """Where a cursor lies."""
        ...

    async def floor(self, *, since: Cursor, at_most: int) -> Cursor:
        """The place after which the log holds only entries newer than `since`, and no more than `at_most` of them."""
        ...


class SequencedLog(Log[T], Protocol[T]):
    """The log as its sequencer sees it."""

    async def assign(self, *, now_ms: int, limit: int) -> int:
        """Give up to `limit` committed activities their cursors; return how many. Durable when it returns."""
        ...

    async def raise_head(self, cursor: Cursor) -> None:
        """Continue after `cursor`: Redis has seen more than PostgreSQL remembers."""
        ...


def to_fields(entry: Entry[T]) -> list[str | bytes]:
    """The entry's values in the order that `append.lua` expects, its cursor first."""
    return [
        str(entry.cursor),
        str(entry.prev),
        str(entry.activity_id),
        str(entry.published_at),
        entry.data,
        entry.traceparent or "",
    ]


def from_fields(entry_id: bytes, fields: Mapping[bytes, bytes], decode: Callable[[bytes], T]) -> Entry[T]:
    """Read an entry of the stream. Raises EntryUnreadable when a field is missing or does not decode."""
    try:
        data = fields[b"data"]
        return Entry(
            cursor=Cursor.parse(entry_id),
            prev=Cursor.parse(fields[b"prev"]),
            activity_id=int(fields[b"activity_id"]),
            published_at=int(fields[b"publish_timestamp"]),
            data=data,
            traceparent=fields[b"traceparent"].decode("ascii") if b"traceparent" in fields else None,
            item=decode(data),
        )
    except (KeyError, ValueError, CursorInvalid) as error:
        raise EntryUnreadable(f"entry {entry_id.decode('ascii', 'replace')}: {error!r}") from error
