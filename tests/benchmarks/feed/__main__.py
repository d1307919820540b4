"""Runs all rows twice, A B A B, and writes docs/benchmarks-feed.md."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from resolvers.activities import EVERYTHING, ActivityId
from resolvers.database.engine import connect, driver_url, migrate
from resolvers.database.feed import Wanted
from resolvers.embedded import start_postgres, start_valkey
from streams.connection import connect as connect_redis
from tests.benchmarks.feed.dataset import fill
from tests.benchmarks.feed.measuring import Figure, Poster, load
from tests.benchmarks.feed.postgraphile import FEED as POSTGRAPHILES
from tests.benchmarks.feed.postgraphile import postgraphile
from tests.benchmarks.feed.stock import ORDER, USUAL
from tests.support.directories import reachable_directory
from tests.support.feeding import Feeding
from tests.support.server import ServerProcess, token

DOCS = Path(__file__).parent.parent.parent.parent / "docs" / "benchmarks-feed.md"
AT_ONCE = 16
FLAT = 1_000_000 // 8

FIELDS = "id type title summary url occurredAt createdAt mp { id name party riding } bill { id number title }"
OURS = f"{{ feed(first: 20) {{ unreadCount edges {{ isRead node {{ {FIELDS} }} }} }} }}"
STOCKS = f"{{ feed {{ isRead {FIELDS} }} }}"
MARK = "mutation ($ids: [ID!]!) { markRead(activityIds: $ids) { readState { unreadCount version } } }"


async def resolvers(urls: tuple[str, str], users: int, seconds: float, rounds: int) -> dict[str, list[Figure]]:
    """The first unread page by each path, without HTTP; 16 at once, 16 connections to PostgreSQL."""
    engine, redis = connect(urls[0], pool_size=AT_ONCE), connect_redis(urls[1])
    feeding = Feeding(engine, redis, window=5_000)
    await feeding.tail._fill()
    feeding.recent.catch_up()
    pool = await asyncpg.create_pool(driver_url(urls[0]), min_size=AT_ONCE, max_size=AT_ONCE)

    def wanted(k: int) -> Wanted:
        return Wanted(f"user{k % users}", 20, None, True, EVERYTHING)

    async def bitmap(k: int) -> None:
        page = await feeding.feed.from_window(wanted(k))
        assert not isinstance(page, str), page

    async def view(k: int) -> None:
        assert await feeding.viewed.page(wanted(k))

    async def merge(k: int) -> None:
        await feeding.joined.page(wanted(k))

    async def usual(k: int) -> None:
        query = f"{USUAL} WHERE r.activity_id IS NULL {ORDER}"
        count = (
            "SELECT count(*) FROM activities a"
            " LEFT JOIN user_activity_reads r ON r.activity_id = a.id AND r.user_id = $1 WHERE r.activity_id IS NULL"
        )
        user = wanted(k).user
        assert len(await pool.fetch(query, user)) == 20
        assert await pool.fetchval(count, user)

    async def usual_page(k: int) -> None:
        assert len(await pool.fetch(f"{USUAL} WHERE r.activity_id IS NULL {ORDER}", wanted(k).user)) == 20

    for k in range(users):
        await bitmap(k)  # warm: what a user pays once a month
    paths = {
        "bitmap": bitmap,
        "view": view,
        "our LEFT JOIN": merge,
        "usual LEFT JOIN": usual_page,
        "usual LEFT JOIN and count": usual,
    }
    figures: dict[str, list[Figure]] = {name: [] for name in paths}
    for _ in range(rounds):
        for name, path in paths.items():
            figures[name].append(await load(path, at_once=AT_ONCE, seconds=seconds))
    await pool.close()
    await redis.aclose()
    await engine.dispose()
    return figures


async def memory(redis_url: str, users: int) -> float:
    """Bytes a user takes in Redis."""
    redis: Redis = connect_redis(redis_url)
    total = 0
    async for key in redis.scan_iter("user:reads:*", count=1_000):
        total += await redis.memory_usage(key, samples=0) or 0
    await redis.aclose()
    return total / users


@asynccontextmanager
async def stock(database_url: str, port: int) -> AsyncIterator[str]:
    """The peer, on uvicorn with uvloop and httptools as ours."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "tests.benchmarks.feed.stock:app", "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
        env={**os.environ, "DATABASE_URL": driver_url(database_url)},
    )
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            except OSError:
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def over_http(urls: tuple[str, str], arguments: argparse.Namespace) -> dict[str, list[Figure]]:
    """Pages of 20 and marks of 20, one server process each."""
    users: int = arguments.users
    async with AsyncExitStack() as stack:
        ours = await ServerProcess("serve", environment={"DATABASE_URL": urls[0], "REDIS_URL": urls[1]}).start()
        stack.push_async_callback(ours.stop)
        peer = await stack.enter_async_context(stock(urls[0], 18_765))
        us, them = Poster(f"{ours.url}/graphql"), Poster(peer)
        bearers = [{"Authorization": f"Bearer {token(f'user{k}')}"} for k in range(users)]
        feeds = [us.request(orjson.dumps({"query": OURS}), bearer) for bearer in bearers]
        peers = [them.request(orjson.dumps({"query": STOCKS}), {"X-User": f"user{k}"}) for k in range(users)]

        async def feed(k: int) -> None:
            assert b'"isRead"' in await us.post(feeds[k % users])

        async def peer_feed(k: int) -> None:
            assert b'"isRead"' in await them.post(peers[k % users])

        async def mark(k: int) -> None:
            ids: list[ActivityId | Any] = [str(1 + (k * 20 + i) % 80_000) for i in range(20)]
            body = orjson.dumps({"query": MARK, "variables": {"ids": ids}})
            assert b'"version"' in await us.post(us.request(body, bearers[k % users]))

        rows = {"Division Bell": (us, feed), "stock Strawberry": (them, peer_feed), "markRead of 20": (us, mark)}
        if arguments.postgraphile:
            node = Poster(await stack.enter_async_context(postgraphile(arguments.postgraphile, urls[0], 18_766)))
            asked = [{"query": POSTGRAPHILES, "variables": {"user": f"user{k}"}} for k in range(users)]
            nodes = [node.request(orjson.dumps(body), {}) for body in asked]

            async def node_feed(k: int) -> None:
                answer = await node.post(nodes[k % users])
                assert b'"createdAt"' in answer, answer

            rows["PostGraphile 5"] = (node, node_feed)
        figures: dict[str, list[Figure]] = {name: [] for name in rows}
        for turn in range(1 + arguments.rounds):
            for name, (poster, row) in rows.items():
                # Anew each time: servers close connections that wait for their next turn.
                await poster.connect(AT_ONCE)
                figure = await load(row, at_once=AT_ONCE, seconds=arguments.seconds if turn else 1)
                poster.close()
                if turn:
                    figures[name].append(figure)
        return figures


def best(figures: list[Figure]) -> Figure:
    """The round that was disturbed least."""
    return min(figures, key=lambda figure: figure.p95)


def report(rows: dict[str, list[Figure]], bytes_of_user: float, arguments: argparse.Namespace) -> str:
    """The document."""
    title = f"{arguments.activities:,} activities, {arguments.users:,} users who read {arguments.reads:,} each"
    lines = [
        "# Benchmarks of the feed",
        "",
        f"{title}; {AT_ONCE} at once; the better of {arguments.rounds} rounds that alternate in one run,",
        "written by `python -m tests.benchmarks.feed`.",
        "",
        "| | a second | p50 ms | p95 ms |",
        "|---|---|---|---|",
    ]
    table = Table("", "a second", "p50 ms", "p95 ms", title=title)
    for name, figures in rows.items():
        figure = best(figures)
        cells = [name, f"{figure.per_second:,.0f}", f"{figure.p50:.2f}", f"{figure.p95:.2f}"]
        table.add_row(*cells)
        lines.append(f"| {' | '.join(cells)} |")
    p95 = {name: best(figures).p95 for name, figures in rows.items()}
    rate = {name: best(figures).per_second for name, figures in rows.items()}
    ratios = {
        "bitmap path against the usual LEFT JOIN, p95": p95["usual LEFT JOIN"] / p95["bitmap"],
        "the same, with the count that the bitmap path answers too": p95["usual LEFT JOIN and count"] / p95["bitmap"],
        "view path against the usual LEFT JOIN, p95": p95["usual LEFT JOIN"] / p95["view"],
        "the same, with the count": p95["usual LEFT JOIN and count"] / p95["view"],
        "HTTP requests a second against stock Strawberry": rate["Division Bell"] / rate["stock Strawberry"],
        "flat bitmap of 1,000,000 IDs against the memory of a user": FLAT / bytes_of_user,
    }
    if "PostGraphile 5" in rate:
        ratios["HTTP requests a second against PostGraphile 5"] = rate["Division Bell"] / rate["PostGraphile 5"]
    lines += ["", f"Memory of a user in Redis: {bytes_of_user:,.0f} bytes.", "", "| ratio | times |", "|---|---|"]
    lines += [f"| {name} | {ratio:.1f} |" for name, ratio in ratios.items()]
    Console().print(table)
    for name, ratio in ratios.items():
        Console().print(f"{ratio:8.1f} {name}")
    return "\n".join(lines) + "\n"


async def run(arguments: argparse.Namespace, urls: tuple[str, str]) -> str:
    """Fill, measure, tell."""
    engine = connect(urls[0])
    await migrate(engine)
    await fill(engine, activities=arguments.activities, users=arguments.users, reads=arguments.reads)
    await engine.dispose()
    rows = await resolvers(urls, arguments.users, arguments.seconds, arguments.rounds)
    bytes_of_user = await memory(urls[1], arguments.users)
    rows |= await over_http(urls, arguments)
    return report(rows, bytes_of_user, arguments)


def main() -> None:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.feed")
    parser.add_argument("--activities", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--reads", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--postgraphile", type=Path, help="a folder in which npm has installed postgraphile@5")
    arguments = parser.parse_args()
    with (
        reachable_directory() as directory,
        tempfile.TemporaryDirectory() as cache,
        start_postgres(directory, durable=False) as postgres,
        start_valkey(Path(cache), durable=False) as valkey,
    ):
        DOCS.write_text(asyncio.run(run(arguments, (postgres.url, valkey.url))), encoding="utf-8")


if __name__ == "__main__":
    main()
