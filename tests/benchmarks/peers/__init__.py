"""The servers that ours is compared with."""

from collections.abc import Callable

from tests.benchmarks.peers.child import Peer
from tests.benchmarks.peers.nchan import Nchan
from tests.benchmarks.peers.stock import Stock
from tests.benchmarks.peers.yoga import Yoga


def others() -> list[Callable[[], Peer]]:
    """What makes each of them."""
    return [Nchan, Yoga, Stock]
