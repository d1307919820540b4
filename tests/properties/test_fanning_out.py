"""I2 in the fan-out: whoever sits down, rises and comes back, at whatever moment, gets every match once, in order."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resolvers.arrival import hand_over, missed
from streams import fanout as module
from streams.cursor import START, Cursor
from streams.entries import Entry
from streams.fanout import Fanout
from streams.in_flight import Given
from streams.poison import Poison
from streams.receipts import Receipt, Refusal
from streams.ring import Ring
from streams.seats import Frames, Kind, Seat
from streams.subscribers import Opened, Subscriber
from telemetry.flow import LIVE, About, Flow

TOPICS = "ab"


def entry(number: int, topic: str) -> Entry[str]:
    """The nth entry of the log."""
    return Entry(Cursor(number), Cursor(number - 1), number, 0, b"", None, topic)


@dataclass
class Spring:
    """What the fan-out sees of a tail: a ring that grows."""

    ring: Ring[str] = field(default_factory=lambda: Ring(size=1_000, floor=START))

    @property
    def head(self) -> Cursor:
        return self.ring.head

    def listen(self, _: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


@dataclass
class Receipts:
    """What the fan-out records."""

    positions: dict[str, Cursor] = field(default_factory=dict)

    def record(self, receipt: Receipt) -> None:
        name = receipt.subscriber.name
        assert receipt.position > self.positions.get(name, START)
        self.positions[name] = receipt.position


class Shown:
    """A frame is the entry's number."""

    def delivery(self, one: Entry[str]) -> bytes:
        return b"%d " % one.cursor

    def bookmark(self, _: Cursor, __: Cursor) -> bytes:
        return b""

    def note(self, _: object, __: Cursor, ___: Cursor) -> bytes:
        return b""


@dataclass(eq=False)
class Stream:
    """A client with its connection, and what drives it while it has no seat."""

    world: "World"
    wants: str
    device: str | None
    start: Cursor
    position: Cursor = START
    seat: Seat[str] | None = None
    received: bytes = b""
    reached: int = 0
    starved: bool = False
    before: tuple[int, int] = (0, 0)
    given: list[Given] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.received += data

    def abort(self) -> None:
        raise AssertionError

    def sent(self) -> int:
        return len(self.received)

    def taken(self) -> int:
        return self.reached

    def rise(self) -> None:
        if self.seat is not None:
            left = self.world.fanout.leave(self.seat)
            self.seat, self.position, self.given = None, left.position, list(left.given)
            confirmed = [int(number) for number in self.received[: self.reached].split(b" ")[:-1]]
            assert all(given.cursor not in confirmed for given in left.given if given.through <= self.reached)

    def stalled(self) -> None:
        raise AssertionError

    def refused(self, _: Refusal) -> None:
        raise AssertionError

    def drive(self) -> None:
        """As a consumer does: what was missed, one by one; what was given before counts as delivered here."""
        flow = self.world.flow
        for one in self.given:
            flow.confirm(1, one.about)
        self.given.clear()
        self.reached = self.sent()
        for entry in self.world.tail.ring.after(self.position, 1_000) or ():
            if entry.item in self.wants:
                self.write(b"%d " % entry.cursor)
                flow.matched += 1
                flow.confirm(1, About(entry.item.upper(), LIVE))
            self.position = entry.cursor
        self.reached = self.sent()

    def sit(self) -> None:
        """If it has caught up; else catch up."""
        if self.position != self.world.fanout.head:
            self.drive()
        elif self.seat is None:
            opened = Opened(Subscriber("ada", self.device), START, 1) if self.device else None
            kind: Kind[str] = Kind(self.wants, tuple(self.wants), lambda item: item in self.wants, self.world.frames)
            self.seat = self.world.fanout.sit(self, self, kind, opened, self.given)
            self.given = []
            self.before = len(self.received.split()), self.seat.written

    def arrive(self) -> None:
        """As a stream with nothing else to recover: what it missed in one piece, and the seat."""
        if self.seat is not None or self.given:
            return
        fanout, flow, tail = self.world.fanout, self.world.flow, self.world.tail
        entries = missed(self.position, fanout.head, ring=tail.ring, poison=Poison())
        if entries is not None:
            wanted = [one for one in entries if one.item in self.wants]
            self.given = handed_over(wanted, self, self.world.frames, flow)
            self.position = fanout.head
            self.sit()

    @property
    def in_flight(self) -> int:
        return len(self.given)

    def expected(self, log: str) -> list[int]:
        return [n for n, topic in enumerate(log, 1) if n > self.start and topic in self.wants]


def handed_over(wanted: list[Entry[str]], stream: Stream, frames: Frames[str], flow: Flow) -> list[Given]:
    """By the code that is tested."""
    given = hand_over(wanted, frames=frames, outlet=stream, flow=flow, type_of=str.upper, observe=lambda *_: None)
    assert given is not None
    return given


class World:
    """A fan-out whose writing is taken step by step."""

    def __init__(self) -> None:
        self.flow = Flow()
        self.tail = Spring()
        self.receipts = Receipts()
        self.frames: Frames[str] = Shown()
        self.log = ""
        tail: Any = self.tail
        ledger: Any = self.receipts
        self.fanout: Fanout[str] = Fanout(
            tail=tail,
            ledger=ledger,
            flow=self.flow,
            poison=Poison(),
            topics=self._topics,
            observer=self,
            give_up=self._give_up,
            type_of=str.upper,
        )
        self.streams: list[Stream] = []
        self.writing: Coroutine[Any, Any, None] | None = None

    @staticmethod
    def _topics(item: str) -> tuple[Hashable, ...]:
        return (item,)

    def handed_out(self, one: Entry[str], seats: int) -> None:
        """Counted by nobody here."""

    async def _give_up(self, _: Entry[str], __: Frames[str]) -> bool:
        raise AssertionError

    def connect(self, wants: str) -> None:
        device = f"device-{len(self.streams)}" if len(self.streams) % 2 else None
        self.streams.append(Stream(self, wants, device, start=self.tail.head, position=self.tail.head))

    def publish(self, topic: str) -> None:
        self.log += topic
        self.tail.ring.append(entry(len(self.log), topic))

    def step(self) -> None:
        """One slice of writing."""
        if self.writing is None and self.fanout.head < self.tail.head:
            self.writing = self.fanout._next_batch()
        if self.writing is not None:
            try:
                self.writing.send(None)
            except StopIteration:
                self.writing = None

    def sweep(self) -> None:
        for cohort in list(self.fanout._cohorts.values()):
            if not cohort.settled:
                self.fanout._look_after(cohort, list(cohort.seats), 0.0)
                cohort.forget_confirmed()

    def settle(self) -> None:
        """Everything is written and taken, everybody has caught up."""
        while self.writing is not None or self.fanout.head < self.tail.head:
            self.step()
        for stream in self.streams:
            stream.drive() if stream.seat is None else None
            stream.reached = stream.sent()
        self.sweep()


def check(world: World) -> None:
    """What always holds."""
    for stream in world.streams:
        numbers = [int(number) for number in stream.received.split()]
        assert numbers == stream.expected(world.log)[: len(numbers)]
        taken = [int(number) for number in stream.received[: stream.reached].split(b" ")[:-1]]
        if stream.seat is not None:
            received, written = stream.before
            assert stream.seat.confirmed - written <= max(0, len(taken) - received)
        missing = next((n for n in stream.expected(world.log) if n not in taken), len(world.log) + 1)
        assert world.receipts.positions.get(f"ada:{stream.device}", START) < missing
    waiting = sum(stream.in_flight for stream in world.streams)
    assert world.flow.unaccounted == waiting
    assert sum(world.flow.succeeded.values()) == sum(world.flow.delivered)


actions = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(TOPICS)),
    st.tuples(st.sampled_from(["step", "step", "sweep"]), st.just("")),
    st.tuples(st.sampled_from(["sit", "sit", "arrive", "arrive", "rise", "take", "take all"]), st.integers(0, 4)),
)


@settings(max_examples=300, deadline=None)
@given(
    wants=st.lists(st.sampled_from(["a", "b", "ab"]), min_size=2, max_size=5),
    history=st.lists(actions, min_size=40, max_size=120),
)
def test_every_stream_gets_every_match_once_and_in_order(wants: list[str], history: list[tuple[str, Any]]) -> None:
    """Slices of writing interleave with everything that can happen between them; the books stay balanced (I5)."""
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "SLICE", 1)
    patch.setattr(asyncio, "sleep", _turn)
    world = World()
    for want in wants:
        world.connect(want)
    try:
        for action, how in history:
            _act(world, action, how)
            check(world)
        world.settle()
        check(world)
        for stream in world.streams:
            assert [int(number) for number in stream.received.split()] == stream.expected(world.log)
            if stream.seat is not None:
                assert stream.seat.confirmed == stream.seat.written
        assert world.fanout.in_flight == 0
        expected = Counter(world.log[n - 1] for stream in world.streams for n in stream.expected(world.log))
        succeeded: Counter[str] = Counter()
        for (type_, _), count in world.flow.succeeded.items():
            succeeded[type_.lower()] += count
        assert succeeded == expected
        for stream in world.streams:
            stream.rise()
        assert not world.fanout._cohorts
        assert not world.fanout._by_topic
    finally:
        if world.writing is not None:
            world.writing.close()
        patch.undo()


def _act(world: World, action: str, how: Any) -> None:
    if action == "publish":
        world.publish(how)
    elif action == "step":
        world.step()
    elif action == "sweep":
        world.sweep()
    else:
        stream = world.streams[how % len(world.streams)]
        if action == "sit" and stream.seat is None:
            stream.sit()
        elif action == "arrive":
            stream.arrive()
        elif action == "rise":
            stream.rise()
        elif action == "take":
            stream.reached = min(stream.reached + 3, stream.sent())
        else:
            stream.reached = stream.sent()


class _Turn:
    def __await__(self) -> Any:
        yield


async def _turn(_: float) -> None:
    await _Turn()
