"""The ledger as a state machine: what a position has passed is confirmed or pending, whatever befalls Redis."""

import contextlib
from collections.abc import Sequence
from typing import Any, NoReturn

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from streams.cursor import START, Cursor
from streams.errors import StreamsUnavailable
from streams.in_flight import PEL_IDLE, Fate, InFlight
from streams.keys import Keys
from streams.receipts import Receipt, Refusal
from streams.subscribers import Opened, Subscriber
from tests.support.floor import PHONE, TABLET, ProcessFloor
from tests.support.machine import World, check

ENTRIES = 12
DEVICES = [PHONE, TABLET]


class Device:
    """One device's stream: its books, and what the client confirmed in truth."""

    def __init__(self, opened: Opened, floor: ProcessFloor, confirmed: set[Cursor]) -> None:
        self.confirmed = confirmed
        self.refused: list[Refusal] = []
        self.books = InFlight(
            position=opened.position,
            opened=opened,
            process=floor.processes.name,
            flow=floor.metrics.flow,
            wall_ms=lambda: 0,
        )
        self.waiting = [one.cursor for one in opened.pending if one.cursor <= opened.position]
        for one in opened.pending:
            self.books.hold(one.cursor)


class Receipts(RuleBasedStateMachine):
    """Two devices that hand over, confirm, leave pending, end and come back; a Redis that forgets."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @initialize()
    def start(self) -> None:
        """Twelve entries, two devices before the first."""
        self.world.start_over()
        self.floor = ProcessFloor(self.world.engine, self.world.redis)
        self.log = self.world.run(self.floor.publish(ENTRIES))
        self.now = 100.0
        self.replica: dict[str, bytes] = {}
        self.devices: dict[Subscriber, Device] = {}
        for device in DEVICES:
            self._open(device, set())

    def _open(self, device: Subscriber, confirmed: set[Cursor]) -> None:
        async def open_it() -> Opened:
            await self.floor.ledger.settle(device)
            return await self.floor.subscribers.open(device, since=None, head=START)

        self.devices[device] = Device(self.world.run(open_it()), self.floor, confirmed)

    def _record(self, who: Device, *, ended: bool = False) -> None:
        if receipt := who.books.receipt(who.refused.append, ended=ended):
            self.floor.ledger.record(receipt)

    def _in_care(self, who: Device) -> set[Cursor]:
        """What this stream has handed over, and what earlier ones have left pending."""
        return {one.cursor for one in (*who.books.given, *who.books.again)} | set(who.books.held)

    def _alive(self, k: int) -> Device | None:
        who = self.devices[DEVICES[k]]
        return None if who.refused else who

    @rule(k=st.integers(0, 1), count=st.integers(1, 4))
    def hand_over(self, k: int, count: int) -> None:
        """What is pending first, then what comes next."""
        if (who := self._alive(k)) is None:
            return
        for _ in range(count):
            following = [cursor for cursor in self.log if cursor > who.books.position]
            cursor = who.waiting.pop(0) if who.waiting else following[0] if following else None
            if cursor is not None:
                who.books.take(cursor, attempt=1, fate=Fate.DELIVERED, now=self.now)
                who.books.sent(0, self.now)
        self._record(who)

    @rule(k=st.integers(0, 1), at=st.integers(0, ENTRIES - 1))
    def confirm(self, k: int, at: int) -> None:
        """The client has everything given up to one of the entries."""
        if (who := self._alive(k)) is None:
            return
        through = min(self.log[at], who.books.position)
        who.confirmed |= {cursor for cursor in self.log if cursor <= through} & self._in_care(who)
        who.waiting = [cursor for cursor in who.waiting if cursor > through]
        who.books.acknowledged(through, self.now)
        self._record(who)

    @rule(k=st.integers(0, 1))
    def wait_a_minute(self, k: int) -> None:
        """What is not confirmed becomes pending, and is given again."""
        if (who := self._alive(k)) is None:
            return
        self.now += PEL_IDLE.total_seconds()
        if who.books.overdue(self.now):
            self._record(who)
        while who.books.again:
            given = who.books.again.popleft()
            who.books.take(given.cursor, attempt=given.attempt + 1, fate=Fate.DELIVERED, now=self.now)
            who.books.sent(0, self.now)

    @rule(k=st.integers(0, 1), orderly=st.booleans())
    def come_back(self, k: int, orderly: bool) -> None:
        """The stream ends, with or without a last receipt, and the device connects again."""
        who = self.devices[DEVICES[k]]
        if orderly:
            who.books.end(self.now)
            self._record(who, ended=True)
        else:
            self.floor.ledger._waiting.pop(DEVICES[k].name, None)
        self._open(DEVICES[k], who.confirmed)

    @rule(lost_answer=st.booleans())
    def flush_ledger(self, lost_answer: bool) -> None:
        """Receipts are written; the answer may be lost, and they are written again."""
        ledger = self.floor.ledger
        if lost_answer:
            write_all = ledger._write_all

            async def then_fail(batch: Sequence[Receipt]) -> NoReturn:
                await write_all(batch)
                raise StreamsUnavailable("the answer was lost")

            with pytest.MonkeyPatch.context() as patch, contextlib.suppress(StreamsUnavailable):
                patch.setattr(ledger, "_write_all", then_fail)
                self.world.run(ledger.flush())
        self.world.run(ledger.flush())

    @rule()
    def save_positions(self) -> None:
        """The minute's checkpoint."""
        self.world.run(self.floor.checkpoints.save())

    @rule()
    def flush_redis(self) -> None:
        """FLUSHALL; the sequencer fills the stream again."""
        self.world.run(self.world.redis.flushdb())
        self.floor.publisher.forget()
        self.world.run(self.floor.publisher.publish())

    @rule(left=st.integers(0, ENTRIES))
    def trim(self, left: int) -> None:
        """Retention takes entries, pending ones too."""
        self.world.run(self.world.redis.xtrim(Keys().stream, maxlen=left, approximate=False))

    @rule()
    def replicate(self) -> None:
        """A replica is as it is now: a consistent state of all keys."""

        async def dump() -> dict[str, bytes]:
            found: Any = await self.world.redis.keys("*")
            keys = [key.decode() for key in found]
            return {key: value for key in keys if (value := await self.world.redis.dump(key)) is not None}

        self.replica = self.world.run(dump())

    @rule()
    def fail_over(self) -> None:
        """The replica takes over with what it had."""

        async def restore() -> None:
            await self.world.redis.flushdb()
            for key, value in self.replica.items():
                await self.world.redis.restore(key, 0, value)

        self.world.run(restore())
        self.floor.publisher.forget()
        self.world.run(self.floor.publisher.publish())

    def teardown(self) -> None:
        """In the end both devices come back until they have everything."""
        if not hasattr(self, "devices"):
            return
        for k, device in enumerate(DEVICES):
            for attempt in range(ENTRIES + 3):
                self.come_back(k, orderly=attempt > 0)  # first of all, what only memory knew is gone
                self.hand_over(k, ENTRIES)
                self.confirm(k, ENTRIES - 1)
                self.flush_ledger(lost_answer=False)
            assert set(self.log) == self.devices[device].confirmed


@pytest.mark.timeout(300)
def test_positions_pass_nothing_that_is_not_confirmed_or_pending(database_url: str, redis_url: str) -> None:
    """Lost answers, crashes, flushes, trims and stale replicas in any order."""
    check(Receipts, World(database_url, redis_url), examples=50, steps=30)
