"""The log page by page, with the places that nobody can read marked between the entries."""

from collections import deque
from typing import Generic, TypeVar

from streams.cursor import Cursor
from streams.entries import Entry
from streams.history import History
from streams.poison import Poison

T = TypeVar("T")

PAGE = 100
"""Entries looked at between two chances for others: under a millisecond of matching."""


class Pages(Generic[T]):
    """What is next in the log: entries, and cursors in place of what is poison and not even an entry."""

    def __init__(self, *, history: History[T], poison: Poison) -> None:
        self._history = history
        self._poison = poison
        self._page: deque[Entry[T] | Cursor] = deque()

    def __len__(self) -> int:
        return len(self._page)

    def next(self) -> Entry[T] | Cursor:
        """Take the next place off the page."""
        return self._page.popleft()

    async def turn(self, position: Cursor, *, head: Cursor) -> None:
        """Read what follows `position`, up to `head`. Raises what the log raises when only it has that."""
        entries = await self._history.after(position, PAGE)
        self._page.extend(entries)
        if not self._poison:
            return
        known = {entry.cursor for entry in entries}
        holes = [at for at in self._poison.among(position, entries[-1].cursor if entries else head) if at not in known]
        if holes:
            self._page.extend(holes)
            self._page = deque(sorted(self._page, key=place))


def place(at: Entry[T] | Cursor) -> Cursor:
    """Where in the log it is."""
    return at if isinstance(at, Cursor) else at.cursor
