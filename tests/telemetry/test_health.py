"""Health, and the advice that follows from it."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.advice import BACK_AFTER, DOWN_AFTER, Hysteresis, Transport, advise
from telemetry.delivery import DeliveryStats, DeliveryWindow
from telemetry.health import Facts, HealthSampler, Pel, conditions


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 5)), max_size=60))
def test_state_changes_only_after_lasting_evidence(samples: list[tuple[bool, float]]) -> None:
    """Down after 2 s of bad samples in a row, up after 10 s of good ones, never sooner."""
    state, now, since, last = Hysteresis(), 0.0, 0.0, None
    for good, step in samples:
        now += step
        if good is not last:
            since, last = now, good
        before = state.down
        after = state.see(good=good, now=now)
        if after != before:
            needed = DOWN_AFTER if after else BACK_AFTER
            assert good is not after
            assert now - since >= needed.total_seconds()


def test_lasting_evidence_does_change_the_state() -> None:
    """Two seconds without Redis are enough, and ten with it."""
    state = Hysteresis()

    assert [state.see(good=False, now=now) for now in (0, 1, 2)] == [False, False, True]
    assert [state.see(good=True, now=now) for now in (3, 12, 13)] == [True, True, False]


async def test_probe_that_fails_or_hangs_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a probe does, a sample is taken within its second."""

    async def answers() -> bool:
        return True

    async def fails() -> bool:
        raise OSError("gone")

    async def hangs() -> bool:
        await asyncio.Event().wait()
        return True

    sampler = HealthSampler(probes={"redis": hangs, "database": fails, "tail": answers})
    monkeypatch.setattr("telemetry.health.SAMPLE_EVERY", DOWN_AFTER / 100)

    await sampler.sample()

    assert (sampler.now.redis, sampler.now.database, sampler.now.tail) == (False, False, True)
    assert not sampler.now.healthy
    assert Transport.SSE is sampler.now.advice.mode


async def test_advice_is_to_poll_when_redis_stays_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """After two seconds clients are told to poll, with an interval, a jitter and when to try again."""
    clock = [0.0]
    monkeypatch.setattr("telemetry.health.time.monotonic", lambda: clock[0])
    up = [False]

    async def redis() -> bool:
        return up[0]

    async def yes() -> bool:
        return True

    sampler = HealthSampler(probes={"redis": redis, "database": yes, "tail": yes})
    modes = []
    for now in range(20):
        clock[0] = now
        up[0] = now >= 5
        await sampler.sample()
        modes.append(sampler.now.advice.mode)

    assert modes == [Transport.SSE] * 2 + [Transport.POLLING] * 13 + [Transport.SSE] * 5


async def test_redis_that_hangs_counts_from_when_it_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frozen Redis costs each sample its second; advice comes within three seconds all the same."""
    clock = [0.0]
    monkeypatch.setattr("telemetry.health.time.monotonic", lambda: clock[0])

    async def hangs_for_a_second() -> bool:
        clock[0] += 1
        raise TimeoutError

    async def yes() -> bool:
        return True

    sampler = HealthSampler(probes={"redis": hangs_for_a_second, "database": yes, "tail": yes})
    modes = []
    for _ in range(3):  # one after the other, as `run` does when a sample took its whole second
        await sampler.sample()
        modes.append((clock[0], sampler.now.advice.mode))

    assert modes == [(1, Transport.SSE), (2, Transport.POLLING), (3, Transport.POLLING)]


def facts(**more: object) -> Facts:
    """All well, but for what is given."""
    given: dict[str, object] = {"redis": True, "tail": True, "pel": Pel(), "delivery": DeliveryStats(), **more}
    return Facts(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "mode"),
    [
        ({}, Transport.SSE),
        ({"redis": False}, Transport.POLLING),
        ({"tail": False}, Transport.POLLING),
        ({"pel": Pel(total=50_001)}, Transport.POLLING),
        ({"pel": Pel(total=10_001)}, Transport.DEGRADED),
        ({"pel": Pel(total=10_000)}, Transport.SSE),
        ({"pel": Pel(total=1, oldest=timedelta(hours=1, seconds=1))}, Transport.DEGRADED),
        ({"pel": Pel(total=50_000)}, Transport.DEGRADED),
        ({"pel": Pel(total=1, oldest=timedelta(hours=1))}, Transport.SSE),
        ({"lagging": True}, Transport.DEGRADED),
        ({"lagging": True, "tail": False}, Transport.POLLING),
        ({"delivery": DeliveryStats(1_000, 10, 501, 900, 1.0)}, Transport.DEGRADED),
        ({"delivery": DeliveryStats(999, 10, 501, 900, 0.5)}, Transport.SSE),
        ({"delivery": DeliveryStats(1_000, 10, 500, 900, 0.9989)}, Transport.DEGRADED),
        ({"delivery": DeliveryStats(1_000, 10, 500, 900, 0.999)}, Transport.SSE),
    ],
)
def test_each_condition_calls_for_its_transport(wrong: dict[str, object], mode: Transport) -> None:
    """The table of the design; latency and success count from a thousand samples on."""
    found = [condition.mode for condition in conditions(facts(**wrong)) if condition.holds]

    assert (found[0] if found else Transport.SSE) is mode


def test_poll_interval_follows_from_the_number_of_clients() -> None:
    """A hundred thousand clients that fall back do not poll at five-second intervals."""
    few, many = (advise(mode=Transport.POLLING, streams=streams) for streams in (10, 15_000))

    assert few.poll_interval == timedelta(seconds=5)
    assert many.poll_interval == timedelta(seconds=30)
    assert many.jitter > few.jitter


def test_delivery_window_forgets_after_five_minutes() -> None:
    """Quantiles and success are those of the last minutes."""
    now = [0.0]
    window = DeliveryWindow(clock=lambda: now[0])
    window.delivered(900, 10)
    window.failed()
    assert window.stats() == DeliveryStats(11, 1_000, 1_000, 1_000, 10 / 11)
    now[0] = 301
    for latency in (1, 3, 3, 3, 40):
        window.delivered(latency)

    assert window.stats() == DeliveryStats(5, 5, 50, 50, 1.0)
    now[0] = 1_000
    assert window.stats() == DeliveryStats()


async def test_health_query_costs_redis_nothing() -> None:
    """What is pending is read once a sample; asking for health reads the sample."""
    asked = []

    async def pel() -> Pel:
        asked.append(1)
        return Pel(total=3)

    async def yes() -> bool:
        return True

    sampler = HealthSampler(probes={"redis": yes, "database": yes, "tail": yes}, pel=pel)
    await sampler.sample()

    assert [sampler.now.pel.total for _ in range(100)] == [3] * 100
    assert len(asked) == 1
