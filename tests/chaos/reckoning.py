"""What PostgreSQL, Redis, the metrics and the feed say when a round is over."""

import contextlib

import sqlalchemy as sa

from resolvers.activities import EVERYTHING
from resolvers.database.feed import JoinedFeed, Wanted
from resolvers.database.queries import Database
from resolvers.database.tables import activities, dead_letters, user_activity_reads
from streams.cursor import Cursor
from telemetry.metrics import Metrics
from tests.chaos.cluster import Cluster
from tests.chaos.history import DeadLetter, History, Row
from tests.chaos.schedule import SERVERS
from tests.support.server import Client
from tests.support.waiting import wait_until

PAGE = 50
FEED = f"{{ feed(first: {PAGE}) {{ servedBy unreadCount edges {{ isRead node {{ id }} }} }} }}"
NOT_PENDING = 75.0
"""Seconds: what a stale replica brings back is handed over again when its owner has left it idle for a minute."""
WITHOUT_REDIS = 3
"""Users whose feed is looked at once more after Redis has been stopped."""


async def reckon(cluster: Cluster, history: History) -> None:
    """Write into the history what they say. Stops Redis in the end."""
    await _read_postgres(cluster, history)
    await _settle_books(cluster, history)
    history.stream = await cluster.streamed()
    users = sorted({client.user for client in history.clients})
    joined = JoinedFeed(database=Database(engine=cluster.engine, metrics=Metrics()))
    for user in users:
        await _look(cluster, history, user)
        page = await joined.page(Wanted(user, PAGE, None, unread_only=False, chosen=EVERYTHING))
        shown = [(int(item.activity.id), item.is_read) for item in page.items]
        history.shown.setdefault(user, {})["LEFT_JOIN"] = shown
    cluster.stop_redises()  # the other path must say the same
    for user in users[:WITHOUT_REDIS]:
        await _look(cluster, history, user)


async def _read_postgres(cluster: Cluster, history: History) -> None:
    async with cluster.engine.connect() as connection:
        log = await connection.execute(
            sa.select(activities.c.id, activities.c.n, activities.c.cursor, activities.c.type)
            .where(activities.c.cursor.is_not(None))
            .order_by(activities.c.n)
        )
        history.log = [Row(row.id, row.n, Cursor(row.cursor), row.type) for row in log]
        marks = await connection.execute(sa.select(user_activity_reads.c.user_id, user_activity_reads.c.activity_id))
        for user, activity in marks:
            history.marked.setdefault(user, set()).add(activity)


async def read_letters(cluster: Cluster, history: History) -> None:
    """Read the dead letters: once nobody listens any more, for a device that refuses may be told of one until then."""
    async with cluster.engine.connect() as connection:
        history.letters = [
            DeadLetter(
                row.id, Cursor(row.cursor), row.activity_id, row.subscriber, row.state, row.healed_at is not None
            )
            for row in await connection.execute(sa.select(dead_letters))
        ]


async def _settle_books(cluster: Cluster, history: History) -> None:
    async def nothing_pending() -> bool:
        history.pending = await cluster.pending()
        return not any(history.pending.values())

    with contextlib.suppress(AssertionError):
        await wait_until(nothing_pending, description="nothing is pending", within=NOT_PENDING, every=0.1)

    async def balanced() -> bool:
        history.unaccounted = {
            f"server {k}": await cluster.metric(k, "sse_entries_unaccounted") for k in range(SERVERS)
        }
        return not any(history.unaccounted.values())

    with contextlib.suppress(AssertionError):
        await wait_until(balanced, description="the books are balanced", every=0.2)


async def _look(cluster: Cluster, history: History, user: str) -> None:
    """What a server shows a user; what the sweep has to heal has ten seconds and a bit for it."""

    async def shown() -> bool:
        async with Client(cluster.url(0, direct=True), user=user) as client:
            feed = (await client.ask(FEED))["feed"]
        edges = [(int(edge["node"]["id"]), bool(edge["isRead"])) for edge in feed["edges"]]
        history.shown.setdefault(user, {})[feed["servedBy"]] = edges
        history.unread[user] = feed["unreadCount"]
        marked = history.marked.get(user, set())
        unread = sum(row.id not in marked for row in history.log)
        return feed["unreadCount"] == unread and all(is_read == (one in marked) for one, is_read in edges)

    with contextlib.suppress(AssertionError):
        await wait_until(shown, description="marks are shown", within=25, every=0.5)
