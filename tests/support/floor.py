"""The streams of one process, driven by hand: no loop runs unless a test starts it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.activities import Activity, decode, type_of
from resolvers.database.letters import Letters
from resolvers.database.log import PostgresLog
from resolvers.database.positions import Positions
from resolvers.database.queries import Database
from streams.checkpoints import Checkpoints
from streams.connection import Client
from streams.consumer import Consumer
from streams.cursor import START, Cursor
from streams.dead_letters import DeadLetters, Limit
from streams.each import in_each
from streams.history import History
from streams.ledger import Ledger
from streams.ledgers import Ledgers, Receiving
from streams.processes import Processes, process_name
from streams.publisher import Publisher
from streams.shared import Shared
from streams.steps import Acceptance, Confirmation
from streams.subscribers import Opened, Subscriber, Subscribers
from telemetry.metrics import Metrics
from tests.support.parliament import insert_activities
from tests.support.running import assign_all, cursors, make_tail

PHONE = Subscriber("ada", "phone")
TABLET = Subscriber("ada", "tablet")


class ProcessFloor:
    """One server process below the resolvers, on a test's PostgreSQL and Redis. Several make a cluster."""

    def __init__(
        self,
        engine: AsyncEngine,
        redis: Client,
        *,
        ring_size: int = 1_000,
        limit: Limit | None = None,
        shards: int = 1,
    ) -> None:
        self.engine = engine
        self.redis = redis
        self.shards = shards
        self.ring_size = ring_size
        self.limit = limit
        self.metrics = Metrics()
        self.database = Database(engine=engine, metrics=self.metrics)
        self.log = PostgresLog(database=self.database)
        self.publisher: Publisher[Activity] = Publisher(redis=redis, log_of_record=self.log, shards=shards)
        self.letters = Letters(database=self.database)
        self.restart()

    def restart(self) -> None:
        """Forget everything in memory, as kill -9 and a new start do."""
        self.metrics = Metrics()
        flow, redis, shards = self.metrics.flow, self.redis, self.shards
        process = process_name()
        self.dead_letters = DeadLetters(
            redis=redis, store=self.letters, flow=flow, now=lambda: 0.0, limit=self.limit, shards=shards
        )
        self.tail = make_tail(redis, self.log, ring_size=self.ring_size, dead_letters=self.dead_letters, shards=shards)
        self.history = History(tail=self.tail, redis=redis, log_of_record=self.log, decode=decode)
        self.checkpoints = Checkpoints(store=Positions(database=self.database), metrics=self.metrics)
        self.ledgers = [
            Ledger(redis=redis, process=process, checkpoints=self.checkpoints, metrics=self.metrics, shard=shard)
            for shard in range(shards)
        ]
        self.ledger = self.ledgers[0]
        receiving: Receiving = self.ledger if shards == 1 else Ledgers(self.ledgers)
        self.subscribers = Subscribers(redis=redis, process=process, checkpoints=self.checkpoints, shards=shards)
        self.processes = Processes(redis=redis, name=process, shards=shards)
        self.shared = Shared(
            tail=self.tail,
            history=self.history,
            ledger=receiving,
            subscribers=self.subscribers,
            processes=self.processes,
            dead_letters=self.dead_letters,
            flow=flow,
            type_of=type_of,
        )

    async def publish(self, count: int, *, now_ms: int | None = None, **columns: Any) -> list[Cursor]:
        """Insert, sequence and append activities; return their cursors."""
        before = (await self.log.head()).cursor
        await insert_activities(self.engine, count, **columns)
        await assign_all(self.log, now_ms=now_ms)
        await self.append()
        return cursors(await self.log.after(before, 1_000))

    async def append(self) -> None:
        """Bring the stream of every shard up to the log; the last one's StreamsUnavailable when all have been tried."""
        await in_each(map(self.publisher.publish, range(self.publisher.shards)))

    async def catch_up(self) -> None:
        """Have the tail read all there is."""
        await self.tail._read_log()
        await self.tail._extend([])

    async def open(self, subscriber: Subscriber = PHONE, *, since: Cursor | None = None) -> Opened:
        """Connect a device."""
        await self.catch_up()
        await self.shared.ledger.settle(subscriber)
        return await self.subscribers.open(subscriber, since=since, head=self.tail.head)

    def consumer(
        self,
        opened: Opened | None = None,
        *,
        start: Cursor = START,
        since: Cursor | None = None,
        matches: Callable[[Activity], bool] = lambda _: True,
        bookmark_every: timedelta = timedelta(hours=1),
        acceptance: Acceptance | None = None,
        confirmation: Confirmation = Confirmation.SOCKET,
    ) -> Consumer[Activity]:
        """A consumer of this process."""
        return Consumer(
            shared=self.shared,
            start=opened.position if opened else start,
            opened=opened,
            since=since,
            matches=matches,
            acceptance=acceptance,
            confirmation=confirmation,
            bookmark_every=bookmark_every,
        )
