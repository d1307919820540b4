"""One trace, from what somebody published to the last socket, as a collector gets it over OTLP."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.tables import activities
from tests.support.collector import Collector, Span, collecting
from tests.support.parliament import insert_activities
from tests.support.server import Client, ServerProcess
from tests.support.waiting import wait_until

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
OTHERS = [f"00-{digit}af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01" for digit in "12"]
PUBLISH = """
mutation Publish {
  publishActivity(input: {type: VOTE, title: "Division 41"}) { ... on PublishedActivity { activity { id } } }
}
"""
ROAD = ["sequence", "redis append.lua", "receive", "fan-out", "render"]


@pytest.fixture
def collector() -> Iterator[Collector]:
    """On loopback."""
    with collecting() as one:
        yield one


@pytest.fixture
def environment(database_url: str, redis_url: str, collector: Collector) -> dict[str, str]:
    """A server that sends its traces there, all of them."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **collector.environment()}


async def road_of(collector: Collector, trace: str) -> dict[str, Span]:
    """The spans of a trace by name, once all of ROAD have come."""

    async def complete() -> bool:
        return set(ROAD) <= {span.name for span in collector.of(trace)}

    await wait_until(complete, description=f"{ROAD} in {trace}")
    spans = collector.of(trace)
    once = [span.name for span in spans if span.name != "render"]
    assert len(set(once)) == len(once), "each piece of work is one span"
    return {span.name: span for span in spans}


async def test_mutation_is_one_trace_down_to_the_fan_out(
    environment: dict[str, str], collector: Collector, database: AsyncEngine
) -> None:
    """Three subscribers are one span; what polls is none; all that is sent belongs to what somebody asked for."""
    async with (
        ServerProcess("serve", environment=environment) as server,
        Client(server.url, scope="read publish") as ada,
    ):
        async with ada.subscribe() as first, ada.subscribe() as second, ada.subscribe() as third:
            for stream in (first, second, third):
                await stream.hello()
            await insert_activities(database, 1, title="Unseen")
            for stream in (first, second, third):
                assert await stream.titles(1) == ["Unseen 0"]
            answer = await ada._http.post("/graphql", json={"query": PUBLISH}, headers={"traceparent": TRACEPARENT})
            assert "errors" not in answer.json()
            for stream in (first, second, third):
                assert await stream.titles(1) == ["Division 41"]
            spans = await road_of(collector, TRACE_ID)
        assert await server.stop() == 0

    mutation, sequence, fan_out = spans["mutation Publish"], spans["sequence"], spans["fan-out"]
    assert mutation.parent == TRACEPARENT.split("-")[2]
    assert spans["postgresql publish_activity"].parent == mutation.id
    assert sequence.parent == mutation.id
    assert {spans[name].parent for name in ("redis append.lua", "receive", "fan-out")} == {sequence.id}
    assert spans["render"].parent == fan_out.id
    assert fan_out.attributes["divisionbell.deliveries"] == 3
    assert fan_out.attributes["messaging.batch.message_count"] == 1
    assert mutation.attributes["graphql.operation.name"] == "Publish"
    assert sequence.began < spans["redis append.lua"].began <= spans["receive"].began <= fan_out.began
    assert mutation.service["service.name"] == "divisionbell"
    asked_for = {"mutation Publish", "subscription", "sequence"}
    parents = {span.id: span for span in collector.spans}
    for span in collector.spans:
        while span.parent in parents:
            span = parents[span.parent]  # noqa: PLW2901 - up to the root
        assert span.name in asked_for, f"{span.name} is nobody's"


async def test_insert_brings_its_own_trace_or_gets_one(
    environment: dict[str, str], collector: Collector, database: AsyncEngine
) -> None:
    """An ETL job writes its traceparent into the row; a batch continues one trace and is linked with the others."""
    async with (
        ServerProcess("serve", environment=environment) as server,
        Client(server.url) as ada,
        ada.subscribe() as stream,
    ):
        await stream.hello()
        await insert_activities(database, 1, title="Mine", traceparent=TRACEPARENT)
        assert await stream.titles(1) == ["Mine 0"]
        spans = await road_of(collector, TRACE_ID)
        assert spans["sequence"].parent == TRACEPARENT.split("-")[2]

        rows = [{"type": "VOTE", "title": title, "traceparent": one} for title, one in zip("ab", OTHERS, strict=True)]
        async with database.begin() as connection:
            await connection.execute(sa.insert(activities), rows)
        assert await stream.titles(2) == ["a", "b"]
        both = await road_of(collector, OTHERS[0].split("-")[1])
        assert both["sequence"].links == (OTHERS[1].split("-")[1],)

        await insert_activities(database, 1, title="Nobody's")
        assert await stream.titles(1) == ["Nobody's 0"]

        async def begun() -> bool:
            return any(span.name == "sequence" and not span.parent for span in collector.spans)

        await wait_until(begun, description="a trace of its own")
        [root] = [span for span in collector.spans if span.name == "sequence" and not span.parent]
        await road_of(collector, root.trace)


async def test_collector_that_is_away_holds_nothing_up(environment: dict[str, str], database: AsyncEngine) -> None:
    """Neither deliveries nor the end of the process."""
    environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:1"
    async with ServerProcess("serve", environment=environment) as server, Client(server.url) as ada:
        async with ada.subscribe() as stream:
            await stream.hello()
            await insert_activities(database, 1)
            assert await stream.titles(1) == ["Activity 0"]
        assert await server.stop() == 0
