"""GraphQL Yoga on Node: yoga_server/ is its program."""

import json
import os
from pathlib import Path

from tests.benchmarks.installing import install_npm
from tests.benchmarks.peers.child import ChildPeer, free_port
from tests.benchmarks.wire import event

DIRECTORY = Path(__file__).parent / "yoga_server"


class Yoga(ChildPeer):
    """One process, NODE_ENV=production, its own pub/sub in memory; executes the selection for each subscriber."""

    name = "graphql-yoga"

    async def start(self, core: int | None) -> None:
        """Start it."""
        await install_npm(DIRECTORY)
        self.port = free_port()
        environment = {**os.environ, "NODE_ENV": "production", "NODE_NO_WARNINGS": "1", "PORT": str(self.port)}
        await self.spawn(["node", DIRECTORY / "server.mjs"], core, environment)

    async def publish(self, first: int, count: int) -> None:
        """All in one POST."""
        body = json.dumps([event(sequence) for sequence in range(first, first + count)]).encode()
        await self.post("/publish", [body])


def locked_version() -> str:
    """The version that the lock file names."""
    lock = json.loads((DIRECTORY / "package-lock.json").read_text())
    return str(lock["packages"]["node_modules/graphql-yoga"]["version"])
