"""I1 as a state machine: whatever happens to leaders, clocks and Redis, the log and the stream tell one story."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from resolvers.activities import Activity
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from streams.cursor import START
from streams.history import unbroken
from streams.keys import Keys
from streams.publisher import Publisher
from telemetry.metrics import Metrics
from tests.support.machine import World, check
from tests.support.parliament import insert_activities
from tests.support.running import (
    KillAt,
    Killed,
    assert_stream_is_the_log,
    cursors,
    make_deadly,
    make_tail,
    whole_log,
    whole_stream,
)


class Sequencing(RuleBasedStateMachine):
    """Two leaders, each with its own memory of where the stream ends, which is true or not."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.clock = 1_800_000_000_000

    @initialize()
    def start(self) -> None:
        """An empty log."""
        self.world.start_over()
        self.inserted = 0
        self.replica: bytes | None = None
        self.leaders = [self._leader() for _ in range(2)]
        self.tail = make_tail(self.world.redis, self._leader()[0])  # not a leader's: those die
        self.seen = 0

    def _leader(self) -> tuple[PostgresLog, Publisher[Activity]]:
        log = PostgresLog(database=Database(engine=self.world.engine, metrics=Metrics()))
        return log, Publisher(redis=self.world.redis, log_of_record=log)

    @rule(count=st.integers(1, 3))
    def insert(self, count: int) -> None:
        """Somebody commits rows."""
        self.world.run(insert_activities(self.world.engine, count))
        self.inserted += count

    @rule(who=st.integers(0, 1), step_ms=st.integers(-5_000, 5_000), limit=st.integers(1, 3))
    def assign(self, who: int, step_ms: int, limit: int) -> None:
        """A leader gives cursors; its clock may have stepped either way."""
        self.clock += step_ms
        self.world.run(self.leaders[who][0].assign(now_ms=self.clock, limit=limit))

    @rule(who=st.integers(0, 1))
    def publish(self, who: int) -> None:
        """A leader, or one that thinks it is, brings the stream up."""
        self.world.run(self.leaders[who][1].publish())

    @rule(who=st.integers(0, 1), step=st.integers(1, 8))
    def die(self, who: int, step: int) -> None:
        """A leader is killed before or after any call, in the middle of its work; another starts."""
        log, publisher = self.leaders[who]
        make_deadly(log, publisher, KillAt(step))

        async def work() -> None:
            await log.assign(now_ms=self.clock, limit=5)
            await publisher.publish()

        try:
            self.world.run(work())
        except Killed:
            pass
        finally:
            self.leaders[who] = self._leader()

    @rule()
    def flush(self) -> None:
        """FLUSHALL."""
        self.world.run(self.world.redis.flushdb())

    @rule(left=st.integers(0, 3))
    def trim(self, left: int) -> None:
        """Retention takes the oldest entries."""
        self.world.run(self.world.redis.xtrim(Keys().stream, maxlen=left, approximate=False))

    @rule()
    def replicate(self) -> None:
        """A replica is as it is now."""
        self.replica = self.world.run(self.world.redis.dump(Keys().stream))

    @rule()
    def fail_over(self) -> None:
        """The replica, which has missed what came since, takes over."""
        if self.replica is not None:
            self.world.run(self.world.redis.restore(Keys().stream, 0, self.replica, replace=True))

    @rule()
    def follow(self) -> None:
        """The tail of a server reads what is new, from the stream and, where that is broken, from PostgreSQL."""

        async def read() -> None:
            reply: Any = await self.world.redis.xread({Keys().stream: str(self.tail.ring.head)})
            for _, raw in reply:
                await self.tail._take(raw)

        self.world.run(read())

    @invariant()
    def log_grows_and_has_no_holes(self) -> None:
        """Every sequenced activity has one cursor; cursors and numbers grow together."""
        if not hasattr(self, "leaders"):
            return
        log = self.world.run(whole_log(self.leaders[0][0]))
        assert cursors(log) == sorted(set(cursors(log)))
        assert [entry.item.n for entry in log] == list(range(1, len(log) + 1))
        assert len(log) <= self.inserted
        stream = self.world.run(whole_stream(self.world.redis))
        assert all(entry in log for entry in stream)
        assert unbroken(stream, after=stream[0].prev if stream else START)
        seen = self.tail.ring.after(START, 10_000) or []
        assert list(seen) == log[: len(seen)]

    def teardown(self) -> None:
        """When all is well again, everything is in the log, in the stream, and seen by the tail."""
        if not hasattr(self, "leaders"):
            return
        log, publisher = self._leader()

        async def settle() -> None:
            while await log.assign(now_ms=self.clock, limit=10):
                pass
            await self.world.redis.delete(Keys().stream)
            await publisher.publish()
            await assert_stream_is_the_log(self.world.redis, log)
            await self.tail._read_log()

        self.world.run(settle())
        assert len(self.tail.ring) == self.inserted


@pytest.mark.timeout(300)
def test_log_and_stream_tell_one_story(database_url: str, redis_url: str) -> None:
    """Two leaders, crashes, clock steps, flushes, trims and stale replicas in any order."""
    check(Sequencing, World(database_url, redis_url), examples=40, steps=25)
