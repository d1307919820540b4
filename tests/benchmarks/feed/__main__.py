"""Runs the feed's rows in turns on servers of its own; `make bench ROWS=feed` writes docs/benchmarks-feed.md."""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import uvloop
from rich.console import Console
from rich.table import Table

from resolvers.database.engine import connect, migrate
from resolvers.embedded import start_postgres, start_valkey
from tests.benchmarks.feed.dataset import fill
from tests.benchmarks.feed.measuring import Figure
from tests.benchmarks.feed.over_http import over_http
from tests.benchmarks.feed.paths import Resolvers, memory
from tests.benchmarks.feed.postgraphile import installed
from tests.benchmarks.feed.report import best, document, targets
from tests.benchmarks.installing import PeerMissing
from tests.support.directories import reachable_directory

DOCUMENT = Path(__file__).parent.parent.parent.parent / "docs" / "benchmarks-feed.md"
console = Console(highlight=False, soft_wrap=True, width=140)


async def run(
    arguments: argparse.Namespace, urls: tuple[str, str], stop_redis: Callable[[], object]
) -> tuple[dict[str, list[Figure]], float, list[str]]:
    """All rows, the bytes that a user takes in Redis, and what could not be measured."""
    engine = connect(urls[0])
    await migrate(engine)
    await fill(engine, activities=arguments.activities, users=arguments.users, reads=arguments.reads)
    await engine.dispose()
    notes: list[str] = []
    node = None
    try:
        node = await installed()
    except PeerMissing as missing:
        notes.append(f"PostGraphile was not measured: {missing}.")
    resolvers = Resolvers(urls, users=arguments.users, seconds=arguments.seconds, rounds=arguments.rounds)
    await resolvers.open()
    try:
        rows = await resolvers.with_redis()
        bytes_of_user = await memory(urls[1], arguments.users)
        rows |= await over_http(
            urls,
            activities=arguments.activities,
            users=arguments.users,
            seconds=arguments.seconds,
            rounds=arguments.rounds,
            node=node,
        )
        stop_redis()
        rows |= await resolvers.without_redis()
    finally:
        await resolvers.close()
    return rows, bytes_of_user, notes


def main() -> None:
    """Parse, run, tell; write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.feed")
    parser.add_argument("--activities", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--reads", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the ratios there")
    parser.add_argument("--document", action="store_true", help="write docs/benchmarks-feed.md")
    arguments = parser.parse_args()
    with (
        reachable_directory() as directory,
        start_postgres(directory / "postgres", durable=True) as postgres,
        start_valkey(directory / "valkey", durable=True) as valkey,
    ):
        rows, bytes_of_user, notes = uvloop.run(run(arguments, (postgres.url, valkey.url), valkey.stop))
    table = Table("", "a second", "p50 ms", "p95 ms")
    for name, figures in rows.items():
        figure = best(figures)
        table.add_row(name, f"{figure.per_second:,.0f}", f"{figure.p50:.2f}", f"{figure.p95:.2f}")
    console.print(table)
    found = targets(rows, bytes_of_user)
    for target in found:
        console.print(f"{target.ratio:8.1f} × {target.name}" + (f" (≥ {target.least:g})" if target.least else ""))
    for note in notes:
        console.print(note)
    if arguments.json:
        marks = best(rows["markRead of 20"])
        told = {"targets": [asdict(target) for target in found], "marks": asdict(marks), "notes": notes}
        arguments.json.write_text(json.dumps(told), encoding="utf-8")
    if arguments.document:
        cores = len(os.sched_getaffinity(0))
        DOCUMENT.write_text(document(rows, bytes_of_user, arguments, cores=cores, notes=notes), encoding="utf-8")


if __name__ == "__main__":
    main()
