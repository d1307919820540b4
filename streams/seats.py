"""Streams that have caught up, and are given the same bytes. Keeps who has been given what; does no I/O.

A stream that is live, and of which nothing is pending, needs no task: it takes a seat in the cohort of those with the
same operation and the same filter. What is pending, missed, told to one stream alone or blocked is a consumer's.
"""

import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from streams.cursor import Cursor
from streams.entries import Entry
from streams.in_flight import Fate, Given, Left
from streams.receipts import Refusal
from streams.steps import Acceptance
from streams.subscribers import Opened
from telemetry.flow import About, Flow

T = TypeVar("T")

LOOK_AFTER = 2.0
"""Seconds from a delivery to the look whether it was taken. An activity takes a second to reach 100,000 streams on two
cores; receipts that were written meanwhile would make it two. Deliveries that follow are confirmed by the same look."""


class Outlet(Acceptance, Protocol):
    """A connection that takes bytes without waiting; what it cannot send at once it keeps."""

    @property
    def starved(self) -> bool:
        """Whether it was cut because its peer took nothing."""
        ...

    def abort(self) -> None:
        """Cut it."""
        ...

    def write(self, data: bytes, /) -> None:
        """Send these bytes after all others."""
        ...


class Sitter(Protocol):
    """The stream that has the seat."""

    def rise(self) -> None:
        """Leave the seat (`Fanout.leave`) and go on alone: there is something to say to this stream only."""
        ...

    def stalled(self) -> None:
        """Its connection has taken nothing for ten seconds: it is to be cut."""
        ...

    def refused(self, reason: Refusal, /) -> None:
        """A receipt did not count."""
        ...


class Frames(Protocol[T]):
    """What a cohort is shown: bytes that say nothing about who reads them."""

    def delivery(self, entry: Entry[T], /) -> bytes | None:
        """An entry, handed over the first time; None if it cannot be shown."""
        ...

    def bookmark(self, position: Cursor, head: Cursor, /) -> bytes:
        """Nothing to deliver: the stream has come to `position`, and the log ends at `head`."""
        ...

    def note(self, what: object, position: Cursor, head: Cursor, /) -> bytes:
        """Something that is said to all."""
        ...


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What the seats of a cohort have in common.

    `key`: equal for equal kinds. `topics`: an entry that `matches` has one of these topics.
    """

    key: Hashable
    topics: tuple[Hashable, ...]
    matches: Callable[[T], bool]
    frames: Frames[T]


@dataclass(slots=True, eq=False)
class Seat(Generic[T]):
    """One stream in its cohort.

    `written` and `confirmed` count the cohort's deliveries. `mark` is what `written` was when `mark_bytes` had been
    sent: once so many are taken, all up to `mark` is confirmed. `before` is what the stream was given on its way here
    and has not confirmed. `recorded` is the position of the last receipt.
    """

    sitter: Sitter
    outlet: Outlet
    opened: Opened | None
    cohort: "Cohort[T]"
    written: int
    confirmed: int
    mark: int
    mark_bytes: int
    taken: int
    progress_at: float
    confirmed_at: float
    recorded: Cursor
    before: tuple[Given, ...] = ()

    @property
    def in_flight(self) -> int:
        """Deliveries that are not confirmed."""
        return len(self.before) + self.written - self.confirmed

    def settled(self, head: Cursor) -> Cursor:
        """All at or below it is confirmed, when all up to `head` has been looked at."""
        return self.before[0].before if self.before else self.cohort.reached(self.confirmed, head)

    def waits_since(self) -> float:
        """When the oldest of what is not confirmed was handed out, or some of the bytes were taken last."""
        oldest = self.before[0].at if self.before else self.cohort.handed_out_at(self.confirmed)
        return max(self.progress_at, oldest)


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A delivery of a cohort: the entry's place, that of its predecessor, and when (loop's clock) it was handed out."""

    cursor: Cursor
    prev: Cursor
    at: float
    about: About


@dataclass(slots=True)
class Stretch:
    """Deliveries after the first `after`, up to `through`, that so many `seats` have just confirmed."""

    after: int
    through: int
    seats: int = 0


NOTHING_CONFIRMED = Stretch(0, 0)


class Cohort(Generic[T]):
    """The seats of one kind, and what was handed out to them and is not confirmed by all.

    `settled`: no seat has anything in flight. `look_at`: when those that have are looked at next (loop's clock).
    `bookmarks`: when each seat is to hear how far the log has come, the
    earliest first; a seat that was given up stays in it until then.
    """

    def __init__(self, kind: Kind[T]) -> None:
        self.kind = kind
        self.seats: dict[Seat[T], None] = {}
        self.settled = True
        self.look_at = 0.0
        self.bookmarks: deque[tuple[float, Seat[T]]] = deque()
        self._handed_out: deque[HandedOut] = deque()
        self._first = 0
        self._stretch = NOTHING_CONFIRMED
        self._stretches: list[Stretch] = []

    @property
    def end(self) -> int:
        """How many deliveries there have been."""
        return self._first + len(self._handed_out)

    def hand_out(self, entry: Entry[T], at: float, about: About) -> None:
        """One more delivery. Who is written its frame counts it in `written`."""
        self.unsettled(at)
        self._handed_out.append(HandedOut(entry.cursor, entry.prev, at, about))

    def confirm(self, seat: Seat[T], reached: int) -> int:
        """The seat has the first `reached` deliveries; return how many of them are new. `book` it before a turn."""
        before = seat.confirmed
        if before == reached:
            return 0
        seat.confirmed = reached
        stretch = self._stretch
        if stretch.after != before or stretch.through != reached:
            stretch = self._stretch = Stretch(before, reached)
            self._stretches.append(stretch)
        stretch.seats += 1
        return reached - before

    def book(self, flow: Flow) -> None:
        """Note in the flow, by type of activity, what seats have confirmed: nearly all of them the same deliveries."""
        for stretch in self._stretches:
            flow.delivered[0] += stretch.seats * (stretch.through - stretch.after)
            for one in self.handed_out(stretch.after, stretch.through):
                flow.succeeded[one.about.type, one.about.mode] += stretch.seats
        self._stretches.clear()
        self._stretch = NOTHING_CONFIRMED

    def handed_out(self, after: int, through: int) -> Iterator[HandedOut]:
        """The deliveries after the first `after`, up to `through`."""
        return itertools.islice(self._handed_out, after - self._first, through - self._first)

    def unsettled(self, at: float) -> None:
        """Something is in flight; what follows while it is changes nothing about when it is looked at."""
        if self.settled:
            self.settled, self.look_at = False, at + LOOK_AFTER

    def reached(self, count: int, head: Cursor) -> Cursor:
        """The place in the log of who has had `count` deliveries, when all up to `head` has been looked at."""
        return head if count == self.end else self._handed_out[count - self._first].prev

    def left(self, seat: Seat[T], head: Cursor) -> Left:
        """What a stream takes along that gives its seat up."""
        return Left(
            position=self.reached(seat.written, head),
            given=[*seat.before, *self._unconfirmed(seat)],
            confirmed_at=seat.confirmed_at,
            progress_at=seat.progress_at,
        )

    def _unconfirmed(self, seat: Seat[T]) -> Iterator[Given]:
        for index, one in enumerate(self.handed_out(seat.confirmed, seat.written), seat.confirmed + 1):
            through = seat.mark_bytes if index <= seat.mark else seat.outlet.sent()
            yield Given(one.cursor, 1, Fate.DELIVERED, one.prev, one.at, through, one.about)

    def handed_out_at(self, count: int) -> float:
        """When the delivery after the first `count` was handed out."""
        return self._handed_out[count - self._first].at

    def bookmarks_due(self, now: float, most: int) -> list[Seat[T]]:
        """Take out up to `most` seats whose time has come, those that were given up among them."""
        due: list[Seat[T]] = []
        while self.bookmarks and self.bookmarks[0][0] <= now and len(due) < most:
            due.append(self.bookmarks.popleft()[1])
        return due

    def forget_confirmed(self) -> None:
        """Drop what every seat has confirmed."""
        self.look_at += LOOK_AFTER
        needed = min((seat.confirmed for seat in self.seats), default=self.end)
        self.settled = needed == self.end and not any(seat.before for seat in self.seats)
        while self._first < needed:
            self._handed_out.popleft()
            self._first += 1


def confirm(seat: Seat[T], taken: int, now: float, flow: Flow) -> int:
    """Note that the peer has `taken` of the bytes; return how many deliveries that confirms.

    What was given before the stream sat down is noted in the flow at once, the rest when its cohort books it.
    """
    sent, earlier = seat.outlet.sent(), 0
    if taken > seat.taken:
        seat.taken, seat.progress_at = taken, now
    if seat.before:
        earlier = _confirm_before(seat, taken, flow)
        if seat.before:
            return earlier
    if taken >= sent:
        reached = seat.written
    elif taken >= seat.mark_bytes:
        reached = seat.mark
    else:
        return earlier
    seat.mark, seat.mark_bytes = seat.written, sent
    confirmed = earlier + seat.cohort.confirm(seat, reached)
    if confirmed:
        seat.confirmed_at = now
    return confirmed


def _confirm_before(seat: Seat[T], taken: int, flow: Flow) -> int:
    left = tuple(given for given in seat.before if given.through > taken)
    for given in seat.before:
        if given.through <= taken:
            flow.confirm(1, given.about)
    confirmed, seat.before = len(seat.before) - len(left), left
    return confirmed
