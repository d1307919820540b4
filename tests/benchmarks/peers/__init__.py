"""The servers that ours is compared with."""

from collections.abc import Callable, Mapping

from tests.benchmarks.peers.blaster import Blaster
from tests.benchmarks.peers.child import Peer
from tests.benchmarks.peers.nchan import Nchan
from tests.benchmarks.peers.stock import Stock
from tests.benchmarks.peers.yoga import Yoga

PEERS: Mapping[str, Callable[[], Peer]] = {"nchan": Nchan, "yoga": Yoga, "stock": Stock, "raw": Blaster}
"""What makes each of them, by the name it has in the variable PEERS."""
