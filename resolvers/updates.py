"""The stream by polling: what follows a cursor, page by page."""

from dataclasses import dataclass

from resolvers.activities import Activity, ActivityFilter
from resolvers.events import Event, added, not_delivered
from resolvers.gaps import Continuations
from streams.cursor import Cursor
from streams.history import History
from streams.pages import Pages
from streams.poison import Poison
from streams.steps import Lack, Missing
from streams.tail import Tail

MOST_SCANNED = 10_000
"""Entries a poll looks at: a narrow filter over a long absence takes several polls, not one long one."""


@dataclass(frozen=True, slots=True)
class UpdatesPage:
    """Events after the cursor that was asked for, and the cursor to ask for next."""

    events: tuple[Event, ...]
    cursor: Cursor
    head: Cursor
    has_more: bool


class Updates:
    """Reads the log forward for those who poll."""

    def __init__(
        self, *, tail: Tail[Activity], history: History[Activity], continuations: Continuations, poison: Poison
    ) -> None:
        self._tail = tail
        self._history = history
        self._continuations = continuations
        self._poison = poison

    async def since(self, cursor: Cursor, *, first: int, chosen: ActivityFilter) -> UpdatesPage:
        """Up to `first` matching events after `cursor`. Raises Unavailable when PostgreSQL is needed and away."""
        start = await self._continuations.of_cursor(cursor, chosen=chosen, replayed=False)
        events: list[Event] = [start.gap] if start.gap else []
        cursor = start.cursor
        pages = Pages(history=self._history, poison=self._poison)
        scanned = 0
        while len(events) < first and scanned < MOST_SCANNED:
            if not pages:
                await pages.turn(cursor, head=self._tail.head)
                if not pages:
                    break
            at = pages.next()
            scanned += 1
            if isinstance(at, Cursor):
                events.append(not_delivered(at, Missing(cursor, at, Lack.DEAD)))
            elif chosen.matches(at.item):
                missing = Missing(at.prev, at.cursor, Lack.DEAD) if at.cursor in self._poison else None
                events.append(not_delivered(at.cursor, missing) if missing else added(at, attempt=1))
            cursor = at if isinstance(at, Cursor) else at.cursor
        head = max(cursor, self._tail.head)
        return UpdatesPage(tuple(events), cursor, head, has_more=cursor < head)
