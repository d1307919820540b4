"""One subscription's way through the log: what is pending, then what it missed, then live."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Generic, Protocol, Self, TypeVar

from streams.cursor import Cursor
from streams.entries import Entry
from streams.history import History
from streams.ledger import Ledger, Receipt
from streams.subscribers import Opened, Pending
from streams.tail import Tail

T = TypeVar("T")

PAGE = 100
"""Entries looked at between two chances for others: under a millisecond of matching."""
ASK_AGAIN = 0.1
"""Seconds until a connection is asked again what it has taken; on loopback and in cities it is milliseconds."""
MOST_HANDED_OVER = 1_000
"""Deliveries that become pending when a stream ends; of more, the position stays before the first, as after a crash."""


@dataclass(frozen=True, slots=True)
class Delivery(Generic[T]):
    """An entry handed over. `attempt` is 1 the first time; `live` when it was not waited for."""

    entry: Entry[T]
    attempt: int
    live: bool


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing to deliver: this stream has come to `position`, and the log ends at `head`."""

    position: Cursor
    head: Cursor


class Acceptance(Protocol):
    """What became of the bytes that deliveries were turned into, counted from the beginning of the stream."""

    def sent(self) -> int:
        """Bytes given to the connection so far."""
        ...

    def taken(self) -> int:
        """How many of them the client's side has for certain."""
        ...


class TakenAtOnce:
    """Acceptance where nothing is known of a connection: what was given was taken."""

    def sent(self) -> int:
        """Nothing is counted."""
        return 0

    def taken(self) -> int:
        """Nothing is waiting."""
        return 0


@dataclass(frozen=True, slots=True)
class Given(Generic[T]):
    """A delivery whose bytes were sent, all of them before offset `through`. `before` was the position until then."""

    delivery: Delivery[T]
    through: int
    before: Cursor


class Closed(Enum):
    """Why a stream ends before its client leaves."""

    DRAINING = auto()
    SUPERSEDED = auto()


class Consumer(Generic[T]):
    """Drives one subscription: `async with consumer: async for step in consumer`.

    Yields every matching entry after the starting position, in cursor order, pending ones first with their attempt, and
    a bookmark when the time has come. A delivery is confirmed when `acceptance` says that the client's side has taken
    its bytes. What was given and is not confirmed when the block ends goes to the subscriber's PEL, and the
    subscriber's next stream starts with it.
    """

    def __init__(
        self,
        *,
        tail: Tail[T],
        history: History[T],
        ledger: Ledger,
        start: Cursor,
        opened: Opened | None,
        matches: Callable[[T], bool],
        acceptance: Acceptance | None = None,
        bookmark_every: timedelta = timedelta(seconds=10),
    ) -> None:
        """`opened` is None for a client without a device ID: only its own cursor remembers where it is."""
        self._tail = tail
        self._history = history
        self._ledger = ledger
        self._opened = opened
        self._matches = matches
        self._acceptance = acceptance or TakenAtOnce()
        self._clock = asyncio.get_running_loop().time
        self._bookmark_every = bookmark_every.total_seconds()
        self._next_bookmark = self._clock() + self._bookmark_every
        self._wake = asyncio.Event()
        self._pending = deque(opened.pending if opened else ())
        self._attempts: dict[Cursor, int] = {}
        self._page: deque[Entry[T]] = deque()
        self._live = False
        self._in_flight: Delivery[T] | None = None
        self._given: deque[Given[T]] = deque()
        self._stop_listening: Callable[[], None] | None = None
        self.position = start
        self.closed: Closed | None = None

    async def __aenter__(self) -> Self:
        self._stop_listening = self._tail.listen(self._wake.set)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stop_listening:
            self._stop_listening()
        self._accept()
        left = [given.delivery for given in self._given] + ([self._in_flight] if self._in_flight else [])
        if left and len(left) <= MOST_HANDED_OVER:
            self._record(handed_over=left)
        self._given.clear()
        self._in_flight = None

    @property
    def head(self) -> Cursor:
        """Where the log ends, as far as this process knows; never before `position`."""
        return max(self.position, self._tail.head)

    def close(self, reason: Closed) -> None:
        """Have the iteration end as soon as what is in flight is taken."""
        self.closed = self.closed or reason
        self._wake.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Delivery[T] | Bookmark:
        """Raises StopAsyncIteration when closed, and what the log raises when only it has what comes next."""
        self._resumed()
        while self.closed is None:
            self._accept()
            if self._pending:
                step: Delivery[T] | Bookmark | None = await self._again(self._pending.popleft())
            elif self._page:
                step = self._first_time(self._page.popleft())
            elif self._clock() >= self._next_bookmark:
                step = self._bookmark()
            else:
                step = None
                await self._turn_page()
            if isinstance(step, Delivery):
                self._in_flight = step
            if step is not None:
                return step
        raise StopAsyncIteration

    async def _again(self, pending: Pending) -> Delivery[T] | None:
        if pending.cursor > self.position:
            # The client went back to an older cursor of its own: this entry comes again in its place.
            self._attempts[pending.cursor] = pending.deliveries
            return None
        entry = await self._history.at(pending.cursor)
        if entry is None or not self._matches(entry.item):
            self._record(confirmed=pending.cursor)
            return None
        return Delivery(entry, pending.deliveries + 1, live=False)

    def _first_time(self, entry: Entry[T]) -> Delivery[T] | None:
        if not self._matches(entry.item):
            self.position = entry.cursor
            return None
        return Delivery(entry, self._attempts.pop(entry.cursor, 0) + 1, live=self._live)

    def _bookmark(self) -> Bookmark:
        self._next_bookmark = self._clock() + self._bookmark_every
        return Bookmark(self.position, self.head)

    async def _turn_page(self) -> None:
        self._wake.clear()
        self._page.extend(await self._history.after(self.position, PAGE))
        if self._page:
            return
        self._live = True
        self._record()
        longest = self._next_bookmark - self._clock()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(min(longest, ASK_AGAIN) if self._given else longest, 0)):
                await self._wake.wait()

    def _resumed(self) -> None:
        """The delivery that was yielded last has been sent: whoever drives this asks for the next one after sending."""
        delivery, self._in_flight = self._in_flight, None
        if delivery is not None:
            self._given.append(Given(delivery, self._acceptance.sent(), self.position))
            self.position = max(self.position, delivery.entry.cursor)

    def _accept(self) -> None:
        """Confirm what the client's side has taken by now."""
        taken = self._acceptance.taken() if self._given else 0
        while self._given and self._given[0].through <= taken:
            delivery = self._given.popleft().delivery
            if delivery.attempt > 1:
                self._record(confirmed=delivery.entry.cursor)
            elif not self._given and not self._page:
                self._record()

    def _record(self, *, confirmed: Cursor | None = None, handed_over: Sequence[Delivery[T]] = ()) -> None:
        if self._opened is None:
            return
        # All before the first delivery that is not confirmed is settled.
        settled = self._given[0].before if self._given else self.position
        receipt = Receipt(self._opened.subscriber, self._opened.epoch, self._superseded, settled)
        if confirmed is not None:
            receipt.confirmed.add(confirmed)
        for delivery in handed_over:
            receipt.position = max(self.position, delivery.entry.cursor)
            receipt.handed_over[delivery.entry.cursor] = delivery.attempt
        self._ledger.record(receipt)

    def _superseded(self) -> None:
        self.close(Closed.SUPERSEDED)
