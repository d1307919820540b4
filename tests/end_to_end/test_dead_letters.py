"""Dead letters as operators and clients meet them: the command line, GraphQL, and GapHealed on the device."""

import asyncio
import sys
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.letters import Letters
from resolvers.database.log import PostgresLog
from resolvers.database.queries import Database
from streams.cursor import START, Cursor
from streams.dead_letters import Letter
from streams.keys import Keys
from telemetry.metrics import Metrics
from tests.support.parliament import insert_activities
from tests.support.server import REPOSITORY, Client, ServerProcess
from tests.support.waiting import wait_until

SETTLE = """
mutation ($id: ID!) {{
  {name}(id: $id) {{
    __typename
    ... on DeadLetterSettled {{ letter {{ state subscriber activity {{ title }} }} }}
    ... on DeadLetterRefused {{ message current {{ state }} }}
  }}
}}
"""
LIST = (
    "{ deadLetters(first: 1) { nodes { id state subscriber error deliveryCount } pageInfo { hasNextPage endCursor } } }"
)


@pytest.fixture
async def letters(server: ServerProcess, database: AsyncEngine) -> list[Cursor]:
    """Two activities that could not be delivered to alice's phone."""
    db = Database(engine=database, metrics=Metrics())
    log = PostgresLog(database=db)
    await insert_activities(database, 2, title="lost")

    async def sequenced() -> bool:
        return (await log.head()).n == 2

    await wait_until(sequenced, description="sequenced")
    found = await log.after(START, 10)
    for entry in found:
        letter = Letter(Keys().stream, entry.cursor, entry.activity_id, "alice:phone", "for a test", 3, 1, 2)
        assert await Letters(database=db).write(letter)
    return [entry.cursor for entry in found]


async def cli(server: ServerProcess, *arguments: str) -> tuple[int, str]:
    """Exit code and output of `python -m cli dead-letters …`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "cli", "dead-letters", *arguments),
        cwd=REPOSITORY,
        env={**server._environment, "COLUMNS": "300"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_operator_lists_redrives_and_discards_by_command_line(
    server: ServerProcess, letters: list[Cursor]
) -> None:
    """What is redriven reaches the device when it comes back, once; what is done cannot be done again."""
    async with Client(server.url) as client, client.subscribe(subscriber="phone", since=str(letters[-1])) as stream:
        await stream.hello()
    code, output = await cli(server, "list")
    assert code == 0
    assert "alice:phone" in output
    assert "for a test" in output
    assert await cli(server, "redrive", "1") == (0, "1 redriven\n")
    assert (await cli(server, "discard", "2"))[0] == 0
    code, output = await cli(server, "redrive", "2", "77")
    assert code == 1
    assert "discarded already" in output
    assert "no dead letter 77" in output

    async with Client(server.url) as client:
        async with client.subscribe(subscriber="phone") as stream:
            healed = await _healed(stream)
            assert healed["through"] == str(letters[0])

            async def noted() -> bool:
                return "HEALED" in (await cli(server, "list", "--all"))[1]

            await wait_until(noted, description="healed", every=0.2)
        assert (await cli(server, "list"))[1].strip() == "no dead letters"


async def _healed(stream: Any) -> dict[str, Any]:
    while True:
        event: dict[str, Any] = await stream.event()
        if event["__typename"] == "GapHealed":
            return event


async def test_operator_redrives_to_a_connected_device_by_graphql(server: ServerProcess, letters: list[Cursor]) -> None:
    """The stream that is open hears of it at once; readers without the scope see nothing."""
    async with Client(server.url, "operator", "ops") as operator, Client(server.url) as client:
        refused = await client.post(LIST)
        assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
        page = (await operator.ask(LIST))["deadLetters"]
        assert page["pageInfo"] == {"hasNextPage": True, "endCursor": "2"}
        assert page["nodes"][0] | {"id": "2", "deliveryCount": 3, "state": "DEAD"} == page["nodes"][0]
        async with client.subscribe(subscriber="phone", since=str(letters[-1])) as stream:
            await stream.hello()
            done = await operator.ask(SETTLE.format(name="redriveDeadLetter"), id="2")
            assert done["redriveDeadLetter"]["letter"] == {
                "state": "REDRIVEN",
                "subscriber": "alice:phone",
                "activity": {"title": "lost 1"},
            }
            assert (await _healed(stream))["through"] == str(letters[1])
        again = await operator.ask(SETTLE.format(name="discardDeadLetter"), id="2")
        assert again["discardDeadLetter"]["__typename"] == "DeadLetterRefused"
        assert "redriven already" in again["discardDeadLetter"]["message"]


async def test_health_shows_what_is_pending_and_how_delivery_goes(server: ServerProcess, database: AsyncEngine) -> None:
    """The query answers from the last sample."""
    query = (
        "{ health { healthy redis database alarms recommendation pel { totalPending oldestAge consumers }"
        " delivery { samples p95Ms successRate } transport { mode pollIntervalSeconds } } }"
    )
    async with Client(server.url) as client, client.subscribe() as stream:
        await stream.hello()
        await insert_activities(database, 3)
        await stream.titles(3)

        async def sampled() -> bool:
            found = (await client.ask(query))["health"]
            return bool(found["delivery"]["samples"] == 3 and found["healthy"] and found["pel"]["totalPending"] == 0)

        await wait_until(sampled, description="three deliveries in health")


async def test_acknowledgement_of_a_device_never_seen_is_refused(server: ServerProcess) -> None:
    """As is one beyond the end of the log, and CLIENT without a device."""
    acknowledge = (
        'mutation ($through: Cursor!) { acknowledge(through: $through, subscriber: "toaster") '
        "{ __typename ... on AcknowledgeRefused { message } } }"
    )
    async with Client(server.url) as client:
        refused = (await client.ask(acknowledge, through="0-0"))["acknowledge"]
        assert refused["__typename"] == "AcknowledgeRefused"
        ahead = await client.post(acknowledge, through="8000000000000-0")
        assert ahead["errors"][0]["extensions"]["code"] == "CURSOR_FROM_THE_FUTURE"
        headers = {"Accept": "text/event-stream"}
        query = "subscription { activityAdded(confirm: CLIENT) { cursor } }"
        answer = await client._http.post("/graphql", json={"query": query}, headers=headers)
    assert "needs 'subscriber'" in answer.text
