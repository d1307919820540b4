"""The short and the long way to write a receipt that says no more than how far a subscriber has come."""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from typing import Any
from unittest.mock import Mock

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from streams.connection import connect_alone as connect
from streams.cursor import Cursor
from streams.keys import Keys
from streams.ledger import Ledger
from streams.receipts import News, Receipt, Refusal
from streams.subscribers import Subscriber
from telemetry.metrics import Metrics

DEVICES = [Subscriber("ada & co", f"device-{k}") for k in range(6)]
PLACES = [Cursor.parse(text) for text in ("1000-0", "1000-9", "1000-10", "9999-0", "10000-0", "1795527974982-3")]

places, epochs, devices = st.sampled_from(PLACES), st.integers(1, 3), st.sampled_from(DEVICES)
kept = st.dictionaries(devices, st.tuples(places, epochs, st.sampled_from(["-", "other"])))
moved = st.dictionaries(devices, st.tuples(places, epochs), min_size=1)


@given(kept=kept, moved=moved)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_ways_have_the_same_effect(
    redis_url: str, kept: Mapping[Subscriber, tuple[Cursor, int, str]], moved: Mapping[Subscriber, tuple[Cursor, int]]
) -> None:
    """Positions, epochs, owners and refusals are the same, whatever was kept and however it moves."""

    async def both() -> None:
        async with aclosing(connect(redis_url)) as redis:
            assert await _outcome(redis, kept, moved, short=True) == await _outcome(redis, kept, moved, short=False)

    asyncio.run(both())


async def _outcome(
    redis: "Redis",
    kept: Mapping[Subscriber, tuple[Cursor, int, str]],
    moved: Mapping[Subscriber, tuple[Cursor, int]],
    *,
    short: bool,
) -> tuple[Any, Any]:
    """What is kept afterwards, and who was refused."""
    await redis.delete(Keys().positions)
    for device, (position, epoch, owner) in kept.items():
        await redis.hset(Keys().positions, device.name, f"{position} {epoch} {owner}")
    refused: list[tuple[Subscriber, Refusal]] = []
    ledger = Ledger(redis=redis, process="mine", checkpoints=Mock(), metrics=Metrics())
    for device, (position, epoch) in moved.items():
        receipt = Receipt(device, epoch, partial(_note, refused, device), position, position)
        if not short:
            receipt.news = News(mail={"nothing:that-anybody-wrote"})
        assert receipt.only_advances is short
        ledger.record(receipt)
    await ledger.flush()
    return await redis.hgetall(Keys().positions), sorted(refused, key=str)


def _note(refused: list[tuple[Subscriber, Refusal]], device: Subscriber, reason: Refusal) -> None:
    refused.append((device, reason))
