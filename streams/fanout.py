"""The hot path: each new entry is looked up once, rendered once for a cohort, and written to every seat of it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import islice
from typing import Any, Generic, Protocol, TypeVar

from streams.cursor import START, Cursor
from streams.entries import Entry
from streams.in_flight import Given, Left
from streams.ledgers import Receiving
from streams.poison import Poison
from streams.receipts import Receipt
from streams.seats import Cohort, Frames, Kind, Outlet, Seat, Sitter, confirm
from streams.subscribers import Opened
from streams.tail import Tail
from telemetry.flow import LIVE, UNKNOWN, About, Failure, Flow
from telemetry.tracing import OFF, Role, Span, Tracing

T = TypeVar("T")

BATCH = 100
"""Entries handed out together: what comes while others are being written goes out in one write."""
SLICE = 200
"""Seats written between two turns of the event loop, about 2 ms; the loop sends the bytes when it turns."""
RENDERED = 20
"""What rendering a frame counts as, in seats: 150 µs."""
SWEEP_EVERY = timedelta(seconds=1)
GIVEN_UP = -1
"""Deliveries of a seat that nobody has any more: whoever is about to write to it does not."""
STALLED = 10.0
"""Seconds without any progress after which a connection is cut."""


class Observer(Protocol):
    """Is told of deliveries in bulk."""

    def handed_out(self, entry: Entry[Any], seats: int, /) -> None:
        """So many seats have just been given the entry."""
        ...


class GiveUp(Protocol[T]):
    """What becomes of an entry that a cohort cannot be shown."""

    async def __call__(self, entry: Entry[T], frames: Frames[T], /) -> bool:
        """Try again for a while, then leave the entry to the dead letters. False if that is halted."""
        ...


class Fanout(Generic[T]):
    """Owns the seats of a process. `run` hands out what the tail shows; `head` is how far it has come.

    No task a stream: a slice of seats is written, the event loop turns, and so on. A connection that does not take its
    bytes is none of the loop's business: its transport keeps them, says so, and its stream rises from the seat.
    """

    def __init__(
        self,
        *,
        tail: Tail[T],
        ledger: Receiving,
        flow: Flow,
        poison: Poison,
        topics: Callable[[T], Iterable[Hashable]],
        observer: Observer,
        give_up: GiveUp[T],
        type_of: Callable[[T], str] = lambda _: UNKNOWN,
        tracing: Tracing = OFF,
        bookmark_every: timedelta = timedelta(seconds=10),
    ) -> None:
        """`topics`: an entry interests only kinds that name one of them. `type_of`: what metrics call an item."""
        self._tail = tail
        self._ledger = ledger
        self._flow = flow
        self._poison = poison
        self._topics = topics
        self._observer = observer
        self._give_up = give_up
        self._type_of = type_of
        self._tracing = tracing
        self._bookmark_every = bookmark_every.total_seconds()
        self._cohorts: dict[Hashable, Cohort[T]] = {}
        self._by_topic: dict[Hashable, dict[Cohort[T], None]] = {}
        self._listeners: set[Callable[[], None]] = set()
        self._notes: deque[object] = deque()
        self._something = asyncio.Event()
        self._worked = 0
        self.head = START
        flow.streams.add(self)

    @property
    def in_flight(self) -> int:
        """Deliveries written and not confirmed, counted seat by seat; a settled cohort has none."""
        unsettled = (cohort for cohort in self._cohorts.values() if not cohort.settled)
        return sum(seat.in_flight for cohort in unsettled for seat in cohort.seats)

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called when `head` has moved; returns what ends that."""
        self._listeners.add(wake)
        return lambda: self._listeners.discard(wake)

    def kind(self, key: Hashable) -> Kind[T] | None:
        """What the seats with this key have in common, if there are any: a cohort of thousands makes it once."""
        cohort = self._cohorts.get(key)
        return None if cohort is None else cohort.kind

    def sit(
        self, sitter: Sitter, outlet: Outlet, kind: Kind[T], opened: Opened | None, given: Sequence[Given] = ()
    ) -> Seat[T]:
        """A seat for a stream that has come to `head`, exactly; `given` is what it has not confirmed on the way."""
        cohort = self._cohorts.get(kind.key)
        if cohort is None:
            cohort = self._cohorts[kind.key] = Cohort(kind)
            for topic in kind.topics:
                self._by_topic.setdefault(topic, {})[cohort] = None
        now, sent = time.monotonic(), outlet.sent()
        seat = Seat(
            sitter=sitter,
            outlet=outlet,
            opened=opened,
            cohort=cohort,
            written=cohort.end,
            confirmed=cohort.end,
            mark=cohort.end,
            mark_bytes=sent,
            taken=0,
            progress_at=now,
            confirmed_at=now,
            recorded=given[0].before if given else self.head,
            before=tuple(given),
        )
        cohort.seats[seat] = None
        if given:
            cohort.unsettled(now)
        cohort.bookmarks.append((now + self._bookmark_every, seat))
        return seat

    def leave(self, seat: Seat[T]) -> Left:
        """Give the seat up."""
        cohort = seat.cohort
        if seat.in_flight:
            confirm(seat, seat.outlet.taken(), time.monotonic(), self._flow)
            cohort.book(self._flow)
        left = cohort.left(seat, self.head)
        seat.written = GIVEN_UP
        del cohort.seats[seat]
        if not cohort.seats:
            cohort.bookmarks.clear()  # they name seats, which lead back to it
            del self._cohorts[cohort.kind.key]
            for topic in cohort.kind.topics:
                of_topic = self._by_topic[topic]
                del of_topic[cohort]
                if not of_topic:
                    del self._by_topic[topic]
        return left

    def say(self, what: object) -> None:
        """Have `what` said to everybody in a seat."""
        self._notes.append(what)
        self._something.set()

    async def run(self) -> None:
        """Hand out and look after until cancelled."""
        await self._tail.ready.wait()
        self.head = max(self.head, self._tail.head)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hand_out(), name="fanout")
            tasks.create_task(self._sweep(), name="fanout-sweep")

    async def _hand_out(self) -> None:
        stop_listening = self._tail.listen(self._something.set)
        self._something.set()
        try:
            while True:
                await self._something.wait()
                self._something.clear()
                while self.head < self._tail.head:
                    await self._next_batch()
                while self._notes:
                    await self._say_to_all(self._notes.popleft())
        finally:
            stop_listening()

    async def _say_to_all(self, what: object) -> None:
        for cohort in list(self._cohorts.values()):
            data = cohort.kind.frames.note(what, self.head, self._tail.head)
            for seats in slices(cohort.seats, SLICE):
                for seat in seats:
                    if seat in cohort.seats:
                        seat.outlet.write(data)
                await self._turn(len(seats))

    async def _turn(self, work: int) -> None:
        """Let the event loop turn when a slice of work has been done, over however many cohorts."""
        self._worked += work
        if self._worked >= SLICE:
            self._worked = 0
            await asyncio.sleep(0)

    async def _next_batch(self) -> None:
        entries = self._tail.ring.after(self.head, BATCH) or ()
        with self._tracing.batch(
            "fan-out",
            [entry.traceparent for entry in entries] if self._tracing.on else (),
            role=Role.CONSUMER,
            attributes={"messaging.batch.message_count": len(entries)},
        ) as span:
            await self._hand_out_batch(entries, span)

    async def _hand_out_batch(self, entries: Sequence[Entry[T]], span: Span | None) -> None:
        await self._render(entries)
        # From here until all is handed out, nothing may turn the loop: who sits down has all of the batch, or none.
        frames: dict[Cohort[T], list[bytes | None]] = {}
        if entries and not self._poison.among(self.head, entries[-1].cursor):
            wanted = self._wanted(entries)
            frames = {
                cohort: [cohort.kind.frames.delivery(entry) for entry in shown] for cohort, shown in wanted.items()
            }
            failed = [cohort for cohort in wanted if None in frames[cohort]]
            _all_rise(failed)
        else:
            # Beyond the ring, or with a place in it that nobody can be shown: each stream tells its client by itself.
            wanted = {}
            _all_rise(list(self._cohorts.values()))
        now = time.monotonic()
        for cohort, shown in wanted.items():
            for entry in shown:
                cohort.hand_out(entry, now, About(self._type_of(entry.item), LIVE, entry.published_at))
        self._reach(entries[-1].cursor if entries else self._tail.head)
        before = self._flow.handed_over if span else 0
        for cohort, shown in wanted.items():
            await self._write(cohort, shown, b"".join(frame for frame in frames[cohort] if frame))
        if span:
            done = {"divisionbell.renderings": len(wanted), "divisionbell.deliveries": self._flow.handed_over - before}
            span.set(done)

    async def _render(self, entries: Sequence[Entry[T]]) -> None:
        """Have every frame that will be needed made, and kept by whoever makes them, or given up for everybody."""
        for cohort, shown in self._wanted(entries).items():
            for entry in shown:
                if cohort.kind.frames.delivery(entry) is None:
                    await self._give_up(entry, cohort.kind.frames)
                    if entry.cursor in self._poison:
                        return
                await self._turn(RENDERED)

    def _wanted(self, entries: Sequence[Entry[T]]) -> dict[Cohort[T], list[Entry[T]]]:
        """Which cohorts want which of `entries`."""
        wanted: dict[Cohort[T], list[Entry[T]]] = {}
        for entry in entries:
            for cohort in self._interested(entry.item):
                wanted.setdefault(cohort, []).append(entry)
        return wanted

    def _interested(self, item: T) -> Iterator[Cohort[T]]:
        seen = set()
        for topic in self._topics(item):
            for cohort in self._by_topic.get(topic, ()):
                if cohort not in seen and cohort.kind.matches(item):
                    seen.add(cohort)
                    yield cohort

    async def _write(self, cohort: Cohort[T], shown: Sequence[Entry[T]], data: bytes) -> None:
        end, flow = cohort.end, self._flow
        start = end - len(shown)
        for seats in slices(cohort.seats, SLICE):
            count = 0
            for seat in seats:
                if seat.written == start:  # it was not given up, nor taken while others were written
                    seat.written = end
                    count += 1
                    seat.outlet.write(data)
            flow.matched += count * len(shown)
            for entry in shown:
                flow.attempted[self._type_of(entry.item), LIVE] += count
                self._observer.handed_out(entry, count)
            await self._turn(len(seats))

    def _reach(self, head: Cursor) -> None:
        self.head = head
        for wake in tuple(self._listeners):
            wake()

    async def _sweep(self) -> None:
        """Once a second: look after the seats with something in flight, and those that have long heard nothing."""
        while True:
            await asyncio.sleep(SWEEP_EVERY.total_seconds())
            for cohort in list(self._cohorts.values()):
                if not cohort.settled and time.monotonic() >= cohort.look_at:
                    for seats in slices(cohort.seats, SLICE):
                        self._look_after(cohort, seats, time.monotonic())
                        await self._turn(len(seats))
                    cohort.forget_confirmed()
                while due := cohort.bookmarks_due(now := time.monotonic(), SLICE):
                    self._bookmark(cohort, due, now)
                    await self._turn(len(due))

    def _look_after(self, cohort: Cohort[T], seats: Iterable[Seat[T]], now: float) -> None:
        """Confirm, record and cut."""
        for seat in seats:
            if seat not in cohort.seats:
                continue
            if seat.in_flight and confirm(seat, seat.outlet.taken(), now, self._flow):
                self._record(seat)
            if seat.in_flight and now - seat.waits_since() > STALLED:
                self._stalled(seat)
        cohort.book(self._flow)

    def _bookmark(self, cohort: Cohort[T], seats: Iterable[Seat[T]], now: float) -> None:
        """Tell how far the log has come; whoever is just being written to hears it by itself."""
        bookmark: bytes | None = None
        for seat in seats:
            if seat not in cohort.seats:
                continue
            cohort.bookmarks.append((now + self._bookmark_every, seat))
            if seat.written == cohort.end:
                bookmark = bookmark or cohort.kind.frames.bookmark(self.head, self._tail.head)
                self._record(seat)
                seat.outlet.write(bookmark)

    def _stalled(self, seat: Seat[T]) -> None:
        handed_out = seat.cohort.handed_out(seat.confirmed, seat.written)
        for about in (*(given.about for given in seat.before), *(one.about for one in handed_out)):
            self._flow.fail(Failure.STALLED, about)
        seat.sitter.stalled()

    def _record(self, seat: Seat[T]) -> None:
        position = seat.settled(self.head)
        if seat.opened is not None and position > seat.recorded:
            seat.recorded = position
            self._ledger.record(
                Receipt(
                    subscriber=seat.opened.subscriber,
                    epoch=seat.opened.epoch,
                    refused=seat.sitter.refused,
                    position=position,
                    floor=position,
                )
            )


def _all_rise(cohorts: Iterable[Cohort[T]]) -> None:
    for cohort in cohorts:
        for seat in list(cohort.seats):
            seat.sitter.rise()


def slices(seats: Collection[Seat[T]], size: int) -> Iterator[list[Seat[T]]]:
    """The seats there are now, in lists of up to `size`."""
    rest = iter(list(seats))
    while some := list(islice(rest, size)):
        yield some
