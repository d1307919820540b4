"""I2, I3 and I5 as a state machine: two processes, several devices, and everything that can happen to them."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from resolvers.activities import Activity
from streams.consumer import Consumer
from streams.cursor import START, Cursor
from streams.dead_letters import Limit
from streams.in_flight import PEL_IDLE
from streams.janitor import Janitor
from streams.keys import Keys
from streams.steps import Confirmation, Delivery, Missing
from streams.subscribers import Subscriber
from telemetry.tasks import end
from tests.support.floor import ProcessFloor
from tests.support.machine import World, check
from tests.support.waiting import wait_until


@dataclass
class Device:
    """A client in the model: how it confirms, what it has, and the stream it has open, if any.

    What the server sent is `sent`; the client has of it what it took, which in the worst case is nothing.
    """

    subscriber: Subscriber | None
    confirmation: Confirmation
    got: list[Cursor] = field(default_factory=list)
    start: Cursor | None = None
    process: int = 0
    consumer: Consumer[Activity] | None = None
    pump: asyncio.Task[None] | None = None
    sent_steps: list[Cursor | None] = field(default_factory=list)
    taken_steps: int = 0
    gone: float = 0.0

    def sent(self) -> int:
        """For the consumer: steps stand for bytes."""
        return len(self.sent_steps)

    def taken(self) -> int:
        """How many of them the client took."""
        return self.taken_steps

    @property
    def cursor(self) -> Cursor:
        """What it would resume from."""
        return self.got[-1] if self.got else self.start or START


def devices() -> list[Device]:
    """Two devices of a user, one that confirms, and a client without a device ID."""
    return [
        Device(Subscriber("ada", "phone"), Confirmation.SOCKET),
        Device(Subscriber("ada", "tablet"), Confirmation.SOCKET),
        Device(Subscriber("bob", "phone"), Confirmation.CLIENT),
        Device(None, Confirmation.SOCKET),
    ]


WHO = st.integers(0, 3)
PROCESS = st.integers(0, 1)


class Delivering(RuleBasedStateMachine):
    """Whoever connects where, whatever is lost in between, each client gets what was published after its start."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world

    @initialize()
    def start(self) -> None:
        """Two processes; every client has connected once, and so has a starting place."""
        self.world.start_over()
        self.clock_ms = 1_800_000_000_000
        self.replica: dict[str, bytes] = {}
        self.log: list[Cursor] = []
        limit = Limit(rate=0)  # nothing is given up here: what is given up is told, and tested elsewhere
        self.processes = [ProcessFloor(self.world.engine, self.world.redis, ring_size=4, limit=limit) for _ in range(2)]
        self.devices = devices()
        for k in range(len(self.devices)):
            self.connect(k, process=0, with_cursor=False)

    @rule(count=st.integers(1, 3), step_ms=st.integers(-2_000, 2_000))
    def publish(self, count: int, step_ms: int) -> None:
        """Somebody inserts; the sequencer's clock may step back."""
        self.clock_ms += step_ms

        async def work() -> None:
            self.processes[0].publisher.forget()
            self.log += await self.processes[0].publish(count, now_ms=self.clock_ms)
            for process in self.processes:
                await process.catch_up()

        self.world.run(work())
        self._settle()

    @rule(k=WHO, process=PROCESS, with_cursor=st.booleans())
    def connect(self, k: int, process: int, with_cursor: bool) -> None:
        """A client connects, anywhere; a stream it had open elsewhere is not told."""
        device = self.devices[k]
        self.world.run(self._connect(device, process, with_cursor=with_cursor))
        self._settle()

    async def _connect(self, device: Device, process: int, *, with_cursor: bool) -> None:
        if device.pump is not None and device.process == process:
            await self._leave(device)
        elif device.pump is not None:
            await end([device.pump])
        floor = self.processes[process]
        await floor.processes.beat()
        await floor.catch_up()
        opened = None
        since = device.cursor if device.start is not None and (with_cursor or device.subscriber is None) else None
        if device.subscriber is not None:
            opened = await floor.open(device.subscriber, since=since)
        begin = opened.position if opened else since if since is not None else floor.tail.head
        if device.start is None:
            device.start = begin
        device.sent_steps, device.taken_steps, device.process = [], 0, process
        consumer = floor.consumer(opened, start=begin, since=since, acceptance=device, confirmation=device.confirmation)
        loop = asyncio.get_running_loop()
        consumer._clock = lambda: loop.time() + device.gone
        device.consumer = await consumer.__aenter__()
        device.pump = asyncio.create_task(self._pump(device, device.consumer))

    async def _pump(self, device: Device, consumer: Consumer[Activity]) -> None:
        async for step in consumer:
            assert not isinstance(step, Missing)
            device.sent_steps.append(step.entry.cursor if isinstance(step, Delivery) else None)

    @rule(k=WHO, share=st.floats(0, 1))
    def take(self, k: int, share: float) -> None:
        """The client takes some of what was sent, and, if it is one that confirms, says so."""
        device = self.devices[k]
        if device.consumer is None or device.pump is None or device.pump.done():
            return
        before, upto = device.taken_steps, round(device.taken_steps + share * (device.sent() - device.taken_steps))
        device.taken_steps = upto
        for cursor in device.sent_steps[before:upto]:
            if cursor is not None and cursor not in device.got:
                device.got.append(cursor)
        if device.confirmation is Confirmation.CLIENT and device.got:
            through = self._in_a_row(device)
            self.world.run(self._acknowledge(device, through))
        self._settle()

    def _in_a_row(self, device: Device) -> Cursor:
        """Up to where the client has everything: what it may acknowledge."""
        through = device.start or START
        for cursor in (cursor for cursor in self.log if cursor > through):
            if cursor not in device.got:
                break
            through = cursor
        return through

    async def _acknowledge(self, device: Device, through: Cursor) -> None:
        assert device.subscriber is not None
        await self.processes[1].subscribers.acknowledge(device.subscriber, through)
        if device.consumer is not None:
            device.consumer.acknowledge(through)

    @rule(k=WHO)
    def leave(self, k: int) -> None:
        """The connection is lost and the server notices: the stream ends in order."""
        self.world.run(self._leave(self.devices[k]))

    async def _leave(self, device: Device) -> None:
        if device.pump is not None and device.consumer is not None:
            await end([device.pump])
            await device.consumer.__aexit__()
            device.pump = device.consumer = None

    @rule(k=st.integers(2, 2))
    def wait_a_minute(self, k: int) -> None:
        """Nothing is confirmed for PEL_IDLE."""
        self.devices[k].gone += PEL_IDLE.total_seconds()
        self._settle()

    @rule(process=PROCESS)
    def kill(self, process: int) -> None:
        """Kill -9: its streams and what it had not written are gone."""

        async def work() -> None:
            for device in self.devices:
                if device.process == process and device.pump is not None:
                    await end([device.pump])
                    device.pump = device.consumer = None
            self.processes[process].restart()
            await self.world.redis.delete(Keys().processes)
            await self.processes[process].catch_up()

        self.world.run(work())

    @rule(process=PROCESS)
    def flush_ledger(self, process: int) -> None:
        """Receipts are written."""
        self.world.run(self.processes[process].ledger.flush())
        self._settle()

    @rule(process=PROCESS)
    def save_positions(self, process: int) -> None:
        """Checkpoints are written."""
        self.world.run(self.processes[process].checkpoints.save())

    @rule()
    def flush_redis(self) -> None:
        """FLUSHALL."""
        self.world.run(self.world.redis.flushdb())

    @rule(left=st.integers(0, 5))
    def trim(self, left: int) -> None:
        """Retention."""
        self.world.run(self.world.redis.xtrim(Keys().stream, maxlen=left, approximate=False))

    @rule()
    def replicate(self) -> None:
        """A replica is as it is now."""

        async def dump() -> dict[str, bytes]:
            found: Any = await self.world.redis.keys("*")
            keys = [key.decode() for key in found]
            return {key: value for key in keys if (value := await self.world.redis.dump(key)) is not None}

        self.replica = self.world.run(dump())

    @rule()
    def fail_over(self) -> None:
        """The replica takes over."""

        async def restore() -> None:
            await self.world.redis.flushdb()
            for key, value in self.replica.items():
                await self.world.redis.restore(key, 0, value)

        self.world.run(restore())

    @rule()
    def clean(self) -> None:
        """The janitor's round, with no patience for the absent."""
        floor = self.processes[0]
        janitor = Janitor(
            redis=floor.redis,
            publisher=floor.publisher,
            dead_letters=floor.dead_letters,
            letters=floor.letters,
            leadership=None,  # type: ignore[arg-type]  # its rounds are called by hand
            metrics=floor.metrics,
            park_after=timedelta(0),
            unused_after=timedelta(0),
        )
        self.world.run(janitor.park())
        self.world.run(janitor.sweep())

    def _settle(self) -> None:
        """Let every stream come as far as it can."""

        async def idle() -> None:
            for device in self.devices:
                pump, consumer = device.pump, device.consumer
                if pump is None or consumer is None:
                    continue
                consumer._wake.set()
                await wait_until(
                    lambda pump=pump, consumer=consumer: pump.done() or _is_idle(consumer),  # type: ignore[misc]
                    description="the stream has caught up",
                    every=0.001,
                )
                if pump.done():
                    pump.result()
                    await self._leave(device)

        self.world.run(idle())

    @invariant()
    def everything_is_accounted_for(self) -> None:
        """I5, for each process at any moment."""
        if hasattr(self, "devices"):
            assert [process.metrics.flow.unaccounted for process in self.processes] == [0, 0]

    def teardown(self) -> None:
        """In the end every client comes back until it has all that was published after its start, first in order."""
        if not hasattr(self, "devices"):
            return
        try:
            for process in range(2):
                self.kill(process)  # what only memory knew is gone
            self.publish(1, 0)
            for k, device in enumerate(self.devices):
                for _ in range(6):
                    self.connect(k, process=0, with_cursor=False)
                    self.take(k, 1.0)
                    self.flush_ledger(0)
                due = [cursor for cursor in self.log if cursor > (device.start or START)]
                missing = set(due) - set(device.got)
                assert not missing, f"client {k} never got {sorted(map(str, missing))}"
        finally:
            for device in self.devices:
                with contextlib.suppress(Exception):
                    self.world.run(self._leave(device))


def _is_idle(consumer: Consumer[Activity]) -> bool:
    books, tail = consumer.books, consumer._shared.tail
    nothing_to_do = not (consumer._pages or consumer._line.claimable or books.again or books.turned or books.handing)
    return nothing_to_do and consumer._live and consumer.position >= tail.head


@pytest.mark.timeout(600)
def test_every_client_gets_what_was_published_after_its_start(database_url: str, redis_url: str) -> None:
    """Drops, crashes, take-overs, flushes, stale replicas, trims, clock steps and a zealous janitor in any order."""
    check(Delivering, World(database_url, redis_url), examples=40, steps=30)
