"""One subscription's way through the log: what is pending, then what it missed, then live."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from typing import Generic, Literal, Protocol, Self, TypeVar

from streams.cursor import Cursor
from streams.entries import Entry
from streams.errors import StreamsUnavailable
from streams.in_flight import MOST_HELD, Fate, Given, InFlight, Left
from streams.line import Line
from streams.mailbox import Mailbox
from streams.pages import Pages
from streams.receipts import Refusal
from streams.shared import Shared
from streams.steps import Acceptance, Bookmark, Closed, Confirmation, Delivery, Lack, Missing, Note, Step, TakenAtOnce
from streams.subscribers import Opened
from telemetry.flow import LIVE, RECOVERED, SOMETHING_LIVE, About, Failure

T = TypeVar("T")

ASK_AGAIN = 0.1
"""Seconds until a connection is asked again what it has taken; on loopback and in cities it is milliseconds."""
ASK_SOON = 0.005
"""The same when nothing more is handed over before something is taken."""
LOOK_AGAIN = 1.0
"""Seconds until it is looked again whether another process has given entries up, or the client is overdue."""
STALLED = timedelta(seconds=10)


class Edge(Protocol):
    """Where streams go on together that have caught up."""

    @property
    def head(self) -> Cursor:
        """How far they have come."""
        ...

    def listen(self, wake: Callable[[], None], /) -> Callable[[], None]:
        """Have `wake` called when `head` has moved; returns what ends that."""
        ...


class Consumer(Generic[T]):
    """Drives one subscription: `async with consumer: async for step in consumer`.

    Yields every matching entry after the starting position, in cursor order, pending ones first with their attempt;
    what cannot be delivered as `Missing`; and a bookmark when the time has come. A delivery is confirmed when
    `acceptance` says that the client's side has taken its bytes, or, for `Confirmation.CLIENT`, when the client says
    so. What is not confirmed when the block ends goes to the subscriber's PEL, and its next stream starts with it.
    """

    def __init__(
        self,
        *,
        shared: Shared[T],
        start: Cursor,
        opened: Opened | None,
        since: Cursor | None = None,
        matches: Callable[[T], bool],
        acceptance: Acceptance | None = None,
        confirmation: Confirmation = Confirmation.SOCKET,
        bookmark_every: timedelta = timedelta(seconds=10),
        edge: "Edge | None" = None,
        left: Left | None = None,
    ) -> None:
        """`opened` is None for a client without a device ID: only its own cursor, `since`, remembers where it is.

        With `edge` the iteration ends when the stream has come to it and nothing is left to be done for this stream
        alone: see `at_edge`. `left` is what it takes along from there when it goes on.
        """
        self._shared = shared
        self._opened = opened
        self._matches = matches
        self._acceptance = acceptance or TakenAtOnce()
        self._by_client = confirmation is Confirmation.CLIENT
        self._clock = asyncio.get_running_loop().time
        self._bookmark_every = bookmark_every.total_seconds()
        self._next_bookmark = self._clock() + self._bookmark_every
        self._wake = asyncio.Event()
        self._pages = Pages(history=shared.history, poison=shared.dead_letters.poison)
        self._notes: deque[Note] = deque()
        self._live = False
        self._stop_listening: Callable[[], None] | None = None
        self.books = InFlight(
            position=start,
            opened=opened,
            process=shared.processes.name,
            flow=shared.flow,
            wall_ms=lambda: time.time_ns() // 1_000_000,
            left=left,
        )
        self._edge = edge
        self.at_edge = False
        self._line = Line(books=self.books, processes=shared.processes)
        self._line.join(opened.pending if opened else (), since=since)
        self._look_at = self._clock() + LOOK_AGAIN
        self._mail = Mailbox(
            history=shared.history,
            dead_letters=shared.dead_letters,
            words=opened.mail if opened else (),
            matches=matches,
        )
        self.closed: Closed | None = None

    def enter(self) -> Self:
        """Begin to follow; whoever calls this calls `leave`, or `sit` at the edge."""
        self._stop_listening = (self._edge or self._shared.tail).listen(self._wake.set)
        self._shared.flow.streams.add(self.books)
        return self

    def leave(self) -> None:
        """The stream is over: what its client does not have goes to the PEL."""
        self._accept()
        self.books.end(self._clock())
        self._record(ended=True)
        self.sit()

    def sit(self) -> Sequence[Given]:
        """The stream is at the edge, and goes on without this consumer: what was given and is not confirmed."""
        if self._stop_listening:
            self._stop_listening()
        self._shared.flow.streams.discard(self.books)
        return tuple(self.books.given)

    async def __aenter__(self) -> Self:
        return self.enter()

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    @property
    def epoch(self) -> int:
        """Of the subscriber's streams, the one with the highest counts; 0 without a device ID."""
        return self._opened.epoch if self._opened else 0

    @property
    def position(self) -> Cursor:
        """How far this stream has come."""
        return self.books.position

    @property
    def recovers(self) -> bool:
        """Whether entries at or before `position` are still to be handed over again."""
        return bool(self.books.again or self._line.claimable or self._line.elsewhere)

    @property
    def head(self) -> Cursor:
        """Where the log ends, as far as this process knows; never before `position`."""
        return max(self.position, self._shared.tail.head)

    def close(self, reason: Closed) -> None:
        """Have the iteration end as soon as what is in flight is taken."""
        self.closed = self.closed or reason
        self._wake.set()

    def say(self, what: object) -> None:
        """Have `what` yielded, as a Note, before anything else."""
        self._notes.append(Note(what))
        self._wake.set()

    def acknowledge(self, through: Cursor) -> None:
        """The client says that it has everything up to `through`."""
        self.books.acknowledged(through, self._clock())
        self._line.acknowledged(through)
        self._record()
        self._wake.set()

    def look_again(self) -> None:
        """Another process has given entries of this subscriber up."""
        self._look_at = 0.0
        self._wake.set()

    def deliver_mail(self, word: str) -> None:
        """There is mail for this subscriber."""
        self._mail.put(word)
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[Step[T]]:
        return self

    async def __anext__(self) -> Step[T]:
        """Raises StopAsyncIteration when closed or at the edge, and what the log raises when only it knows more."""
        # Whoever drives this asks for the next step after sending the one before.
        sent = self._acceptance.sent()
        self.books.sent(sent, self._clock())
        self._mail.sent(sent)
        while self.closed is None and not self.at_edge:
            self._accept()
            step = await self._next()
            if step is not None:
                return step
        raise StopAsyncIteration

    async def _next(self) -> Step[T] | None:
        if self._notes:
            return self._notes.popleft()
        if step := await self._mail.open():
            return step
        if len(self.books.given) >= MOST_HELD:
            await self._wait(LOOK_AGAIN if self._by_client else ASK_SOON)
        elif self.books.again or self._line.claimable or self._pages:
            return await self._entry()
        elif self._clock() >= self._next_bookmark:
            self._next_bookmark = self._clock() + self._bookmark_every
            return Bookmark(self.position, self.head)
        else:
            await self._turn_page()
        return None

    async def _entry(self) -> Step[T] | None:
        """What is overdue, then what is pending, then what comes next in the log."""
        if self.books.again:
            with self.books.turning() as given:
                return await self._once_more(given.cursor, given.attempt + 1)
        if self._line.claimable:
            return await self._claim()
        return await self._first_time(self._pages.next())

    async def _claim(self) -> Step[T] | None:
        pending = self._line.claimable.popleft()
        entry = await self._shared.history.at(pending.cursor)
        if entry is not None and not self._matches(entry.item):
            self.books.forget(pending.cursor)  # the subscriber has another filter now
            self._record()
            return None
        if entry is None:
            self._shared.flow.adopted += 1
            return self._gap(pending.cursor, pending.cursor, Lack.GONE, pending.deliveries + 1)
        return await self._hand_over(entry, pending.deliveries + 1, live=False, taken_on="adopted")

    async def _once_more(self, cursor: Cursor, attempt: int) -> Step[T]:
        entry = await self._shared.history.at(cursor)
        if entry is None:
            return self._gap(cursor, cursor, Lack.GONE, attempt)
        return await self._hand_over(entry, attempt, live=False)

    async def _first_time(self, entry: Entry[T] | Cursor) -> Step[T] | None:
        if isinstance(entry, Cursor):  # a place in the stream that nobody can read
            self._shared.flow.matched += 1
            return self._gap(self.position, entry, Lack.DEAD, 1)
        if not self._matches(entry.item):
            self.books.position = entry.cursor
            return None
        attempt = self._line.deliveries(entry.cursor) + 1
        return await self._hand_over(entry, attempt, live=self._live, taken_on="matched")

    async def _hand_over(
        self, entry: Entry[T], attempt: int, *, live: bool, taken_on: Literal["matched", "adopted"] | None = None
    ) -> Step[T]:
        """`taken_on`: how an entry that is new to this stream came to it."""
        poison = entry.cursor in self._shared.dead_letters.poison
        dead = not poison and await self._given_up(entry, attempt)
        # Counted where nothing is awaited before the entry has its place in the books: a stream may end in any await.
        self._shared.flow.matched += taken_on == "matched"
        self._shared.flow.adopted += taken_on == "adopted"
        if poison:
            return self._gap(entry.prev, entry.cursor, Lack.DEAD, attempt)
        if dead:
            self.books.buried(entry.cursor)
            self._mail.telling(f"dead:{entry.cursor}")
            return Missing(entry.prev, entry.cursor, Lack.DEAD)
        about = About(self._shared.type_of(entry.item), LIVE if live else RECOVERED, entry.published_at)
        self.books.take(entry.cursor, attempt=attempt, fate=Fate.DELIVERED, now=self._clock(), about=about)
        if attempt > 1:
            self._record()  # it is claimed, and Redis counts the hand-over
        return Delivery(entry, attempt, live)

    def _gap(self, since: Cursor, through: Cursor, lack: Lack, attempt: int) -> Missing:
        self.books.take(through, attempt=attempt, fate=Fate.GAPPED, now=self._clock())
        return Missing(since, through, lack)

    async def condemn(self, delivery: Delivery[T], error: str) -> Missing | None:
        """The delivery yielded last cannot be shown to anybody: what to tell instead of it.

        None, and the stream closed, if it could not be given up.
        """
        entry = delivery.entry
        letters = self._shared.dead_letters
        if not await letters.condemn(entry.cursor, entry.activity_id, error, attempts=delivery.attempt):
            self.books.withdrawn()
            self.close(Closed.HALTED)
            return None
        self.books.gapped()
        return Missing(entry.prev, entry.cursor, Lack.DEAD)

    async def _given_up(self, entry: Entry[T], attempt: int) -> bool:
        """Whether it failed too often for this subscriber, and is with the dead letters now."""
        suspect, opened = self.books.suspect, self._opened
        if suspect is None or opened is None or suspect.cursor != entry.cursor:
            return False
        if suspect.attempts < self._shared.most_attempts:
            return False
        letters = self._shared.dead_letters
        return await letters.bury(opened.subscriber, entry, suspect, attempts=attempt - 1)

    async def _turn_page(self) -> None:
        self._wake.clear()
        if self._live and self.position < self._shared.tail.ring.floor:
            self._shared.flow.fail(Failure.LAGGING, SOMETHING_LIVE)
            self.close(Closed.LAGGING)
            return
        if self._line.elsewhere and self._clock() >= self._look_at:
            await self._look_elsewhere()
        await self._pages.turn(self.position, head=self.head)
        self._record()
        if self._pages or self._line.claimable:
            return
        self._live = True
        if self._may_sit():
            self.at_edge = True
            return
        await self._wait(ASK_AGAIN if self.books.given and not self._by_client else LOOK_AGAIN)

    def _may_sit(self) -> bool:
        """Whether all that is left to do is what everybody else needs too."""
        return (
            self._edge is not None
            and self.position == self._edge.head
            and self.books.clean
            and not (self._by_client or self.closed or self._notes or self._mail or self._line.elsewhere)
        )

    async def _wait(self, seconds: float) -> None:
        """Until something happens, a bookmark is due, or, with anything to look after, for `seconds`."""
        longest = max(self._next_bookmark - self._clock(), 0)
        if self.books.given or self._line.elsewhere:
            longest = min(longest, seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(longest):
                await self._wake.wait()
        self._wake.clear()

    async def _look_elsewhere(self) -> None:
        """Claim what another process has given up since, or has left idle."""
        self._look_at = self._clock() + LOOK_AGAIN
        if self._opened is not None:
            with contextlib.suppress(StreamsUnavailable):
                self._line.shown(await self._shared.subscribers.pending(self._opened.subscriber))

    def _accept(self) -> None:
        """Confirm what the client's side has taken by now."""
        now = self._clock()
        taken = self._acceptance.taken()
        told = self._mail.taken(taken)
        self.books.news.mail |= told
        if self._by_client:
            changed = self.books.overdue(now)
        else:
            changed = self.books.taken(taken, now)
            stands_still = self.books.given and now - self.books.progress_at > STALLED.total_seconds()
            if stands_still and self.closed is None:
                self.books.stalled()
                self.close(Closed.STALLED)
        if told or (changed and not self._pages):
            self._record()

    def _record(self, *, ended: bool = False) -> None:
        if receipt := self.books.receipt(self._refused, ended=ended):
            self._shared.ledger.record(receipt)

    def _refused(self, reason: Refusal) -> None:
        self.close(Closed.SUPERSEDED if reason is Refusal.SUPERSEDED else Closed.REWOUND)
