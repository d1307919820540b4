"""What is done to the servers in a round, drawn from a seed: the same seed draws the same schedule."""

import random
from dataclasses import dataclass
from enum import StrEnum

SERVERS = 2


class Fault(StrEnum):
    """What may happen. `Step.target` names the server or the proxy; a stream may be trimmed with no server frozen."""

    KILL = "kill -9 of a server"
    TERMINATE = "SIGTERM to a server"
    FREEZE = "SIGSTOP of a server, SIGCONT later"
    STOP_REDIS = "Redis stopped, started again"
    CRASH_REDIS = "Redis crashes, restarts with its data"
    FLUSH = "FLUSHALL"
    FAILOVER = "failover to a stale replica"
    RESTART_POSTGRES = "PostgreSQL restarted"
    CUT = "connections of a proxy cut"
    DELAY = "latency on a proxy"
    TRIM = "the stream trimmed, behind a frozen server's back"
    POISON = "an entry that nobody can read"
    BROKEN = "an activity that nobody can render, until the deploy is mended"
    CLOCK = "a server's clock steps"


PROXIES = ("http", "redis", "postgres")
WEIGHTS = {Fault.CUT: 3, Fault.KILL: 2, Fault.DELAY: 2}
LEAPS = (-20.0, -3.0, 3.0, 20.0, 600.0)
"""Seconds that a clock steps. Further back, tokens would be from the future, and refused: half a minute is allowed."""


@dataclass(frozen=True, slots=True)
class Step:
    """`fault` at `at` seconds after the beginning, for `lasts` seconds where it is something that ends.

    A clock steps by `leap` seconds, until the world is mended.
    """

    at: float
    fault: Fault
    target: str
    lasts: float
    leap: float = 0.0

    def __str__(self) -> str:
        where = f" ({self.target})" if self.target else ""
        return f"{self.at:5.2f} s  {self.fault}{where}, {self.leap or self.lasts:.2f} s"


@dataclass(frozen=True, slots=True)
class Schedule:
    """A round's steps in order of time, and what seeds everything else that is random in it."""

    seed: int
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join([f"seed {self.seed}", *map(str, self.steps)])


def draw(seed: int, *, seconds: float = 6.0, most: int = 8, only: frozenset[Fault] = frozenset(Fault)) -> Schedule:
    """The schedule of a seed: between one fault and `most`."""
    chance = random.Random(seed)
    faults = sorted(only)
    steps = []
    for _ in range(chance.randint(1, most)):
        [fault] = chance.choices(faults, [WEIGHTS.get(fault, 1) for fault in faults])
        target, leap = "", 0.0
        if fault in {Fault.KILL, Fault.TERMINATE, Fault.FREEZE, Fault.CLOCK}:
            target = str(chance.randrange(SERVERS))
        elif fault is Fault.TRIM:
            target = chance.choice(["", *map(str, range(SERVERS))])
        elif fault in {Fault.CUT, Fault.DELAY}:
            target = chance.choice(PROXIES)
        if fault is Fault.CLOCK:
            leap = chance.choice(LEAPS)
        steps.append(Step(chance.uniform(0.2, seconds), fault, target, chance.uniform(0.2, 3.0), leap))
    return Schedule(seed, tuple(sorted(steps, key=lambda step: step.at)))
