"""The whole road: rows go in at PostgreSQL, events come out of a socket, whatever happens to the server between."""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
import sqlalchemy as sa
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.tables import activities
from resolvers.identity import Tokens
from tests.support.parliament import insert_activities, insert_bill, insert_mp
from tests.support.server import SECRET, SUBSCRIPTION, Client, ServerProcess, token
from tests.support.waiting import wait_until


async def test_plain_insert_reaches_a_subscriber(server: ServerProcess, database: AsyncEngine) -> None:
    """Any INSERT into activities shows in an open stream, with its MP and bill."""
    mp, bill = await insert_mp(database), await insert_bill(database, "C-7")
    async with Client(server.url) as client, client.subscribe() as stream:
        await stream.hello()
        await insert_activities(database, 1, mp_id=mp, bill_id=bill)

        event = await stream.event()

    assert (
        event["deliveryAttempt"],
        event["activity"]["title"],
        event["activity"]["type"],
    ) == (1, "Activity 0", "SPEECH")
    assert event["activity"]["mp"] == {"name": "Ada Byron", "party": "Ind.", "riding": "Ealing North"}
    assert event["activity"]["bill"] == {"number": "C-7"}


async def test_published_activity_reaches_a_subscriber(server: ServerProcess) -> None:
    """PublishActivity takes the road that every INSERT takes."""
    publish = """mutation ($title: String!) { publishActivity(input: {type: VOTE, title: $title}) {
        ... on PublishedActivity { activity { id } } ... on ActivityRefused { message } } }"""
    async with Client(server.url, scope="read publish") as client, client.subscribe() as stream:
        await stream.hello()
        published = await client.ask(publish, title="Division 41")

        event = await stream.event()

    assert published["publishActivity"]["activity"]["id"] == event["activity"]["id"]


async def test_stream_from_feed_head_continues_without_a_hole(server: ServerProcess, database: AsyncEngine) -> None:
    """What is not on the page of `feed` comes from `activityAdded(since: feed.head)`, once."""
    await insert_activities(database, 5, title="before")
    async with Client(server.url) as client:
        feed: dict[str, object] = {}

        async def has_all() -> bool:
            feed.update((await client.ask("{ feed { head unreadCount nodes { title } } }"))["feed"])
            return feed["unreadCount"] == 5

        await wait_until(has_all, description="the feed shows what was inserted")
        await insert_activities(database, 3, title="after")
        async with client.subscribe(since=feed["head"]) as stream:
            assert [f"after {k}" for k in range(3)] == await stream.titles(3)


async def test_only_matching_activities_are_streamed(server: ServerProcess, database: AsyncEngine) -> None:
    """Filters by type, MP and bill hold on the stream."""
    mp = await insert_mp(database)
    votes = {"types": ["VOTE"], "mpIds": [str(mp)]}
    async with Client(server.url) as client, client.subscribe(filter=votes) as stream:
        await stream.hello()
        await insert_activities(database, 1, title="speech", mp_id=mp)
        await insert_activities(database, 1, title="nobody's vote", type="VOTE")
        await insert_activities(database, 1, title="vote", type="VOTE", mp_id=mp)

        assert await stream.titles(1) == ["vote 0"]


async def test_client_resumes_with_its_cursor(server: ServerProcess, database: AsyncEngine) -> None:
    """A dropped connection that comes back with `since` has missed nothing and sees nothing twice."""
    async with Client(server.url) as client:
        async with client.subscribe() as stream:
            await stream.hello()
            await insert_activities(database, 2, title="first")
            assert await stream.titles(2) == ["first 0", "first 1"]
            cursor = stream.cursor
        await insert_activities(database, 2, title="missed")
        async with client.subscribe(since=cursor) as stream:
            assert await stream.titles(2) == ["missed 0", "missed 1"]


async def test_native_event_source_resumes_by_its_last_event_id(server: ServerProcess, database: AsyncEngine) -> None:
    """A GET with the old URL and a newer Last-Event-ID continues after the newer of the two."""
    async with Client(server.url) as client:
        async with client.subscribe() as stream:
            start = (await stream.hello())["cursor"]
            await insert_activities(database, 3)
            await stream.titles(2)
            seen = stream.cursor
        fields = "cursor ... on ActivityAdded { activity { title } }"
        query = f'subscription {{ activityAdded(since: "{start}") {{ {fields} }} }}'
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(seen)}
        text = ""
        async with client._http.stream("GET", "/graphql", params={"query": query}, headers=headers) as answer:
            async for line in answer.aiter_lines():
                text += line
                if "Activity 2" in line:
                    break

    assert "Activity 1" not in text


async def test_device_continues_where_it_was_after_the_server_was_killed(
    start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """Kill -9, and a reconnect without a cursor: the same device gets everything it had not got, in order."""
    server = await start_server().start()
    async with Client(server.url) as client, client.subscribe(subscriber="phone") as stream:
        await stream.hello()
        await insert_activities(database, 3, title="seen")
        assert await stream.titles(3) == ["seen 0", "seen 1", "seen 2"]
        await server.kill()
    await insert_activities(database, 2, title="missed")

    server = await start_server().start()
    async with Client(server.url) as client, client.subscribe(subscriber="phone") as stream:
        got: list[str] = []
        while "missed 1" not in got:
            got += await stream.titles(1)

    # At least once: what was confirmed less than two seconds before the crash may come again, never less.
    assert got[-2:] == ["missed 0", "missed 1"]
    assert ["seen 0", "seen 1", "seen 2"][3 - len(got[:-2]) :] == got[:-2]


async def test_device_that_did_not_read_gets_again_what_lay_in_the_servers_buffers(
    server: ServerProcess, database: AsyncEngine
) -> None:
    """I3: of megabytes accepted for a client that reads none, only what its own kernel held counts as delivered."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        deaf.connect((host, int(port)))
        body = json.dumps({"query": SUBSCRIPTION, "variables": {"subscriber": "phone"}}).encode()
        deaf.sendall(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (token("alice").encode(), len(body), body)
        )
        opening = b""
        while b"HELLO" not in opening:
            opening += deaf.recv(2_000)
        await insert_activities(database, 3_000, title="long " * 50)

        async with Client(server.url) as client:

            async def handed_over() -> bool:
                lines = (await client.text("/metrics")).splitlines()
                counts = [line.split()[1] for line in lines if line.startswith("sse_delivery_attempts_total{")]
                return sum(map(float, counts)) > 500

            await wait_until(handed_over, description="much was handed over")
    async with Client(server.url) as client, client.subscribe(subscriber="phone") as stream:
        got: list[str] = []
        while not got or not got[-1].endswith(" 2999"):
            got += await stream.titles(1)

    numbers = [int(title.rpartition(" ")[2]) for title in got]
    assert numbers == list(range(numbers[0], 3_000))
    assert numbers[0] < 200


async def test_other_device_of_the_same_user_has_its_own_position(server: ServerProcess, database: AsyncEngine) -> None:
    """What the phone got while the tablet was away, the tablet gets later."""
    async with Client(server.url) as client:
        async with client.subscribe(subscriber="tablet") as tablet:
            await tablet.hello()
        async with client.subscribe(subscriber="phone") as phone:
            await phone.hello()
            await insert_activities(database, 2)
            await phone.titles(2)
        async with client.subscribe(subscriber="tablet") as tablet:
            assert await tablet.titles(2) == ["Activity 0", "Activity 1"]


async def test_newer_stream_of_a_device_takes_over(server: ServerProcess, database: AsyncEngine) -> None:
    """The older stream says CLOSING and ends without `complete`; the newer goes on."""
    async with Client(server.url) as client, client.subscribe(subscriber="phone") as older:
        await older.hello()
        async with client.subscribe(subscriber="phone") as newer:
            await newer.hello()
            assert (await older.event())["kind"] == "CLOSING"
            with pytest.raises(StopAsyncIteration):
                await older.event()
            await insert_activities(database, 1)
            assert await newer.titles(1) == ["Activity 0"]


async def test_sigterm_ends_streams_resumably_and_exits_zero(server: ServerProcess) -> None:
    """Open streams get CLOSING and no `complete`, so that clients come back; the process is gone within its time."""
    async with Client(server.url) as client, client.subscribe() as stream:
        await stream.hello()
        server.signal(signal.SIGTERM)

        assert (await stream.event())["kind"] == "CLOSING"
        with pytest.raises((StopAsyncIteration, httpx.RemoteProtocolError)):
            await stream.event()

    assert await server.wait(within=7) == 0


async def test_client_that_leaves_is_noticed(server: ServerProcess) -> None:
    """A dropped socket ends its stream on the server, cleanup and all."""
    async with Client(server.url) as client:

        async def connections() -> str:
            lines = (await client.text("/metrics")).splitlines()
            return next(line for line in lines if line.startswith("sse_connections_active "))

        async with client.subscribe(subscriber="phone") as stream:
            await stream.hello()
            assert await connections() == "sse_connections_active 1.0"

        async def gone() -> bool:
            return await connections() == "sse_connections_active 0.0"

        await wait_until(gone, description="the stream has ended on the server")


async def test_flushed_redis_loses_nobody_anything(server: ServerProcess, database: AsyncEngine, redis: Redis) -> None:
    """I8: FLUSHALL under an open stream costs no activity, before or after."""
    async with Client(server.url) as client, client.subscribe() as stream:
        await stream.hello()
        await insert_activities(database, 2, title="before")
        await stream.titles(2)
        await redis.flushdb()
        await insert_activities(database, 2, title="after")

        assert await stream.titles(2) == ["after 0", "after 1"]


async def test_frozen_leader_is_replaced_in_seconds(
    start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """With one of two servers stopped by SIGSTOP, the other sequences; the frozen one does no harm when it wakes."""
    leader = await start_server().start()
    await wait_until(lambda: "leading: sequencer" in leader.output, description="the first server leads")
    other = await start_server().start()
    async with Client(other.url) as client, client.subscribe() as stream:
        await stream.hello()
        leader.signal(signal.SIGSTOP)
        await insert_activities(database, 2, title="frozen")
        assert await stream.titles(2) == ["frozen 0", "frozen 1"]

        leader.signal(signal.SIGCONT)
        await insert_activities(database, 2, title="awake")
        assert await stream.titles(2) == ["awake 0", "awake 1"]

    async with database.connect() as connection:
        numbers = await connection.execute(sa.select(activities.c.n).order_by(activities.c.cursor))
        assert [row.n for row in numbers] == [1, 2, 3, 4]


async def test_two_servers_show_the_same_stream(
    start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """Whichever server a client is connected to, it gets every activity in the one order of the log."""
    first, second = [await start_server().start() for _ in range(2)]
    async with (
        Client(first.url) as a,
        Client(second.url) as b,
        a.subscribe() as stream_a,
        b.subscribe() as stream_b,
    ):
        await stream_a.hello()
        await stream_b.hello()
        await asyncio.gather(*(insert_activities(database, 5, title=f"batch {k}") for k in range(4)))

        titles = await stream_a.titles(20)

        assert titles == await stream_b.titles(20)
        assert len(set(titles)) == 20


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "UNAUTHENTICATED"),
        ({"Authorization": "Bearer nonsense"}, 401, "UNAUTHENTICATED"),
        ({"Authorization": "Basic YTpi"}, 401, "UNAUTHENTICATED"),
    ],
)
async def test_who_has_no_token_is_told_what_to_send(
    server: ServerProcess, headers: dict[str, str], status: int, code: str
) -> None:
    """401 with a GraphQL-shaped error, for JSON and streams alike."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        for accept in ("application/json", "text/event-stream"):
            answer = await http.post(
                "/graphql", json={"query": "{ __typename }"}, headers={"Accept": accept, **headers}
            )

            assert (status, code) == (answer.status_code, answer.json()["errors"][0]["extensions"]["code"])
            assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_token_without_a_scope_of_ours_is_refused(server: ServerProcess) -> None:
    """403: who they are is known, and that nothing here is for them."""
    bearer = Tokens(secret=SECRET).issue(user="ada", scopes=frozenset(), lasts=timedelta(hours=1))
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {bearer}"}
        answer = await http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)

    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (403, "FORBIDDEN")


async def test_streams_beyond_the_limits_are_refused_before_they_start(
    start_server: Callable[..., ServerProcess],
) -> None:
    """429 for one user, 503 when the process is full, each with Retry-After; a place that is left is free again."""
    server = await start_server(MAX_STREAMS="2", MAX_STREAMS_PER_USER="1").start()

    async def refused(client: Client) -> tuple[int, str]:
        accept = {"Accept": "text/event-stream"}
        answer = await client._http.post("/graphql", json={"query": SUBSCRIPTION}, headers=accept)
        assert int(answer.headers["retry-after"]) > 0
        return answer.status_code, answer.json()["errors"][0]["extensions"]["code"]

    async with Client(server.url) as alice, Client(server.url, "bob") as bob, Client(server.url, "eve") as eve:
        async with alice.subscribe() as first:
            await first.hello()
            assert await refused(alice) == (429, "TOO_MANY_STREAMS")
            async with bob.subscribe() as second:
                await second.hello()
                assert await refused(eve) == (503, "OVERLOADED")

        async def room_again() -> bool:
            return "sse_connections_active 0.0" in await eve.text("/metrics")

        await wait_until(room_again, description="both streams have ended")
        async with alice.subscribe() as again:
            await again.hello()
        assert 'sse_connections_refused_total{reason="user_limit"} 1.0' in await eve.text("/metrics")


async def test_probes_answer(server: ServerProcess) -> None:
    """Liveness, readiness, health and metrics, without a token."""
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as http:
        answers = {path: await http.get(path) for path in ("/livez", "/readyz", "/health/sse", "/metrics")}

    assert {200} == {answer.status_code for answer in answers.values()}
    assert answers["/health/sse"].json()["recommendation"] == "sse"
    assert "process_resident_memory_bytes" in answers["/metrics"].text
    assert 'http_requests_total{method="GET",route="/livez",status="200"}' in answers["/metrics"].text
