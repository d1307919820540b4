"""A round finds bugs that are planted into the product: servers with a bug in memory, a schedule that brings it out."""

import pytest

from tests.chaos.bugs import BUGS
from tests.chaos.cluster import cluster
from tests.chaos.rounds import run_round
from tests.chaos.schedule import Fault, Schedule, Step

CLIENTS = 18
SETTLED = 20.0
"""Seconds; with most bugs somebody waits in vain."""
PLAIN = (Step(6.0, Fault.CUT, "http", 0.5),)
BROUGHT_OUT = {
    "drop_an_entry": (PLAIN, "I2 nothing lost"),
    "acknowledge_too_early": (PLAIN, "I2 nothing lost"),
    "leak_a_viewer": (PLAIN, "I6"),
    "lose_a_bit": (PLAIN, "I8, I9"),
    "ignore_prev": (tuple(Step(at, Fault.TRIM, str(k), 2.0) for at, k in ((1, 0), (4, 1), (7, 0))), "I2 nothing lost"),
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("bug", BUGS)
async def test_a_round_finds_a_planted_bug(bug: str) -> None:
    """Each breaks the promise that it should: by what clients were sent, and what they are shown."""
    steps, promise = BROUGHT_OUT[bug]
    async with cluster(bug=bug) as here:
        found, _ = await run_round(here, Schedule(1, steps), clients=CLIENTS, settled=SETTLED)

    assert promise in {one.promise[: len(promise)] for one in found}
