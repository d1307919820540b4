"""The bitmaps in Redis against PostgreSQL: every state is right, says that it does not know, or heals with a sweep."""

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cache.reads import KEPT_FOR, Marks, Snapshot
from cache.segments import SIZE, segment_key, state_key
from cache.sweeper import OVERLAP, Sweeper, look_back
from resolvers.activities import ActivityId
from resolvers.database.leadership import Leadership
from streams.cursor import START, Cursor
from tests.support.feeding import Feeding
from tests.support.parliament import insert_activities
from tests.support.running import assign_all, start_over
from tests.support.waiting import wait_until


@pytest.fixture
def feeding(database: AsyncEngine, redis: Redis) -> Feeding:
    """One process's feed."""
    return Feeding(database, redis)


def sweeper(feeding: Feeding) -> Sweeper:
    """Rounds by hand."""
    return Sweeper(
        bits=feeding.bits,
        versions=feeding.marks,
        leadership=Leadership(url="postgresql://nobody@127.0.0.1:9/none", role="test"),
        metrics=feeding.metrics,
    )


async def read_here(feeding: Feeding, head: int) -> set[int]:
    """Log numbers that the product shows Ada as read."""
    seen = await feeding.reading.look("ada", low=1, high=head, head=head)
    assert seen is not None
    read = {n for n in range(1, head + 1) if seen.is_read(n)}
    assert head - len(read) == seen.unread
    return read


class Tape:
    """Everything Redis has of Ada, to be put back as a stale replica would have it."""

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._kept: dict[bytes, bytes] = {}

    async def record(self) -> None:
        """Remember."""
        keys: Any = await self._redis.keys("user:reads:*")
        self._kept = {key: await self._redis.dump(key) or b"" for key in keys}

    async def play(self) -> None:
        """Put back, as a failover to a replica that missed the rest does."""
        await self._redis.flushdb()
        for key, value in self._kept.items():
            await self._redis.restore(key, 60_000, value)


class History:
    """Ada's marks under faults. `trusted` while nothing happened that only a sweep can put right."""

    def __init__(self, feeding: Feeding, redis: "Redis", ids: list[ActivityId], cursors: list[Cursor]) -> None:
        self.feeding = feeding
        self.redis = redis
        self.ids = ids
        self.cursors = cursors
        self.tape = Tape(redis)
        self.read: set[int] = set()
        self.snapshots: list[Snapshot] = []
        self.trusted = True

    def _chosen(self, numbers: set[int]) -> list[ActivityId]:
        self.read |= numbers
        return [self.ids[n - 1] for n in sorted(numbers)]

    async def mark(self, numbers: set[int]) -> None:
        """As it should be."""
        await self.feeding.reading.mark("ada", self._chosen(numbers))

    async def mark_all(self, numbers: set[int]) -> None:
        """Up to one of them."""
        self.read |= set(range(1, min(numbers) + 1))
        await self.feeding.reading.mark_through("ada", self.cursors[min(numbers) - 1])

    async def crash(self, numbers: set[int]) -> None:
        """PostgreSQL has committed, Redis never hears of it."""
        await self.feeding.marks.mark("ada", self._chosen(numbers))
        self.trusted = False

    async def overtaken(self, numbers: set[int]) -> None:
        """The scripts of two devices arrive in the other order."""
        chosen = self._chosen(numbers)
        found, first = await self.feeding.marks.mark("ada", chosen[:1])
        more, second = await self.feeding.marks.mark("ada", chosen[1:])
        for marked, standing in ((more, second), (found, first)):
            if standing.changed:
                await self.feeding.bits.mark("ada", [activity.n for activity in marked], standing.marks)

    async def look(self, _: set[int]) -> None:
        """What is shown is never more than what was read, and all of it while nothing was lost."""
        shown = await read_here(self.feeding, 12)
        assert shown <= self.read
        assert not self.trusted or shown == self.read

    async def begin_warm(self, _: set[int]) -> None:
        """PostgreSQL is read."""
        self.snapshots.append(await self.feeding.marks.snapshot("ada", low=1))

    async def late_warm(self, _: set[int]) -> None:
        """What was read once arrives; if Redis has forgotten meanwhile that it is old, only the sweep knows."""
        if self.snapshots:
            snapshot = self.snapshots.pop()
            fenced = await self.redis.exists(state_key("ada"))
            newest = (await self.feeding.marks.standing("ada")).marks.version
            self.trusted = self.trusted and (bool(fenced) or snapshot.marks.version == newest)
            await self.feeding.bits.warm("ada", snapshot)

    async def lose_all(self, _: set[int]) -> None:
        """FLUSHALL."""
        await self.redis.flushdb()

    async def lose_state(self, _: set[int]) -> None:
        """Eviction of one key."""
        await self.redis.delete(state_key("ada"))

    async def lose_segment(self, _: set[int]) -> None:
        """Eviction of the other."""
        await self.redis.delete(segment_key("ada", 0))

    async def record(self, _: set[int]) -> None:
        """A replica has come this far."""
        await self.tape.record()

    async def fail_over(self, _: set[int]) -> None:
        """That replica takes over."""
        await self.tape.play()
        self.trusted = False


STEPS = [
    *("mark", "mark", "mark_all", "look", "crash", "overtaken", "begin_warm", "late_warm"),
    *("lose_all", "lose_state", "lose_segment", "record", "fail_over"),
]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(STEPS), st.sets(st.integers(1, 12), min_size=1)), max_size=14))
async def test_every_state_heals_within_a_sweep(
    steps: list[tuple[str, set[int]]], database: AsyncEngine, redis: Redis
) -> None:
    """After marks, warms, crashes, losses and failovers in any order, one sweep makes what is shown right.

    Without a crash, a failover or a loss in the middle of a warm it is right at any time.
    """
    await start_over(database, redis)
    feeding = Feeding(database, redis)
    ids = [ActivityId(id_) for id_ in await insert_activities(database, 12)]
    await assign_all(feeding.log)
    history = History(feeding, redis, ids, [entry.cursor for entry in await feeding.log.after(START, 20)])
    for step, numbers in steps:
        await getattr(history, step)(numbers)

    await sweeper(feeding).round()

    assert history.read == await read_here(feeding, 12)


async def test_marks_older_than_the_fence_are_refused(database: AsyncEngine, feeding: Feeding) -> None:
    """What was read from PostgreSQL before a mark, and arrives after it, would unread that mark: it does not count."""
    ids = [ActivityId(id_) for id_ in await insert_activities(database, 2)]
    await assign_all(feeding.log)
    old = await feeding.marks.snapshot("ada", low=1)

    await feeding.reading.mark("ada", ids[:1])

    assert not await feeding.bits.warm("ada", old)
    assert await read_here(feeding, 2) == {1}


async def test_mark_that_changed_nothing_does_not_speak_for_a_version(database: AsyncEngine, feeding: Feeding) -> None:
    """A device that marks again what another is still on the way with must not promise that device's other marks."""
    ids = [ActivityId(id_) for id_ in await insert_activities(database, 2)]
    await assign_all(feeding.log)
    await read_here(feeding, 2)
    found, slow = await feeding.marks.mark("ada", ids)

    await feeding.reading.mark("ada", ids[:1])
    await feeding.bits.mark("ada", [activity.n for activity in found], slow.marks)

    assert await read_here(feeding, 2) == {1, 2}


async def test_concurrent_devices_and_warms_agree(database: AsyncEngine, feeding: Feeding, redis: Redis) -> None:
    """Devices that mark, look and lose keys at once end with what PostgreSQL has."""
    ids = [ActivityId(id_) for id_ in await insert_activities(database, 60)]
    await assign_all(feeding.log)

    async def device(k: int) -> None:
        for first in range(k, 60, 6):
            await feeding.reading.mark("ada", [ids[first]])
            await feeding.reading.look("ada", low=1, high=60, head=60)
            if first % 7 == 0:
                await redis.delete(segment_key("ada", 0))

    await asyncio.gather(*(device(k) for k in range(6)))
    await sweeper(feeding).round()

    assert set(range(1, 61)) == await read_here(feeding, 60)


async def test_mark_follows_without_another_read(database: AsyncEngine, feeding: Feeding) -> None:
    """A user who is warm stays warm: later marks and looks ask PostgreSQL for nothing."""
    ids = [ActivityId(id_) for id_ in await insert_activities(database, 5)]
    await assign_all(feeding.log)
    await read_here(feeding, 5)

    await feeding.reading.mark("ada", ids[:2])
    await feeding.reading.mark("ada", ids[1:3])

    assert {1, 2, 3} == await read_here(feeding, 5)
    assert feeding.metrics.registry.get_sample_value("read_marks_warmed_total") == 1


async def test_marks_beyond_the_head_of_a_process_do_not_count(feeding: Feeding) -> None:
    """A process whose tail is behind counts up to its own head, across the border of a segment too."""
    numbers = [SIZE - 2, SIZE - 1, SIZE, SIZE + 1]
    snapshot = Snapshot(Marks(version=4, through=10, above=4), numbers, low=1, top=SIZE + 5)
    assert await feeding.bits.warm("ada", snapshot)

    for head, marked in ((SIZE - 3, 0), (SIZE - 1, 2), (SIZE, 3), (SIZE + 5, 4), (5, 0)):
        seen = await feeding.bits.look("ada", low=1, high=head, head=head)
        assert seen is not None
        assert seen.unread == (max(head - 10, 0) - marked)


async def test_new_segment_needs_no_read(feeding: Feeding) -> None:
    """When the log enters a new segment, nobody's marks have to be read again, and marks in it are kept."""
    assert await feeding.bits.warm("ada", Snapshot(Marks(0, 0, 0), [], low=1, top=SIZE - 1))

    before = await feeding.bits.look("ada", low=SIZE - 5, high=SIZE + 3, head=SIZE + 3)
    assert await feeding.bits.mark("ada", [SIZE + 2], Marks(1, 0, 1))
    after = await feeding.bits.look("ada", low=SIZE - 5, high=SIZE + 3, head=SIZE + 3)

    assert before is not None
    assert after is not None
    assert (before.unread, after.unread) == (SIZE + 3, SIZE + 2)
    assert [n for n in range(SIZE - 5, SIZE + 4) if after.is_read(n)] == [SIZE + 2]


async def test_lost_new_segment_is_noticed(feeding: Feeding, redis: Redis) -> None:
    """A segment that had a mark and is gone is not taken for one that never had any."""
    assert await feeding.bits.warm("ada", Snapshot(Marks(0, 0, 0), [], low=1, top=SIZE - 1))
    assert await feeding.bits.mark("ada", [SIZE + 2], Marks(1, 0, 1))

    await redis.delete(segment_key("ada", 1))

    assert await feeding.bits.look("ada", low=SIZE - 5, high=SIZE + 3, head=SIZE + 3) is None


async def test_keys_expire_and_use_puts_it_off(feeding: Feeding, redis: Redis) -> None:
    """A user who stays away is forgotten after a month; one who looks is not."""
    await feeding.bits.warm("ada", Snapshot(Marks(0, 0, 0), [], low=1, top=10))
    for key in (state_key("ada"), segment_key("ada", 0)):
        assert 26 * 86_400 < await redis.ttl(key) <= 30 * 86_400
        await redis.expire(key, 100)

    await feeding.bits.look("ada", low=1, high=10, head=10)

    for key in (state_key("ada"), segment_key("ada", 0)):
        assert await redis.ttl(key) > 26 * 86_400


async def test_readers_do_not_share_bits(database: AsyncEngine, feeding: Feeding) -> None:
    """What one user reads stays unread for the other."""
    ids = [ActivityId(id_) for id_ in await insert_activities(database, 2)]
    await assign_all(feeding.log)

    await feeding.reading.mark("bob", ids)

    assert await read_here(feeding, 2) == set()


def test_sweep_looks_back_to_the_last_one_and_over_all_after_a_failover() -> None:
    """Rounds that failed are made up for, and another Redis than the last time is not trusted with anything."""
    assert look_back(None, "a", 100) == KEPT_FOR + OVERLAP == look_back(("b", 90), "a", 100)
    assert (look_back(("a", 90), "a", 100) - OVERLAP).total_seconds() == 10


async def test_identity_is_that_of_the_server(feeding: Feeding, redis: Redis) -> None:
    """The run and the replication history of the server behind the connection."""
    info = await redis.info()

    assert f"{info['run_id']} {info['master_replid']}" == await feeding.bits.identity()


async def test_sweeper_leads_and_heals(database_url: str, database: AsyncEngine, feeding: Feeding) -> None:
    """The running sweeper finds what a crash left behind, and counts it."""
    [id_] = [ActivityId(id_) for id_ in await insert_activities(database, 1)]
    await assign_all(feeding.log)
    await read_here(feeding, 1)
    await feeding.marks.mark("ada", [id_])
    running = Sweeper(
        bits=feeding.bits,
        versions=feeding.marks,
        leadership=Leadership(url=database_url, role="read-marks"),
        metrics=feeding.metrics,
    )
    task = asyncio.create_task(running.run())

    await wait_until(
        lambda: feeding.metrics.registry.get_sample_value("read_marks_behind_total") == 1, description="it is found"
    )
    task.cancel()
    await asyncio.wait([task])

    assert await read_here(feeding, 1) == {1}
