"""Entries that nobody can be shown: they cannot be decoded, cannot be rendered, or kill who tries."""

from bisect import bisect_right, insort
from collections.abc import Sequence

from streams.cursor import Cursor

MOST = 1_000
"""Kept in memory; of more the oldest are forgotten, and found to be poison again when somebody replays them."""


class Poison:
    """Cursors of entries that streams tell as a gap instead of delivering them. Nearly always empty."""

    def __init__(self) -> None:
        self._cursors: list[Cursor] = []

    def __len__(self) -> int:
        return len(self._cursors)

    def __contains__(self, cursor: Cursor) -> bool:
        return bool(self.among(Cursor(cursor - 1), cursor))

    def add(self, cursor: Cursor) -> bool:
        """Note one; return whether it was not known."""
        if cursor in self:
            return False
        insort(self._cursors, cursor)
        del self._cursors[:-MOST]
        return True

    def discard(self, cursor: Cursor) -> None:
        """It has been redriven: whoever replays it tries again."""
        if cursor in self:
            self._cursors.remove(cursor)

    def among(self, after: Cursor, through: Cursor) -> Sequence[Cursor]:
        """Those after one place up to another, in order."""
        return self._cursors[bisect_right(self._cursors, after) : bisect_right(self._cursors, through)]
