"""The stream by polling: what follows a cursor, page by page."""

from dataclasses import dataclass
from typing import TypeVar

from resolvers.activities import Activity, ActivityFilter
from resolvers.events import Event, Gap, added, ahead
from streams.cursor import Cursor
from streams.entries import Log
from streams.history import History
from streams.tail import Tail

T = TypeVar("T")

PAGE = 500
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

    def __init__(self, *, tail: Tail[Activity], history: History[Activity], log_of_record: Log[Activity]) -> None:
        self._tail = tail
        self._history = history
        self._log = log_of_record

    async def since(self, cursor: Cursor, *, first: int, chosen: ActivityFilter) -> UpdatesPage:
        """Up to `first` matching events after `cursor`. Raises Unavailable when PostgreSQL is needed and away."""
        if gap := await beyond_head(cursor, tail=self._tail, log_of_record=self._log):
            return UpdatesPage((gap,), gap.cursor, gap.cursor, has_more=False)
        events: list[Event] = []
        scanned = 0
        while len(events) < first and scanned < MOST_SCANNED:
            entries = await self._history.after(cursor, PAGE)
            if not entries:
                break
            for entry in entries:
                scanned += 1
                cursor = entry.cursor
                if chosen.matches(entry.item):
                    events.append(added(entry, attempt=1))
                    if len(events) == first:
                        break
        head = max(cursor, self._tail.head)
        return UpdatesPage(tuple(events), cursor, head, has_more=cursor < head)


async def beyond_head(cursor: Cursor, *, tail: Tail[T], log_of_record: Log[T]) -> Gap | None:
    """The gap of a cursor that the log has not reached, else None.

    Another process may be a moment ahead of this one's tail, so PostgreSQL is asked before anybody is told to refetch.
    """
    if cursor <= tail.head:
        return None
    head = (await log_of_record.head()).cursor
    return ahead(cursor, head) if cursor > head else None
