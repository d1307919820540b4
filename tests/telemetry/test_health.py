"""Health, and the advice that follows from it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.advice import BACK_AFTER, DOWN_AFTER, Hysteresis, Transport
from telemetry.health import HealthSampler


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
