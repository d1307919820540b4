"""Every fault against every kind of client, on real processes: nothing is lost silently.

`WRITE_DOCS=1` renews the table in docs/fault-matrix.md from what was found.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.cursor import Cursor
from streams.keys import Keys
from tests.support.arena import KINDS, Arena, arena
from tests.support.server import Client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)
FOUND: dict[str, dict[str, str]] = {}


@pytest.fixture
async def here() -> AsyncIterator[Arena]:
    """Servers and three clients."""
    async with arena() as made:
        yield made


async def nothing(_: Arena) -> None:
    """No fault: what the others are compared with."""


async def kill_server(here: Arena) -> None:
    """Kill -9, and another process in its place."""
    assert here.server is not None
    await here.server.kill()
    await here.publish("while the server is dead")
    await here.start_server()


async def end_server(here: Arena) -> None:
    """SIGTERM: streams end with CLOSING, the process exits 0, another takes its place."""
    assert here.server is not None
    here.server.signal(signal.SIGTERM)
    assert await here.server.wait() == 0
    assert all(client.closings for client in here.clients)
    await here.publish("while there is no server")
    await here.start_server()


async def stop_redis(here: Arena) -> None:
    """Redis stopped for some seconds: advice to poll within three, polls and streams served from PostgreSQL."""
    here.stop_redis()
    stopped = time.monotonic()

    async def advised() -> bool:
        return bool((await here.http("/health/sse"))["recommendation"] == "polling")

    await wait_until(advised, description="clients are told to poll", every=0.1)
    assert time.monotonic() - stopped < 4  # two seconds of evidence, and the second of a sample
    await here.publish("while Redis is away")
    assert here.server is not None
    async with Client(here.server.url) as client:

        async def polling_keeps_up() -> bool:
            query = '{ updates(since: "0-0", first: 100) { events { cursor } } feed { head nodes { title } } }'
            polled = await client.ask(query)
            newest = polled["feed"]["nodes"][1]["title"]
            return bool(newest == here.published[-1]) and bool(
                polled["updates"]["events"][-1]["cursor"] == polled["feed"]["head"]
            )

        await wait_until(polling_keeps_up, description="feed and updates serve from PostgreSQL", every=0.1)
    here.start_redis()


async def flush_redis(here: Arena) -> None:
    """FLUSHALL under open streams, and a second one while clients come back."""
    await here.redis.flushall()
    await here.publish("after the first flush")
    here.proxies["http"].cut()
    await here.redis.flushall()


async def restart_redis(here: Arena) -> None:
    """Redis crashes and comes back with its append-only file."""
    here.stop_redis(crash=True)
    here.start_redis()


async def lose_redis(here: Arena) -> None:
    """Redis crashes and comes back empty, while clients come back too."""
    here.stop_redis(crash=True)
    here.proxies["http"].cut()
    here.start_redis(empty=True)


WRITES = """
mutation A { publishActivity(input: {type: SPEECH, title: "never"}) { __typename } }
mutation B { markRead(activityIds: ["1", "2"]) { readState { version } } }
mutation C { markAllRead(through: "1-0") { readState { version } } }
mutation D { redriveDeadLetter(id: "1") { __typename } }
mutation E { discardDeadLetter(id: "1") { __typename } }
"""


async def stop_postgres(here: Arena) -> None:
    """PostgreSQL stopped for some seconds: streams stay open, writes fail with a code, nothing is half-done."""
    connects = [client.connects for client in here.clients]
    here.stop_postgres()
    assert here.server is not None
    async with Client(here.server.url, scope="read publish ops") as client:
        for write in WRITES.strip().splitlines():
            refused = await client.post(write)
            assert refused["errors"][0]["extensions"]["code"] == "UNAVAILABLE", refused

        async def noticed() -> bool:
            health = await here.http("/health/sse")
            return not health["database"] and health["redis"] and bool(health["recommendation"] == "sse")

        await wait_until(noticed, description="health says that PostgreSQL is away, and that streams go on")
        here.start_postgres()
        assert [client.connects for client in here.clients] == connects

        async def answers() -> bool:
            return "errors" not in await client.post("{ feed { unreadCount } }")

        await wait_until(answers, description="PostgreSQL is back")
        feed = (await client.ask("{ feed(first: 100) { unreadCount nodes { title } edges { isRead } } }"))["feed"]
        assert not any(edge["isRead"] for edge in feed["edges"])
        assert feed["unreadCount"] == len(feed["nodes"])
        assert "never" not in {node["title"] for node in feed["nodes"]}


async def cut_connections(here: Arena) -> None:
    """Every client's connection is cut, several times, in the middle of deliveries."""
    for k in range(5):
        await here.publish(f"before cut {k}", 20)
        here.proxies["http"].cut()


async def freeze_clients(here: Arena) -> None:
    """Clients read nothing while megabytes are published, longer than the server bears."""
    for client in here.clients:
        client.reading.clear()
    await here.publish("long " * 90, 300)
    await wait_until(lambda: _ended(here), description="the server ends streams that take nothing", within=40)
    for client in here.clients:
        client.reading.set()


async def _ended(here: Arena) -> bool:
    return await here.metric("sse_connections_closed_total") >= 1


async def poison(here: Arena) -> None:
    """Two entries that nobody can be shown: one cannot be decoded, the other not rendered."""
    info: Any = await here.redis.xinfo_stream(Keys().stream)
    last = Cursor.parse(info["last-generated-id"])
    entries: Any = await here.redis.xrange(Keys().stream, str(last), str(last))
    [(_, fields)] = entries
    bad = orjson.loads(fields[b"data"]) | {"title": None, "type": "SPEECH"}
    more = {**fields, b"prev": str(last).encode(), b"data": orjson.dumps(bad)}
    await here.redis.xadd(Keys().stream, more, id=str(Cursor(last + 1)))
    await here.redis.xadd(Keys().stream, {"data": "garbage"}, id=str(Cursor(last + 2)))
    for client in here.clients:
        await wait_until(lambda client=client: len(client.gaps) >= 2, description="told")  # type: ignore[misc]
    assert await here.metric("sse_delivery_failure_total") >= 1


async def trim(here: Arena) -> None:
    """While clients are away, more happens than the ring holds, and the stream is trimmed to nothing."""
    assert here.server is not None
    here.kept_out = True
    await here.server.kill()
    await here.start_server(RING_SIZE="10")
    before = await here.redis.xlen(Keys().stream)
    await here.publish("trimmed", 200)

    async def appended() -> bool:
        return bool(await here.redis.xlen(Keys().stream) == before + 201)

    await wait_until(appended, description="the stream has what is to be trimmed")
    assert await here.redis.xtrim(Keys().stream, maxlen=0, approximate=False) == before + 201
    here.kept_out = False


FAULTS: dict[str, Callable[[Arena], Awaitable[None]]] = {
    "none": nothing,
    "kill -9 of the server": kill_server,
    "SIGTERM to the server": end_server,
    "Redis stopped, started again": stop_redis,
    "FLUSHALL, twice": flush_redis,
    "Redis crashes, restarts with its data": restart_redis,
    "Redis crashes, restarts empty": lose_redis,
    "PostgreSQL stopped, started again": stop_postgres,
    "the client's TCP connection cut": cut_connections,
    "the client frozen": freeze_clients,
    "poison entries": poison,
    "stream trimmed past the position": trim,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_lost_silently(here: Arena, fault: str) -> None:
    """What was published and matched is what each client got, in order; gaps are told; nothing is unaccounted for."""
    await here.publish("before")
    await here.all_have("before 2")
    await FAULTS[fault](here)
    await here.publish("after")
    await here.all_have("after 2")

    FOUND[fault] = here.verify()

    async def accounted() -> bool:
        return await here.metric("sse_entries_unaccounted") == 0

    await wait_until(accounted, description="sse_entries_unaccounted is 0")
    assert await here.metric("sse_entries_total") > 0


def table(found: dict[str, dict[str, str]]) -> str:
    """The matrix as Markdown."""
    rows = [f"| {fault} | {' | '.join(cells[kind] for kind in KINDS)} |" for fault, cells in found.items()]
    return "\n".join([f"| fault | {' | '.join(f'client {kind}' for kind in KINDS)} |", "|---" * 4 + "|", *rows])


async def test_the_matrix_in_the_docs_is_what_was_found(repository: Path) -> None:
    """The table that readers see is that of this run."""
    path = repository / "docs" / "fault-matrix.md"
    text = await asyncio.to_thread(path.read_text)
    start, end = text.index("| fault |"), text.rindex("|\n") + 1
    if os.environ.get("WRITE_DOCS") and FOUND.keys() == FAULTS.keys():
        await asyncio.to_thread(path.write_text, text[:start] + table(FOUND) + text[end:])
        return
    for fault, row in zip(FOUND, table(FOUND).splitlines()[2:], strict=True):
        assert row in text, f"{fault}: run with WRITE_DOCS=1 if this is right"
