"""Rates: never more than the limit here, hardly more in all processes, and no refusal because Redis is away."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from streams import rates
from streams.connection import connect
from streams.errors import StreamsUnavailable
from streams.rates import WINDOW, Count, Rates, wait
from telemetry.metrics import Metrics

MINUTE = 1_000.0 * WINDOW
"""The start of a window."""


class Clock:
    """Seconds since 1970, as a test sets them."""

    def __init__(self, at: float = MINUTE) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def counting(redis: Redis, clock: Clock, **most: int) -> Rates:
    """The rates of one process."""
    return Rates(redis=redis, metrics=Metrics(), most=most or {"asks": 3}, now=clock)


async def test_what_is_beyond_the_limit_waits_as_long_as_it_is_told(redis: Redis) -> None:
    """The fourth of three a minute is refused and not counted; after the wait it is let through."""
    clock = Clock()
    mine = counting(redis, clock)
    assert [mine.hit("asks", "ada") for _ in range(3)] == [None] * 3

    told = mine.hit("asks", "ada")
    assert told is not None
    clock.at += told.total_seconds() - 1
    early = mine.hit("asks", "ada")
    clock.at += 2

    assert timedelta(0) < told <= timedelta(minutes=2)
    assert early is not None
    assert mine.hit("asks", "ada") is None
    assert mine.hit("asks", "eve") is None


async def test_processes_learn_what_the_others_counted(redis: Redis) -> None:
    """After an exchange, what one process let through counts in the other, in this window and the next."""
    clock = Clock()
    one, other = counting(redis, clock), counting(redis, clock)
    for _ in range(3):
        one.hit("asks", "ada")
    assert other.hit("asks", "ada") is None

    await one.exchange()
    await other.exchange()

    assert other.hit("asks", "ada") is not None
    clock.at += WINDOW
    await one.exchange()
    assert counting(redis, clock).hit("asks", "ada") is None
    assert other.hit("asks", "ada") is not None


async def test_nobody_is_refused_because_redis_is_away(metrics: Metrics) -> None:
    """Each process counts alone then, tells it later, and a metric says so."""
    away = connect("redis://127.0.0.1:1/0")
    clock = Clock()
    mine = Rates(redis=away, metrics=metrics, most={"asks": 3}, now=clock)
    assert [mine.hit("asks", "ada") for _ in range(3)] == [None] * 3

    with pytest.raises(StreamsUnavailable):
        await mine.exchange()

    assert mine.hit("asks", "ada") is not None
    assert mine._changed
    await away.aclose()


async def test_memory_is_bounded_whoever_comes(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more keys than are kept the oldest go, counted; who did nothing for two windows goes too."""
    monkeypatch.setattr(rates, "MOST_COUNTS", 10)
    clock, metrics = Clock(), Metrics()
    mine = Rates(redis=redis, metrics=metrics, most={"asks": 3}, now=clock)
    for number in range(25):
        mine.hit("asks", f"user {number}")
    await mine.exchange()

    assert len(mine) == 10
    assert metrics.registry.get_sample_value("rate_limit_forgotten_total") == 15
    clock.at += 2 * WINDOW
    mine._sweep()
    assert len(mine) == 0


@given(
    here=st.integers(0, 50),
    everywhere=st.integers(0, 50),
    before=st.integers(0, 100),
    elapsed=st.floats(0, 0.999),
    cost=st.integers(1, 80),
    most=st.integers(1, 50),
)
def test_wait_is_the_shortest_after_which_it_fits(  # noqa: PLR0917 - drawn by name
    here: int, everywhere: int, before: int, elapsed: float, cost: int, most: int
) -> None:
    """Whatever was counted: after the wait the cost fits, and a moment before it did not."""

    def fits(after: float) -> bool:
        at = elapsed + after
        now, past = (everywhere + here, before) if at < 1 else (0, everywhere + here)
        past = past if at < 2 else 0
        return now + past * (1 - at % 1) + min(cost, most) <= most + 1e-6

    windows = wait(Count(0, here, everywhere, before), elapsed=elapsed, cost=cost, most=most)

    assert fits(windows + 1e-9)
    assert windows == 0 or not fits(windows - 1e-3) or windows < 1e-3
