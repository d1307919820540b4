"""What the previous version and this one leave for each other: entries, positions, pending entries, marks, mail."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import asyncpg
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from streams.connection import connect_alone as connect_redis
from streams.keys import Keys
from tests.support.arena import ACKNOWLEDGE, SUBSCRIPTION
from tests.support.server import REPOSITORY, Client, ServerProcess, Stream
from tests.support.versions import check_out_previous, end_aloud, migrate_by, new_database
from tests.support.waiting import wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLISH = """
mutation ($title: String!) {
  publishActivity(input: {type: VOTE, title: $title, summary: "It was close", metadata: {ayes: 301}}) {
    ... on PublishedActivity { activity { id } }
  }
}
"""
ACTIVITY = """
subscription { activityAdded { __typename cursor ... on ActivityAdded {
  activity { id type title summary metadata occurredAt } publishedAt } ... on StreamNotice { kind } } }
"""
UPDATES = """
query ($since: Cursor!) { updates(since: $since) { events { __typename cursor ... on ActivityAdded {
  activity { id type title summary metadata occurredAt } publishedAt } } } }
"""
LAST = "{ feed(first: 2) { unreadCount head nodes { id } edges { isRead } } }"
READ = """
subscription { activityAdded { __typename cursor ... on StreamNotice { kind }
  ... on ReadStateChanged { activityIds readState { unreadCount version } } } }
"""
REDRIVE = "mutation ($id: ID!) { redriveDeadLetter(id: $id) { __typename } }"


@dataclass(frozen=True, slots=True)
class Versions:
    """A server of the previous version and one of this, on the same database and Redis."""

    previous: ServerProcess
    this: ServerProcess
    database_url: str
    redis: "Redis"

    def writer_and_reader(self, writer: str) -> tuple[ServerProcess, ServerProcess]:
        """The one that leaves something, and the one that finds it."""
        return (self.previous, self.this) if writer == "previous" else (self.this, self.previous)

    async def lead(self, leader: ServerProcess, other: ServerProcess) -> None:
        """Have `leader` sequence: freeze the other until PostgreSQL has ended its session."""

        async def leads() -> bool:
            async with Client(leader.url) as client:
                return "sequencer_leading 1.0" in await client.text("/metrics")

        if await leads():
            return
        other.signal(signal.SIGSTOP)
        try:
            await wait_until(leads, description="the other leads", every=0.1)
        finally:
            other.signal(signal.SIGCONT)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def versions(
    postgres_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Versions]:
    """Both run for all tests of this module; the database was made by the previous version."""
    directory = tmp_path_factory.mktemp("versions")
    checkout = check_out_previous(directory / "previous")
    redis = connect_redis(valkey_url)
    async with new_database(postgres_url) as url, AsyncExitStack() as stack:
        stack.push_async_callback(redis.aclose)
        await redis.flushdb()
        environment = {"DATABASE_URL": url, "REDIS_URL": valkey_url, "STATE_DIR": str(directory), "BOOKMARK_EVERY": "1"}
        servers = []
        for version in (checkout, REPOSITORY):
            await migrate_by(version, environment)
            servers.append(ServerProcess("serve", environment=environment, checkout=version))
            stack.push_async_callback(end_aloud, servers[-1])
            await servers[-1].start()
        previous, this = servers
        yield Versions(previous, this, url, redis)


WRITERS = pytest.mark.parametrize("writer", ["previous", "this"])


async def publish(server: ServerProcess, title: str) -> str:
    """Publish by a server; return the activity's ID."""
    async with Client(server.url, "carol", "publish") as client:
        answer = await client.ask(PUBLISH, title=title)
    found: str = answer["publishActivity"]["activity"]["id"]
    return found


async def next_activity(stream: Stream) -> dict[str, object]:
    """The next event that is no notice."""
    while True:
        event = await stream.event()
        if event["__typename"] != "StreamNotice":
            return event


@WRITERS
async def test_entries_of_one_version_are_read_by_the_other(versions: Versions, writer: str) -> None:
    """Its row, its entry in Redis and its JSON: a stream of the other shows the same, live and from the past."""
    leader, reader = versions.writer_and_reader(writer)
    await versions.lead(leader, reader)
    async with Client(leader.url) as ours, Client(reader.url) as theirs:
        async with ours.subscribe(query=ACTIVITY) as here, theirs.subscribe(query=ACTIVITY) as there:
            began = (await there.hello())["cursor"]
            await here.hello()
            await publish(leader, f"entry of {writer}")
            expected, found = await next_activity(here), await next_activity(there)
        assert expected == found
        for client in (ours, theirs):
            assert (await client.ask(UPDATES, since=began))["updates"]["events"] == [expected]


@WRITERS
async def test_a_position_of_one_version_is_continued_by_the_other(versions: Versions, writer: str) -> None:
    """The device brings no cursor: the other server knows what it has."""
    before, after = versions.writer_and_reader(writer)
    device = f"moves-{writer}"
    async with Client(before.url, "bob") as client, client.subscribe(subscriber=device) as stream:
        await stream.hello()
        await publish(before, "had")
        cursor = str((await next_activity(stream))["cursor"])

        async def kept() -> bool:
            position = await versions.redis.hget(Keys().positions, f"bob:{device}")
            return position is not None and position.split()[0] == cursor.encode()

        await wait_until(kept, description="the receipt is written")
    await publish(after, "missed")
    async with Client(after.url, "bob") as client, client.subscribe(subscriber=device) as stream:
        assert (await stream.hello())["cursor"] == cursor
        assert await stream.titles(1) == ["missed"]


@WRITERS
async def test_what_is_pending_in_one_version_is_handed_over_again_by_the_other(
    versions: Versions, writer: str
) -> None:
    """The group, its PEL and the counts beside it: delivered twice, then confirmed, then pending nowhere."""
    before, after = versions.writer_and_reader(writer)
    user, device = f"confirms-{writer}", {"subscriber": "phone", "confirm": "CLIENT"}
    async with Client(before.url, user) as client, client.subscribe(query=SUBSCRIPTION, **device) as stream:
        await stream.hello()
        await publish(before, "pending")
        first = await next_activity(stream)
        assert first["deliveryAttempt"] == 1

    async def noted() -> bool:
        return bool(await versions.redis.hget(Keys().pending, f"{user}:phone") == b"1")

    await wait_until(noted, description="it is noted as pending when the stream has ended")
    async with Client(after.url, user) as client:
        async with client.subscribe(query=SUBSCRIPTION, **device) as stream:
            await stream.hello()
            again = await next_activity(stream)
            assert (again["cursor"], again["deliveryAttempt"]) == (first["cursor"], 2)
            done = await client.ask(ACKNOWLEDGE, through=again["cursor"], subscriber="phone")
            assert done["acknowledge"]["pending"] == 0
        async with Client(before.url, user) as back, back.subscribe(query=SUBSCRIPTION, **device) as stream:
            assert (await stream.hello())["cursor"] >= first["cursor"]
            last = await publish(before, "afterwards")
            assert await stream.titles(1) == ["afterwards"], last


@WRITERS
async def test_a_stream_of_one_version_gives_way_to_one_of_the_other(versions: Versions, writer: str) -> None:
    """One live stream for a device: epochs and signals mean the same to both."""
    old, new = versions.writer_and_reader(writer)
    device = {"subscriber": f"roams-{writer}"}
    async with Client(old.url, "dave") as here, Client(new.url, "dave") as there, here.subscribe(**device) as first:
        await first.hello()
        async with there.subscribe(**device) as second, asyncio.timeout(20):
            await second.hello()
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    await first.event()
            await publish(old, "for the newer")
            assert await second.titles(1) == ["for the newer"]


@WRITERS
async def test_marks_of_one_version_are_read_by_the_other(versions: Versions, writer: str) -> None:
    """Rows, bitmaps and what open streams are told."""
    marking, reading = versions.writer_and_reader(writer)
    user = f"reads-{writer}"
    one = await publish(marking, "to be read")
    async with Client(marking.url, user) as here, Client(reading.url, user) as there:
        for client in (here, there):

            async def shown(client: Client = client) -> bool:
                return bool((await client.ask(LAST))["feed"]["nodes"][0]["id"] == one)

            await wait_until(shown, description="in the feed, and its bitmap warmed", every=0.05)
        unread = (await there.ask(LAST))["feed"]["unreadCount"]
        async with there.subscribe(query=READ) as stream:
            await stream.hello()
            await here.ask(f'mutation {{ markRead(activityIds: ["{one}"]) {{ __typename }} }}')
            event = await stream.event()
            while event["__typename"] != "ReadStateChanged":
                event = await stream.event()
            assert event["activityIds"] == [one]
            assert event["readState"]["unreadCount"] == unread - 1
        for client in (here, there):
            feed = (await client.ask(LAST))["feed"]
            assert (feed["unreadCount"], feed["edges"][0]["isRead"]) == (unread - 1, True)


@WRITERS
async def test_a_letter_redriven_in_one_version_reaches_a_device_at_the_other(versions: Versions, writer: str) -> None:
    """Rows of dead letters, the device's mail in Redis and the signal that there is some."""
    operators, devices = versions.writer_and_reader(writer)
    user = f"heals-{writer}"
    one = int(await publish(devices, "dead"))
    async with Client(devices.url, user) as client, client.subscribe(subscriber="phone") as stream:
        await stream.hello()
        letter = await write_letter(versions.database_url, one, f"{user}:phone")
        async with Client(operators.url, "operator", "ops") as operator:
            done = await operator.ask(REDRIVE, id=str(letter))
        assert done["redriveDeadLetter"]["__typename"] == "DeadLetterSettled"
        async with asyncio.timeout(20):
            while (event := await stream.event())["__typename"] != "GapHealed":
                pass
        assert event["activities"] == [{"title": "dead"}]


async def write_letter(database_url: str, activity: int, subscriber: str) -> int:
    """A dead letter of an activity that is in the log; returns its ID."""
    connection = await asyncpg.connect(database_url)
    try:
        for _ in range(200):
            letter = await connection.fetchval(
                "INSERT INTO dead_letters (stream, cursor, activity_id, subscriber, error, delivery_count)"
                " SELECT '{activities:0}:stream', cursor, id, $2, 'for a test', 3"
                " FROM activities WHERE id = $1 AND cursor IS NOT NULL RETURNING id",
                activity,
                subscriber,
            )
            if letter is not None:
                return int(letter)
            await asyncio.sleep(0.05)
    finally:
        await connection.close()
    raise AssertionError("the activity has no place in the log")
