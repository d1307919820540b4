"""The short form of the soak: a server that is sound passes, one that leaks does not."""

from pathlib import Path

import pytest

from tests.soak.report import document
from tests.soak.running import soak

LEAKING = Path(__file__).parent / "leaking"


@pytest.mark.timeout(240)
async def test_nothing_grows_and_nothing_is_missed() -> None:
    """A minute of connects, drops, publications, marks and polls, on two workers."""
    soaked = await soak(80)

    assert not soaked.problems, document(soaked)
    assert soaked.counts["deliveries"] > soaked.counts["connects"] > 48
    assert min(soaked.counts[what] for what in ("published", "polls", "marks")) > 10


@pytest.mark.timeout(240)
async def test_server_that_leaks_is_found_out() -> None:
    """Half a megabyte and a file, twice a second: the soak names both, of the workers only."""
    soaked = await soak(50, environment={"PYTHONPATH": str(LEAKING)})

    growing = {one.name for one in soaked.findings if one.grows}
    assert growing >= {"memory of worker 1", "memory of worker 2", "open files that are no streams"}
    assert "memory of their parent" not in growing
