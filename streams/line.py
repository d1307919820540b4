"""A subscriber's pending entries, in the line before what it missed: which may be claimed now, and which later."""

from collections import deque
from collections.abc import Iterable

from streams.cursor import Cursor
from streams.in_flight import PEL_IDLE, InFlight
from streams.processes import Processes
from streams.subscribers import Pending


class Line:
    """Sorts what XPENDING shows. Decides, and does no I/O.

    Claimed at once: what was released, what is this process's own, and what a dead process owned. What a living one
    answers for is waited for until it gives it up, dies, or has left it idle for PEL_IDLE.
    """

    def __init__(self, *, books: InFlight, processes: Processes) -> None:
        self._books = books
        self._processes = processes
        self.claimable: deque[Pending] = deque()
        self.elsewhere: dict[Cursor, Pending] = {}
        self._deliveries: dict[Cursor, int] = {}

    def join(self, pending: Iterable[Pending], *, since: Cursor | None = None) -> None:
        """Take entries in. What is pending up to the client's own cursor `since`, it has."""
        for one in pending:
            self._books.hold(one.cursor)
            if since is not None and one.cursor <= since:
                self._books.forget(one.cursor)
            elif one.cursor > self._books.position:
                # The client went back to an older cursor of its own: this entry comes again in its place.
                self._deliveries[one.cursor] = one.deliveries
            else:
                self.elsewhere[one.cursor] = one
        self._look()

    def shown(self, pending: Iterable[Pending]) -> None:
        """What XPENDING shows by now of what is elsewhere; what it shows no more has been confirmed."""
        shown = {one.cursor: one for one in pending}
        for cursor in self.elsewhere.keys() - shown.keys():
            self._books.forget(cursor)
        self.elsewhere = {cursor: shown[cursor] for cursor in self.elsewhere if cursor in shown}
        self._look()

    def _look(self) -> None:
        for cursor in sorted(self.elsewhere):
            one = self.elsewhere[cursor]
            if one.idle >= PEL_IDLE.total_seconds() or self._processes.gives_up(one.owner):
                self.claimable.append(self.elsewhere.pop(cursor))

    def acknowledged(self, through: Cursor) -> None:
        """The client has everything up to `through`."""
        self.claimable = deque(one for one in self.claimable if one.cursor > through)
        self.elsewhere = {cursor: one for cursor, one in self.elsewhere.items() if cursor > through}

    def deliveries(self, cursor: Cursor) -> int:
        """How often an entry that comes in its place was handed over before."""
        return self._deliveries.pop(cursor, 0)
