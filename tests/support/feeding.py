"""The feed of one process, driven by hand: its window follows when a test says so."""

import time
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from app import load_script
from cache.reads import ReadBits
from resolvers.database.feed import JoinedFeed
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from resolvers.database.reads import ReadMarks
from resolvers.database.recent import Parliament, ViewedFeed
from resolvers.events import ReadChange
from resolvers.feed import Feed
from resolvers.reading import Reading
from resolvers.recent import Recent
from streams.connection import Client, in_slots
from telemetry.metrics import Metrics
from tests.support.running import make_tail


class Feeding:
    """All paths of the feed on a test's PostgreSQL and Redis. `heard` is what open streams were told."""

    def __init__(self, engine: AsyncEngine, redis: Client, *, window: int = 1_000) -> None:
        self.metrics = Metrics()
        database = Database(engine=engine, metrics=self.metrics)
        self.log = PostgresLog(database=database)
        self.marks = ReadMarks(database=database)
        self.bits = ReadBits(load=partial(load_script, redis), scattered=in_slots(redis))
        self.heard: list[tuple[str, ReadChange]] = []
        self.reading = Reading(
            marks=self.marks, bits=self.bits, metrics=self.metrics, told=self._told, clock=time.monotonic
        )
        self.tail = make_tail(redis, self.log, ring_size=window)
        self.recent = Recent(
            source=self.tail, parliament=Parliament(database=database), metrics=self.metrics, size=window
        )
        self.viewed = ViewedFeed(database=database, known=self.recent.known)
        self.joined = JoinedFeed(database=database, known=self.recent.known)
        self.feed = Feed(
            recent=self.recent,
            reading=self.reading,
            viewed=self.viewed,
            joined=self.joined,
            metrics=self.metrics,
        )

    async def catch_up(self) -> None:
        """Have tail and window take all there is."""
        await self.tail._read_log()

    def served(self, source: str) -> float:
        """How many pages a path has answered."""
        return self.metrics.registry.get_sample_value("feed_served_total", {"source": source}) or 0

    async def _told(self, user: str, change: ReadChange) -> None:
        self.heard.append((user, change))
