"""Failures provoked on a real server, watched by a real Prometheus with the product's rules (hurried: see support)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.letters import Letters
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from streams.cursor import START
from streams.dead_letters import Letter
from streams.keys import Keys
from telemetry.metrics import Metrics
from tests.end_to_end.test_dead_letters import cli
from tests.support.parliament import insert_activities
from tests.support.prometheus import Prometheus, prometheus
from tests.support.promql import panels
from tests.support.server import Client, ServerProcess
from tests.support.waiting import wait_until

NOTHING_WHEN_ALL_IS_WELL = (
    "ALERTS",
    "sse_confirmation_latency_ms",  # nobody confirms here
    'mode="recovered"',
    "stream_repairs_total",
    "sse_degradation_events_total",
    "ledger_receipts_dropped_total",
    "sse_connections_closed_total",
    "sse_connections_refused_total",
    "feed_passed_on_total",
    "redis_memory_limit_bytes",
    "refusals_total",
    "connections_cut_total",
    "signing_key_fetches_total",  # tokens are signed with a secret here
    "workers_",  # of a parent of several workers
)


def address(server: ServerProcess) -> str:
    """What Prometheus asks."""
    return server.url.removeprefix("http://")


@pytest.fixture
async def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """One that refreshes the view as hurriedly as the rules look at it."""
    return await start_server(VIEW_REFRESH="2").start()


@pytest.fixture
async def watching(server: ServerProcess, tmp_path: Path) -> AsyncIterator[Prometheus]:
    """A Prometheus that asks the server."""
    async with prometheus(tmp_path / "prometheus", targets=[address(server)]) as watching:
        yield watching


async def test_stalled_sequencer_fires_and_what_it_held_up_counts_as_slow(
    server: ServerProcess, database: AsyncEngine, database_url: str, watching: Prometheus
) -> None:
    """The log's lock is held: SequencerLag. Set free, what comes late breaks the objective and burns its budget."""
    slow = ("HighSSEDeliveryLatency", "SSELatencyBudgetBurn")
    async with Client(server.url) as client, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(client.subscribe()) for _ in range(6)]
        for stream in streams:
            await stream.hello()
        await insert_activities(database, 1)
        await asyncio.gather(*(stream.titles(1) for stream in streams))
        await watching.moved('sum(sse_delivery_latency_ms_count{mode="live"})')
        assert await watching.firing() == set()

        holder = await asyncpg.connect(database_url)  # not as the server connects: its sessions end by themselves
        try:
            await holder.execute("BEGIN; SELECT 1 FROM log_head FOR UPDATE")
            await insert_activities(database, 50, title="held up")
            await watching.fires("SequencerLag")
        finally:
            await holder.close()

        await asyncio.gather(*(stream.titles(50) for stream in streams))
        await watching.fires(*slow)
        await watching.resolves("SequencerLag", *slow)


async def test_frozen_redis_fires_and_sends_clients_to_poll(
    server: ServerProcess, redis: Redis, watching: Prometheus
) -> None:
    """It accepts and does not answer: the dependency is down, the advice is to poll; both end with the frost."""
    assert await watching.firing() == set()
    await redis.client_pause(15_000)

    await watching.fires("DependencyDown", "ClientsAdvisedToPoll")
    down = 'ALERTS{alertname="DependencyDown", alertstate="firing"}'
    assert {series["metric"]["dependency"] for series in await watching.ask(down)} <= {"redis", "tail"}
    await watching.moved('sum(sse_degradation_events_total{reason=~"redis_down|tail_down"})')
    await watching.resolves("DependencyDown", "ClientsAdvisedToPoll")


async def test_dead_letter_fires_until_an_operator_has_settled_it(
    server: ServerProcess, database: AsyncEngine, watching: Prometheus
) -> None:
    """The leader counts what waits; `cli dead-letters discard` ends it."""
    db = Database(engine=database, metrics=Metrics())
    log = PostgresLog(database=db)
    await insert_activities(database, 1, title="lost")

    async def sequenced() -> bool:
        return (await log.head()).n == 1

    await wait_until(sequenced, description="sequenced")
    (entry,) = await log.after(START, 1)
    assert await Letters(database=db).write(
        Letter(Keys().stream, entry.cursor, entry.activity_id, "alice:phone", "for a test", 3, 1, 2)
    )

    await watching.fires("DeadLettersWaiting")
    assert (await cli(server, "discard", "1"))[0] == 0
    await watching.resolves("DeadLettersWaiting")


async def test_every_panel_of_the_dashboards_has_an_answer(
    server: ServerProcess, database: AsyncEngine, watching: Prometheus
) -> None:
    """Prometheus takes every query, and those about a server in use show something."""
    async with Client(server.url) as client, client.subscribe(subscriber="phone") as stream:
        await stream.hello()
        for _ in range(3):
            await insert_activities(database, 1)
            await stream.titles(1)
            await client.ask("{ feed { servedBy unreadCount } }")
            before = await watching.value("count_over_time(up[1h])") or 0

            async def asked_again(before: float = before) -> bool:
                return (await watching.value("count_over_time(up[1h])") or 0) > before + 1

            await wait_until(asked_again, within=30, every=0.2, description="asked again")
        await watching.moved('sum(rate(sse_delivery_success_total{mode="live"}[20s]))')

        empty = []
        for panel in panels():
            expression = panel.expression.replace("$job", "divisionbell")
            expression = expression.replace("$__rate_interval", "20s").replace("$__range", "1h")
            if not await watching.ask(expression) and not any(name in expression for name in NOTHING_WHEN_ALL_IS_WELL):
                empty.append((panel.dashboard, panel.title, expression))
        assert await watching.firing() == set()
    assert empty == []
