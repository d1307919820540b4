"""The newest entries of the log in memory, without holes."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Generic, TypeVar

from streams.cursor import Cursor
from streams.entries import Entry

T = TypeVar("T")


class Ring(Generic[T]):
    """Holds every entry after `floor` up to `head`, at least the newest `size` once it has seen that many.

    Drops in blocks: it grows to twice `size`, then forgets the older half, so appending stays O(1).
    """

    def __init__(self, *, size: int, floor: Cursor) -> None:
        self._size = size
        self._cursors: list[Cursor] = []
        self._entries: list[Entry[T]] = []
        self.floor = floor
        self.head = floor

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, entry: Entry[T]) -> None:
        """Add the successor of `head`. The caller has checked that there is nothing between the two."""
        if entry.cursor <= self.head:
            raise ValueError(f"{entry.cursor} does not follow {self.head}")
        self._cursors.append(entry.cursor)
        self._entries.append(entry)
        self.head = entry.cursor
        if len(self._entries) >= 2 * self._size:
            drop = len(self._entries) - self._size
            self.floor = self._cursors[drop - 1]
            del self._cursors[:drop], self._entries[:drop]

    def skip_to(self, cursor: Cursor) -> None:
        """Move the head past what cannot be read by anybody; does nothing if the head is there already."""
        self.head = max(self.head, cursor)

    def after(self, cursor: Cursor, limit: int) -> Sequence[Entry[T]] | None:
        """Up to `limit` entries that follow `cursor`, empty at the head; None if it does not reach back so far."""
        if cursor < self.floor:
            return None
        first = bisect_right(self._cursors, cursor)
        return self._entries[first : first + limit]

    def at(self, cursor: Cursor) -> Entry[T] | None:
        """The entry with that cursor; None if it is not here."""
        after = bisect_right(self._cursors, cursor)
        return self._entries[after - 1] if after and self._cursors[after - 1] == cursor else None
