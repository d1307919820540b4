"""The feed of 20 and marks of 20 over HTTP, one server process each."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import orjson

from resolvers.database.engine import driver_url
from streams.connection import connect as connect_redis
from streams.keys import Keys
from tests.benchmarks.feed.measuring import Figure, Poster, load
from tests.benchmarks.feed.paths import AT_ONCE
from tests.benchmarks.feed.postgraphile import FEED as POSTGRAPHILES
from tests.benchmarks.feed.postgraphile import postgraphile
from tests.benchmarks.peers.child import free_port
from tests.support.server import ServerProcess, token
from tests.support.waiting import wait_until

FIELDS = "id type title summary url occurredAt createdAt mp { id name party riding } bill { id number title }"
OURS = f"{{ feed(first: 20) {{ unreadCount edges {{ isRead node {{ {FIELDS} }} }} }} }}"
STOCKS = f"{{ feed {{ isRead {FIELDS} }} }}"
MARK = "mutation ($ids: [ID!]!) { markRead(activityIds: $ids) { readState { unreadCount version } } }"
Row = tuple[Poster, Callable[[int], Awaitable[None]]]


async def over_http(
    urls: tuple[str, str], *, activities: int, users: int, seconds: float, rounds: int, node: Path | None
) -> dict[str, list[Figure]]:
    """Figures of all servers, which take turns. `node`: where PostGraphile is installed; None leaves it out."""
    async with AsyncExitStack() as stack:
        ours = await ServerProcess("serve", environment={"DATABASE_URL": urls[0], "REDIS_URL": urls[1]}).start()
        stack.push_async_callback(ours.stop)
        await _stream_is_whole(urls[1], activities)
        rows = _ours(ours.url, users, activities)
        rows["stock Strawberry"] = _stocks(await stack.enter_async_context(_stock(urls[0], free_port())), users)
        if node:
            rows["PostGraphile 5"] = _postgraphiles(
                await stack.enter_async_context(postgraphile(node, urls[0], free_port())), users
            )
        figures: dict[str, list[Figure]] = {name: [] for name in rows}
        for turn in range(1 + rounds):
            for name, (poster, row) in rows.items():
                # Anew each time: servers close connections that wait for their next turn.
                await poster.connect(AT_ONCE)
                if not turn:
                    for k in range(min(users, 1_000)):
                        await row(k)  # warm: caches of every server, and our users
                figure = await load(row, at_once=AT_ONCE, seconds=seconds if turn else 1)
                poster.close()
                if turn:
                    figures[name].append(figure)
        return figures


async def _stream_is_whole(redis_url: str, activities: int) -> None:
    """A server that starts on an empty Redis fills the stream first; that is not what is measured."""
    redis = connect_redis(redis_url)

    async def whole() -> bool:
        return int(await redis.xlen(Keys().stream)) >= activities

    await wait_until(whole, description="the stream has all activities", within=300, every=0.2)
    await redis.aclose()


def _ours(url: str, users: int, activities: int) -> dict[str, Row]:
    poster = Poster(f"{url}/graphql")
    bearers = [{"Authorization": f"Bearer {token(f'user{k}')}"} for k in range(users)]
    feeds = [poster.request(orjson.dumps({"query": OURS}), bearer) for bearer in bearers]

    async def feed(k: int) -> None:
        assert b'"isRead"' in await poster.post(feeds[k % users])

    async def mark(k: int) -> None:
        ids = [str(1 + (k * 20 + i) % (activities * 4 // 5)) for i in range(20)]  # old ones: no page changes
        body = orjson.dumps({"query": MARK, "variables": {"ids": ids}})
        assert b'"version"' in await poster.post(poster.request(body, bearers[k % users]))

    return {"Division Bell": (poster, feed), "markRead of 20": (poster, mark)}


def _stocks(url: str, users: int) -> Row:
    poster = Poster(url)
    requests = [poster.request(orjson.dumps({"query": STOCKS}), {"X-User": f"user{k}"}) for k in range(users)]

    async def feed(k: int) -> None:
        assert b'"isRead"' in await poster.post(requests[k % users])

    return poster, feed


def _postgraphiles(url: str, users: int) -> Row:
    poster = Poster(url)
    asked = [{"query": POSTGRAPHILES, "variables": {"user": f"user{k}"}} for k in range(users)]
    requests = [poster.request(orjson.dumps(body), {}) for body in asked]

    async def feed(k: int) -> None:
        answer = await poster.post(requests[k % users])
        assert b'"createdAt"' in answer, answer

    return poster, feed


@asynccontextmanager
async def _stock(database_url: str, port: int) -> AsyncIterator[str]:
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
