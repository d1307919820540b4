"""The paths of the feed without HTTP, beside the usual LEFT JOIN: the first page of 20 unread activities."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

import asyncpg
from redis.asyncio import Redis

from resolvers.activities import EVERYTHING
from resolvers.database.engine import connect, driver_url
from resolvers.database.feed import Wanted
from resolvers.feed import FeedSource
from streams.connection import connect_alone as connect_redis
from tests.benchmarks.feed.dataset import FEW, GROUPS, MEASURED
from tests.benchmarks.feed.measuring import Figure, load
from tests.benchmarks.feed.stock import ORDER, USUAL
from tests.benchmarks.feed.usual import UsualFeed
from tests.support.feeding import Feeding

AT_ONCE = 16
Path = Callable[[int], Awaitable[object]]


class Resolvers:
    """All paths, with 16 connections to PostgreSQL each, for `users` of the measured group and FEW of the others."""

    def __init__(self, urls: tuple[str, str], *, users: int, seconds: float, rounds: int) -> None:
        self._urls = urls
        self._users = users
        self._seconds = seconds
        self._rounds = rounds
        self._stack = AsyncExitStack()

    async def open(self) -> None:
        """Connect, and fill the window."""
        engine, redis = connect(self._urls[0], pool_size=AT_ONCE), connect_redis(self._urls[1])
        self._stack.push_async_callback(engine.dispose)
        self._stack.push_async_callback(redis.aclose)
        self.feeding = Feeding(engine, redis, window=5_000)
        await self.feeding.tail._fill()
        self.feeding.recent.catch_up()
        self.usual = UsualFeed(engine)
        self.pool = await asyncpg.create_pool(driver_url(self._urls[0]), min_size=AT_ONCE, max_size=AT_ONCE)
        self._stack.push_async_callback(self.pool.close)

    async def close(self) -> None:
        """Disconnect."""
        await self._stack.aclose()

    def wanted(self, group: str, k: int) -> Wanted:
        """The page that turn `k` asks for."""
        return Wanted(f"{group}{k % self._size(group)}", 20, None, True, EVERYTHING)

    def _size(self, group: str) -> int:
        return self._users if group == MEASURED else min(self._users, FEW)

    async def with_redis(self) -> dict[str, list[Figure]]:
        """The bitmap path and the usual query, for every group."""
        paths: dict[str, Path] = {}
        for group, missed in GROUPS.items():
            paths[f"bitmap, {missed} % left out"] = self._bitmap(group)
            paths[f"usual LEFT JOIN, {missed} % left out"] = self._usual(group)
        paths |= {"usual LEFT JOIN and count": self._counted, "usual LEFT JOIN, bare asyncpg": self._bare}
        for group in GROUPS:
            for k in range(self._size(group)):
                await self._bitmap(group)(k)  # warm: what a user pays once a month
        return await self._measured(paths)

    async def without_redis(self) -> dict[str, list[Figure]]:
        """What answers when nothing listens at Redis' address."""

        async def view(k: int) -> None:
            wanted = self.wanted(MEASURED, k)
            page = await self.feeding.feed.page(
                user=wanted.user, first=20, after=None, unread_only=True, chosen=EVERYTHING
            )
            assert (page.served_by, len(page.items)) == (FeedSource.VIEW, 20)

        async def joined(k: int) -> None:
            assert len((await self.feeding.joined.page(self.wanted(MEASURED, k))).items) == 20

        return await self._measured(
            {
                "view, Redis stopped": view,
                "our LEFT JOIN": joined,
                "usual LEFT JOIN, Redis stopped": self._usual(MEASURED),
            }
        )

    async def _measured(self, paths: Mapping[str, Path]) -> dict[str, list[Figure]]:
        figures: dict[str, list[Figure]] = {name: [] for name in paths}
        for turn in range(1 + self._rounds):
            for name, path in paths.items():
                figure = await load(path, at_once=AT_ONCE, seconds=self._seconds if turn else 0.5)
                if turn:
                    figures[name].append(figure)
        return figures

    def _bitmap(self, group: str) -> Path:
        async def bitmap(k: int) -> None:
            page = await self.feeding.feed.from_window(self.wanted(group, k))
            assert not isinstance(page, str), page

        return bitmap

    def _usual(self, group: str) -> Path:
        async def usual(k: int) -> None:
            assert len(await self.usual.page(self.wanted(group, k).user)) == 20

        return usual

    async def _counted(self, k: int) -> None:
        _, count = await self.usual.page_and_count(self.wanted(MEASURED, k).user)
        assert count

    async def _bare(self, k: int) -> None:
        query = f"{USUAL} WHERE r.activity_id IS NULL {ORDER}"
        assert len(await self.pool.fetch(query, self.wanted(MEASURED, k).user)) == 20


async def memory(redis_url: str, users: int) -> float:
    """Bytes that a user of the measured group takes in Redis."""
    redis: Redis = connect_redis(redis_url)
    total = 0
    async for key in redis.scan_iter(f"user:reads:{{{MEASURED}*", count=1_000):
        total += await redis.memory_usage(key, samples=0) or 0
    await redis.aclose()
    return total / users
