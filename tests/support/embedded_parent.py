"""A program that runs the embedded servers until it is told to end: what tests kill in place of a demo."""

import signal
import sys
from pathlib import Path

from resolvers.embedded import EmbeddedServers


def main() -> None:
    """Start on the directory that is named, say so, wait for a line or an interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with EmbeddedServers(state_dir=Path(sys.argv[1]), report=lambda _: None) as servers:
        print(servers.database_url, servers.redis_url, flush=True)  # noqa: T201 - how the test learns it
        sys.stdin.readline()


if __name__ == "__main__":
    main()
