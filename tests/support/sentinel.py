"""A primary, its replica, and a Sentinel that makes the replica the primary when the primary is gone."""

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from resolvers.embedded import Child, start_valkey
from resolvers.embedded.binaries import find_redis
from tests.support.valkey_cluster import free_ports

NAME = "the-primary"


@dataclass(frozen=True, slots=True)
class Watched:
    """`url` is what REDIS_URL says."""

    primary: Child
    replica: Child
    url: str


@contextmanager
def watched_by_sentinel(directory: Path) -> Iterator[Watched]:
    """The three on loopback, on data of their own."""
    first, second, sentinel = free_ports(3)
    listening = {"bind": "127.0.0.1", "repl-diskless-sync-delay": "0"}
    with ExitStack() as stack:
        primary = start_valkey(directory / "primary", durable=False, settings={**listening, "port": str(first)})
        stack.callback(primary.kill)
        following = {**listening, "port": str(second), "replicaof": f"127.0.0.1 {first}"}
        replica = stack.enter_context(start_valkey(directory / "replica", durable=False, settings=following))
        stack.enter_context(_start_sentinel(directory, port=sentinel, primary=first))
        yield Watched(primary, replica, f"redis+sentinel://127.0.0.1:{sentinel}/{NAME}")


def _start_sentinel(directory: Path, *, port: int, primary: int) -> Child:
    config = directory / "sentinel.conf"
    config.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {directory}\n"
        f"sentinel monitor {NAME} 127.0.0.1 {primary} 1\n"
        f"sentinel down-after-milliseconds {NAME} 500\n"
        f"sentinel failover-timeout {NAME} 2000\n"
    )
    binary, _ = find_redis()
    child = Child(
        [str(binary), str(config), "--sentinel"],
        log_path=directory / "sentinel.log",
        stop_signal=signal.SIGTERM,
        url="",
        sockets=directory / "none",
    )
    child.wait_until_ready(lambda: _listens(port))
    return child


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
