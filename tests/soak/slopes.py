"""Whether a series of samples grows: the slope of Theil and Sen, against what the series may gain."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

HOUR = 3_600.0


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What a series may gain while it is measured: `noise` in its own unit, and a share of its level for each hour.

    The noise is what a series that does not grow was seen to differ by. If it comes and goes with a `period` (seconds),
    as a sawtooth of garbage does, it tilts a line through several periods by that much less.
    """

    noise: float
    share_an_hour: float = 0.0
    period: float = math.inf

    def allowed(self, level: float, seconds: float) -> float:
        """In the unit of the series."""
        return self.noise * min(1.0, self.period / seconds) + self.share_an_hour * level * seconds / HOUR


@dataclass(frozen=True, slots=True)
class Finding:
    """What one series did. `level` is its median; `gained` its slope times the time that was measured."""

    name: str
    unit: str
    level: float
    an_hour: float
    gained: float
    allowed: float

    @property
    def grows(self) -> bool:
        """Whether it gained more than it may. What shrinks is no leak."""
        return self.gained > self.allowed


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """The median slope of all pairs of samples, a second: up to 29 of 100 samples may be anything.

    All pairs: a second for a thousand samples. Raises ValueError without two instants.
    """
    pairs = itertools.combinations(zip(times, values, strict=True), 2)
    slopes = [(late - early) / (then - at) for (at, early), (then, late) in pairs if then != at]
    if not slopes:
        raise ValueError("a slope needs samples of two instants")
    return statistics.median(slopes)


def judge(name: str, unit: str, times: Sequence[float], values: Sequence[float], tolerance: Tolerance) -> Finding:
    """What a series did between its first sample and its last."""
    measured, level, steep = max(times) - min(times), statistics.median(values), slope(times, values)
    return Finding(name, unit, level, steep * HOUR, steep * measured, tolerance.allowed(level, measured))
