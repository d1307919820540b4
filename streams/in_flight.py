"""What one stream has taken on and not yet come to an end with. Decides, and does no I/O."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum, auto

from streams.cursor import START, Cursor
from streams.processes import RELEASED
from streams.receipts import HandedOver, News, Receipt, Refusal
from streams.subscribers import Opened, Suspect
from telemetry.flow import NOTHING_KNOWN, About, Failure, Flow

PEL_IDLE = timedelta(seconds=60)
"""What a client does not confirm for so long becomes pending, and is handed over again."""
LIVED = timedelta(seconds=5)
"""A stream that ends sooner says nothing about the entry that was first in its line."""
MOST_HELD = 1_000
"""Entries of one subscriber in the PEL, and given at one time; of more, the position stays before the first."""


class Fate(Enum):
    """How an entry leaves a stream that its client confirms."""

    DELIVERED = auto()
    GAPPED = auto()


@dataclass(slots=True)
class Given:
    """An entry that was handed over at `at` (loop's clock); the bytes end at offset `through`.

    `before` was the stream's position until then. `about` is what metrics need of it.
    """

    cursor: Cursor
    attempt: int
    fate: Fate
    before: Cursor
    at: float
    through: int = 0
    about: About = NOTHING_KNOWN


@dataclass(frozen=True, slots=True)
class Left:
    """What a stream takes along from its seat: how far it has come, and what it was given and has not confirmed."""

    position: Cursor
    given: Sequence[Given]
    confirmed_at: float
    progress_at: float


class InFlight:
    """The shelves of one stream.

    `again` is what was given and not confirmed for PEL_IDLE. Everything in `held` is, or will be with the next receipt,
    in the PEL; so the position may pass it.
    """

    def __init__(
        self,
        *,
        position: Cursor,
        opened: Opened | None,
        process: str,
        flow: Flow,
        wall_ms: Callable[[], int],
        left: "Left | None" = None,
    ) -> None:
        """`left`: what the stream was given before, when it goes on."""
        self.position = position
        self.given: deque[Given] = deque(left.given if left else ())
        self.again: deque[Given] = deque()
        self.handing: Given | None = None
        self.turned: Given | None = None
        self.held: dict[Cursor, None] = {}
        self.news = News()
        self.suspect = opened.suspect if opened else None
        self._opened = opened
        self._process = process
        self._flow = flow
        self._wall_ms = wall_ms
        self._confirmed_at = left.confirmed_at if left else 0.0
        self._acknowledged = START
        self._recorded = opened.position if opened else START
        self.progress_at = left.progress_at if left else 0.0

    @property
    def in_flight(self) -> int:
        """Entries taken on and not come to an end with."""
        return len(self.given) + len(self.again) + (self.handing is not None) + (self.turned is not None)

    @property
    def clean(self) -> bool:
        """Whether nothing is pending, suspected or on its way but first deliveries that were sent."""
        return (
            self.in_flight == len(self.given)
            and all(given.fate is Fate.DELIVERED and given.attempt == 1 for given in self.given)
            and not (self.held or self.suspect or self.news)
        )

    @property
    def settled(self) -> Cursor:
        """All at or below it is confirmed, or in `held`."""
        for given in (*self.again, *self.given):
            if given.cursor not in self.held:
                return given.before
        return self.handing.before if self.handing and self.handing.cursor not in self.held else self.position

    def hold(self, cursor: Cursor) -> None:
        """The PEL has it."""
        self.held[cursor] = None

    def take(self, cursor: Cursor, *, attempt: int, fate: Fate, now: float, about: About = NOTHING_KNOWN) -> None:
        """Hand an entry over: it has the stream's attention until `sent`. Moves the position, never back."""
        self.handing = Given(cursor, attempt, fate, self.position, now, about=about)
        self.position = max(self.position, cursor)
        self._flow.attempted[about.type, about.mode] += 1
        if cursor in self.held:
            self.news.handed_over[cursor] = HandedOver(self._process, attempt)

    def gapped(self) -> None:
        """What is being handed over is told as a gap instead."""
        if self.handing is not None:
            self.handing.fate = Fate.GAPPED

    def withdrawn(self) -> None:
        """What is being handed over cannot be sent: the subscriber's next stream begins with it."""
        given, self.handing = self.handing, None
        if given is None:
            return
        self.position = given.before
        self._flow.released += 1
        if given.cursor in self.held:
            self.news.handed_over[given.cursor] = HandedOver(RELEASED, given.attempt)

    def sent(self, through: int, now: float) -> None:
        """What was handed over last has been sent; its bytes end at `through`."""
        given, self.handing = self.handing, None
        if given is not None:
            given.through, given.at = through, now
            if not self.given:
                self.progress_at = now
            self.given.append(given)
            if given.cursor <= self._acknowledged:  # said before we knew that the sending was over
                self.acknowledged(given.cursor, now)

    def taken(self, through: int, now: float) -> bool:
        """Confirm what the client's side has the bytes of. True if that was anything."""
        any_ = False
        while self.given and self.given[0].through <= through:
            self._confirm(self.given.popleft(), now)
            any_ = True
        return any_

    def acknowledged(self, through: Cursor, now: float) -> None:
        """Confirm everything up to a cursor, as the client says."""
        self._acknowledged = max(self._acknowledged, through)
        for shelf in (self.again, self.given):
            kept = [given for given in shelf if given.cursor > through]
            for given in shelf:
                if given.cursor <= through:
                    self._observe(given)
                    self._confirm(given, now)
            shelf.clear()
            shelf.extend(kept)
        for cursor in [cursor for cursor in self.held if cursor <= through]:
            self.forget(cursor)

    def forget(self, cursor: Cursor) -> None:
        """The subscriber needs it no more."""
        if cursor in self.held:
            del self.held[cursor]
            self.news.confirmed.add(cursor)
            self.news.handed_over.pop(cursor, None)

    @contextmanager
    def turning(self) -> Iterator[Given]:
        """Take the first of `again` to hand it over once more; if that fails, it is the first again."""
        given = self.turned = self.again.popleft()
        try:
            yield given
        except BaseException:
            self.again.appendleft(given)
            raise
        finally:
            self.turned = None

    def overdue(self, now: float) -> bool:
        """Move what was not confirmed for PEL_IDLE to `again`, where it is pending. True if that was anything."""
        since = now - PEL_IDLE.total_seconds()
        if not self.given or self.given[0].at > since:
            return False
        self._count_attempt(now)
        while self.given and self.given[0].at <= since:
            given = self.given.popleft()
            self.held[given.cursor] = None
            self.news.handed_over[given.cursor] = HandedOver(self._process, given.attempt)
            self.again.append(given)
        return True

    def buried(self, cursor: Cursor) -> None:
        """The entry is with the dead letters, and acknowledged."""
        self.position = max(self.position, cursor)
        self.held.pop(cursor, None)
        self.suspect = None
        self._flow.dead += 1

    def end(self, now: float) -> None:
        """Leave what is not confirmed to the subscriber's next stream."""
        self._count_attempt(now)
        left = [*self.again, *self.given, *([self.handing] if self.handing else [])]
        self._flow.released += len(left)
        settled, fits = self.settled, len(self.held) + len(left) <= MOST_HELD
        for given in left:
            if fits or given.cursor in self.held:
                self.held[given.cursor] = None
                self.news.handed_over[given.cursor] = HandedOver(RELEASED, given.attempt)
        self.again.clear()
        self.given.clear()
        self.handing = None
        self.position = self.position if fits else settled

    def receipt(self, refused: Callable[[Refusal], None], *, ended: bool = False) -> Receipt | None:
        """All the news, and where the subscriber stands; None without any, and for a client without a device ID."""
        if self._opened is None:
            self.news = News()
            return None
        settled = self.settled
        if not (self.news or self.held or ended or settled != self._recorded):
            return None  # with entries in the PEL, a receipt also finds out whether Redis still has them
        news, self.news, self._recorded = self.news, News(), settled
        return Receipt(
            subscriber=self._opened.subscriber,
            epoch=self._opened.epoch,
            refused=refused,
            position=settled,
            floor=min(settled, Cursor(min(self.held) - 1)) if self.held else settled,
            held=len(self.held),
            last_held=max(self.held, default=START),
            ended=ended,
            news=news or None,
        )

    def stalled(self) -> None:
        """The connection takes nothing: all that was given has failed."""
        for given in self.given:
            self._flow.fail(Failure.STALLED, given.about)

    def _observe(self, given: Given) -> None:
        if given.fate is Fate.DELIVERED and given.about is not NOTHING_KNOWN:
            self._flow.acknowledged((given.about.type,), self._wall_ms() - given.about.created_ms)

    def _confirm(self, given: Given, now: float) -> None:
        self._confirmed_at = self.progress_at = now
        if given.fate is Fate.DELIVERED:
            self._flow.confirm(given.attempt, given.about)
        else:
            self._flow.gapped += 1
        self.forget(given.cursor)
        if self.suspect and given.cursor >= self.suspect.cursor:
            self.suspect, self.news.suspect = None, "-"

    def _count_attempt(self, now: float) -> None:
        """An attempt failed if an entry was first in line, the stream lived on, and nothing was confirmed."""
        line = self.again or self.given or ([self.handing] if self.handing else [])
        if self._opened is None or not line:
            return
        first = line[0]
        if now - first.at < LIVED.total_seconds() or self._confirmed_at > first.at or first.fate is Fate.GAPPED:
            return
        wall = self._wall_ms()
        known = self.suspect if self.suspect and self.suspect.cursor == first.cursor else None
        known = known or Suspect(first.cursor, 0, wall - int((now - first.at) * 1_000), wall)
        self.suspect = replace(known, attempts=known.attempts + 1, last_ms=wall)
        self.news.suspect = str(self.suspect)
        self._flow.fail(Failure.UNCONFIRMED, first.about)
