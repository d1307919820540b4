"""Twenty rounds of chaos; `make chaos` runs as many as you like."""

import pytest

from tests.chaos.cluster import cluster
from tests.chaos.known import unknown
from tests.chaos.rounds import run_round
from tests.chaos.schedule import draw

CLIENTS = 24
FIRST, ROUNDS = 1, 20


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", range(FIRST, FIRST + ROUNDS))
async def test_every_promise_is_kept(seed: int) -> None:
    """Whatever the seed's faults do to servers and connections."""
    schedule = draw(seed)
    async with cluster() as here:
        found, _ = await run_round(here, schedule, clients=CLIENTS)
        output = here.output()

    news = unknown(found, schedule)
    assert not news, "\n".join([str(schedule), output, *map(str, news)])
