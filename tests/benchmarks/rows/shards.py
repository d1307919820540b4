"""How many confirmations a second Redis takes, with one, two and three shards in a cluster of three primaries."""

import asyncio
import hashlib
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio.connection import Connection

from streams.connection import connect_alone
from streams.cursor import Cursor
from streams.keys import Keys, shard_of
from streams.ledger import ADVANCES
from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.building import on_core
from tests.support.directories import reachable_directory
from tests.support.valkey_cluster import PRIMARIES, ValkeyCluster

LUA = Path(__file__).parents[3] / "streams" / "lua"
SCRIPT = "".join((LUA / f"{part}.lua").read_text() for part in ("common", "advance"))
SENDERS = 2
AHEAD = 8
WAVES = 8
"""Activities that everybody confirms one after the other in a round: enough to let averages settle."""
FIRST = Cursor.parse("1700000000000-0")
MOST_OF_BUSIEST = 0.1
"""How far the busiest shard may be above its even part: names are spread by a hash."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One round. `busiest`: seconds of CPU of the shard that used most; `cpu`: of all of them."""

    confirmations: int
    seconds: float
    busiest: float
    cpu: float

    @property
    def per_second(self) -> float:
        """Confirmations a second."""
        return self.confirmations / self.seconds


async def run(bench: Bench) -> list[Row]:
    """Every shard gets at once what the ledgers of many servers write to it, prebuilt: clients are not measured."""
    subscribers = bench.scaled(30_000, 3_000)
    taken: dict[int, list[Taken]] = {shards: [] for shards in range(1, PRIMARIES + 1)}
    with on_core(None), _cluster() as cluster:
        await cluster.start()
        for number in range(bench.rounds):
            for shards, rounds in taken.items():
                rounds.append(await _round(cluster, subscribers, shards))
                bench.say(f"    round {number + 1}, {shards} shards: {rounds[-1].per_second:,.0f}/s")
    return list(_rows(taken, subscribers))


@contextmanager
def _cluster() -> Iterator[ValkeyCluster]:
    with reachable_directory() as directory:
        cluster = ValkeyCluster(directory, replicas=False, durable=True)
        try:
            yield cluster
        finally:
            cluster.stop()


def _rows(taken: dict[int, list[Taken]], subscribers: int) -> Iterator[Row]:
    one = statistics.median(each.per_second for each in taken[1])
    alone = statistics.median(each.busiest / each.confirmations for each in taken[1])
    for shards, rounds in taken.items():
        per_second = statistics.median(each.per_second for each in rounds)
        busiest = statistics.median(each.busiest / each.confirmations for each in rounds) / alone
        cores = statistics.median(each.cpu / each.seconds for each in rounds)
        each_us = statistics.median(each.cpu / each.confirmations for each in rounds) * 1e6
        yield Row(
            f"confirmations a second, {subscribers:,} subscribers, {shards} shard{'s' if shards > 1 else ''}",
            "—",
            f"{per_second:,.0f}/s, {per_second / one:.2f} ×; {each_us:.2f} µs of Redis each, on {cores:.2f} cores",
        )
        if shards > 1:
            most = 1 / shards + MOST_OF_BUSIEST
            yield Row(
                f"the same: CPU of the busiest of {shards} shards, ÷ that of one shard",
                f"≤ {most:.2f} ×",
                f"{busiest:.2f} ×: with a core each, {1 / busiest:.1f} × the confirmations",
                busiest <= most,
            )


async def _round(cluster: ValkeyCluster, subscribers: int, shards: int) -> Taken:
    nodes = [await cluster.primary_of(shard) for shard in range(shards)]
    for node in range(PRIMARIES):
        async with cluster.node(node) as client:
            await client.flushall()
            await client.script_load(SCRIPT)
    batches = [_written(shard, shards, subscribers) for shard in range(shards)]
    urls = [cluster.children[node].url for node in nodes]
    before = [await _cpu(url) for url in urls]
    started = time.perf_counter()
    sending = ((url, each[k::SENDERS]) for url, each in zip(urls, batches, strict=True) for k in range(SENDERS))
    await asyncio.gather(*(_send(url, each) for url, each in sending))
    seconds = time.perf_counter() - started
    used = [await _cpu(url) - cpu for url, cpu in zip(urls, before, strict=True)]
    return Taken(WAVES * subscribers, seconds, max(used), sum(used))


def _written(shard: int, shards: int, subscribers: int) -> list[bytes]:
    """What the ledgers of servers would send to a shard, in the words of `streams.ledger`, packed for the wire."""
    names = [name for k in range(subscribers) if shard_of(name := f"user-{k}:phone", shards) == shard]
    sha = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
    pack = Connection().pack_command
    packed = []
    for wave in range(WAVES):
        position = str(Cursor(FIRST + wave))
        for first in range(0, len(names), ADVANCES):
            told = " ".join(f"{name} 1" for name in names[first : first + ADVANCES])
            packed.append(b"".join(pack("EVALSHA", sha, 1, Keys(shard).positions, "p1", position, told)))
    return packed


async def _send(url: str, commands: Sequence[bytes]) -> None:
    """AHEAD at a time, as so many servers would: Redis always has something to do."""
    reader, writer = await asyncio.open_unix_connection(url.removeprefix("unix://"))
    try:
        for first in range(0, len(commands), AHEAD):
            sent = commands[first : first + AHEAD]
            writer.writelines(sent)
            answers = [await reader.readline() for _ in sent]
            if set(answers) != {b"*0\r\n"}:
                raise RuntimeError(f"a batch was not taken: {answers}")
    finally:
        writer.close()
        await writer.wait_closed()


async def _cpu(url: str) -> float:
    client = connect_alone(url)
    try:
        info: Any = await client.info("cpu")
    finally:
        await client.aclose()
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
