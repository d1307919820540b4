"""The estimator of a soak: it finds a leak in noise, and none where there is none."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak.slopes import Tolerance, judge, slope

SAMPLES, EVERY = 240, 5.0
TIMES = [k * EVERY for k in range(SAMPLES)]
MEGABYTES = Tolerance(1.0, 0.02)


def noisy(seed: int, *, leak_an_hour: float, level: float = 120.0, saw: float = 3.0) -> list[float]:
    """Resident memory as it looks: a sawtooth of garbage, jitter, one sample in ten far off, and a leak."""
    chance = random.Random(seed)
    period = chance.uniform(30, 120)
    return [
        level
        + leak_an_hour * at / 3_600
        + saw * (at % period) / period
        + chance.gauss(0, 0.3)
        + (chance.uniform(-40, 80) if chance.random() < 0.1 else 0)
        for at in TIMES
    ]


@pytest.mark.parametrize("seed", range(20))
def test_leak_is_found_in_noise(seed: int) -> None:
    """Twelve megabytes an hour, in twenty minutes, under a sawtooth of three and outliers of eighty."""
    found = judge("memory", "MB", TIMES, noisy(seed, leak_an_hour=12), MEGABYTES)

    assert found.grows
    assert found.an_hour == pytest.approx(12, abs=4)


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_leak(seed: int) -> None:
    """The same sawtooth and outliers, on a level that stays."""
    assert not judge("memory", "MB", TIMES, noisy(seed, leak_an_hour=0), MEGABYTES).grows


def test_step_of_one_more_than_allowed_is_told_with_its_figures() -> None:
    """A series of whole numbers that rises with every sample: files that nobody closes."""
    found = judge("files", "", TIMES, [100.0 + k for k in range(SAMPLES)], Tolerance(6))

    assert (found.grows, found.level) == (True, 219.5)
    assert found.an_hour == pytest.approx(720)
    assert found.gained == pytest.approx(SAMPLES - 1)


def test_what_shrinks_is_no_leak() -> None:
    """A cache that empties itself is not a problem."""
    assert not judge("keys", "", TIMES, [1_000.0 - k for k in range(SAMPLES)], Tolerance(0)).grows


@given(
    st.floats(-50, 50),
    st.floats(0, 1_000),
    st.lists(st.integers(0, SAMPLES - 1), max_size=SAMPLES // 5, unique=True),
    st.floats(-1e6, 1e6),
)
def test_slope_of_a_line_survives_a_fifth_of_nonsense(
    a_second: float, start: float, wrong: list[int], nonsense: float
) -> None:
    """Whichever samples are off, and however far: the line that the others are on is found."""
    values = [start + a_second * at for at in TIMES]
    for k in wrong:
        values[k] = nonsense

    # Sixteen pairs of 25 have none of them, and these are all of one slope: so is the median.
    assert slope(TIMES, values) == pytest.approx(a_second, abs=1e-6)


def test_one_instant_has_no_slope() -> None:
    """Two samples of the same second are refused, not divided by zero."""
    with pytest.raises(ValueError, match="two instants"):
        slope([1.0, 1.0], [1.0, 2.0])
