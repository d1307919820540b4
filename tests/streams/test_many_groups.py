"""Nothing on the live path may cost more because many subscribers exist."""

from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from streams.cursor import START
from streams.keys import Keys
from streams.pending import read_pending
from streams.steps import Confirmation, Delivery
from streams.subscribers import Subscriber
from tests.support.floor import ProcessFloor

GROUPS = 10_000
LIVE = 20


async def make_groups(redis: Redis, count: int) -> None:
    """Subscribers with a group each, as exceptions leave them."""
    for first in range(0, count, 1_000):
        pipeline = redis.pipeline(transaction=False)
        for k in range(first, first + 1_000):
            pipeline.xgroup_create(Keys().stream, f"users:reader{k}:phone", id="0", mkstream=True)
            pipeline.zadd(Keys().groups, {f"reader{k}:phone": 1})
            pipeline.hset(Keys().positions, f"reader{k}:phone", "0-0 1 -")
        await pipeline.execute()


async def live_path(floor: ProcessFloor, redis: Redis) -> dict[str, int]:
    """Streams open, activities are published, delivered, confirmed or left pending, streams end: commands by name."""
    await redis.config_resetstat()
    for k in range(LIVE):
        opened = await floor.open(Subscriber(f"live{k}", "phone"), since=START)
        confirmation = Confirmation.CLIENT if k % 2 else Confirmation.SOCKET
        async with floor.consumer(opened, since=START, confirmation=confirmation) as consumer:
            for _ in range(3):
                assert isinstance(await anext(consumer), Delivery)
    await floor.ledger.flush()
    await floor.publish(1)
    await floor.processes.beat()
    await read_pending(redis)
    stats: Any = await redis.info("commandstats")
    names = {name.removeprefix("cmdstat_"): values["calls"] for name, values in stats.items()}
    return {name: calls for name, calls in names.items() if not name.startswith(("config", "info", "client", "script"))}


async def test_live_path_issues_the_same_commands_with_ten_thousand_groups(database: AsyncEngine, redis: Redis) -> None:
    """Counted by Redis itself: none of them is O(groups), in number or, like XINFO GROUPS, in kind."""
    floor = ProcessFloor(database, redis)
    await floor.publish(3)
    await live_path(floor, redis)  # the scripts are loaded now
    await redis.delete(Keys().positions, Keys().pending, Keys().pending_since, Keys().pending_total)
    alone = await live_path(floor, redis)
    await make_groups(redis, GROUPS)
    await redis.hdel(Keys().positions, *(f"live{k}:phone" for k in range(LIVE)))

    crowded = await live_path(floor, redis)

    assert len(await redis.xinfo_groups(Keys().stream)) > GROUPS
    assert set(crowded) <= set(alone)
    assert sum(crowded.values()) <= sum(alone.values()) * 1.2 + LIVE
    assert not {"xinfo|groups", "keys", "scan", "hgetall", "xreadgroup"} & set(crowded)
