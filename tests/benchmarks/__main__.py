"""`python -m tests.benchmarks`: run the rows, print the table; `make bench` writes it to docs/benchmarks.md too.

ROWS (names, separated by spaces; all by default), SUBSCRIBERS (10000), ROUNDS (3), PEERS (nchan yoga stock raw),
SECONDS (60) of the row jitter, QUICK=1 for a smoke run, WRITE_DOCS=1 for the document.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from rich.console import Console

from tests.benchmarks import table
from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.building import CompilerMissing, allow_many_files, build
from tests.benchmarks.peers import PEERS
from tests.benchmarks.rows import ROWS
from tests.benchmarks.session import CLIENT_CORE
from tests.benchmarks.world import World, world

console = Console(highlight=False, soft_wrap=True, width=160)


def main() -> int:
    """The exit status: 1 for a row that could not be run, 130 after Ctrl-C."""
    chosen = os.environ.get("ROWS", "").split() or list(ROWS)
    peers = os.environ.get("PEERS", "").split() or list(PEERS)
    for given, known in ((chosen, ROWS), (peers, PEERS)):
        if unknown := set(given) - set(known):
            console.print(f"unknown: {', '.join(sorted(unknown))}. There are {' '.join(known)}.")
            return 2
    if (os.cpu_count() or 1) <= CLIENT_CORE:
        console.print("two cores are needed: one for the server, one for the load client")
        return 2
    allow_many_files()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where SIGINT was ignored, as behind nohup
        signal.signal(number, signal.default_int_handler)
    try:
        build("client")
        with world(CLIENT_CORE) as servers:
            bench = _bench(servers, peers)
            rows, whole = asyncio.run(_run(bench, chosen))
    except CompilerMissing as missing:
        console.print(missing)
        return 2
    except KeyboardInterrupt:
        console.print("stopped; every server that was started has ended")
        return 130
    console.print(table.for_terminal(rows))
    for note in bench.notes:
        console.print(f"- {note}")
    if os.environ.get("WRITE_DOCS"):
        table.write(rows, bench, chosen)
        console.print(f"written to {table.DOCUMENT}")
    return 0 if whole else 1


def _bench(servers: World, peers: Sequence[str]) -> Bench:
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    return Bench(
        world=servers,
        subscribers=int(os.environ.get("SUBSCRIBERS") or (500 if quick else 10_000)),
        quick=quick,
        rounds=int(os.environ.get("ROUNDS") or (1 if quick else 3)),
        seconds=int(os.environ.get("SECONDS") or 0) or None,
        peers=peers,
        report=console.print,
    )


async def _run(bench: Bench, chosen: Sequence[str]) -> tuple[list[Row], bool]:
    rows: list[Row] = []
    whole = True
    for name in chosen:
        bench.say(f"row {name}")
        try:
            rows += await ROWS[name](bench)
        except Exception as error:  # noqa: BLE001 - the other rows still count; this one is named in the table
            whole = False
            rows.append(Row(name, "", "could not be measured, see below", False))
            bench.notes.append(f"{name}: {type(error).__name__}: {error}")
            bench.say(f"    {type(error).__name__}: {error}")
    return rows, whole


if __name__ == "__main__":
    sys.exit(main())
