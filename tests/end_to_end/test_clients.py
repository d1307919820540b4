"""Clients that others wrote, unmodified, against a real server: docs/clients.md shows what each needs."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.browsing import browser
from tests.support.parliament import insert_activities
from tests.support.server import REPOSITORY, Client, ServerProcess, token
from tests.support.waiting import wait_until

CLIENT = REPOSITORY / "client-example"
BUILT = CLIENT / "dist" / "compatibility"
ADAPTERS = CLIENT / "src" / "adapters"
PUBLISH = "mutation ($title: String!) { publishActivity(input: {type: VOTE, title: $title}) { __typename } }"


@pytest.fixture(scope="module")
def script() -> Path:
    """The script that drives the clients, compiled: types and all."""
    compiler = CLIENT / "node_modules" / ".bin" / "tsc"
    if not compiler.exists() or shutil.which("node") is None:
        reason = "the front end's packages are not installed: run 'make pages'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    asyncio.run(_compile(compiler))
    return BUILT / "src" / "adapters" / "testing" / "against.js"


async def _compile(compiler: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        compiler, "--project", "tsconfig.test.json", "--outDir", str(BUILT), cwd=CLIENT, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()


class Lines:
    """What a client says, an object a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[dict[str, Any]] = []

    async def until(self, key: str) -> dict[str, Any]:
        """Read on until a line has `key`."""
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            async for raw in self._process.stdout:
                line: dict[str, Any] = json.loads(raw)
                self.said.append(line)
                if key in line:
                    return line
        raise AssertionError(f"it ended without {key!r}: {self.said}")

    def all(self, key: str) -> list[Any]:
        """Values of `key` so far."""
        return [line[key] for line in self.said if key in line]


@asynccontextmanager
async def running(script: Path, client: str, server: ServerProcess) -> AsyncIterator[Lines]:
    """Run a client until the block is left."""
    process = await asyncio.create_subprocess_exec(
        "node", script, client, f"{server.url}/graphql", token("alice"), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Lines(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def publish(server: ServerProcess, *titles: str) -> None:
    """By the press office."""
    async with Client(server.url, "press-office", "read publish") as press:
        for title in titles:
            await press.ask(PUBLISH, title=title)


async def hello(lines: Lines) -> None:
    """Read on until the stream is open."""
    while (await lines.until("event"))["event"].get("__typename") != "StreamNotice":
        pass


@pytest.mark.parametrize("client", ["graphql-sse", "urql", "urql-fetch", "apollo", "relay"])
async def test_a_client_asks_and_listens(script: Path, server: ServerProcess, client: str) -> None:
    """Its query is answered, by all but graphql-sse as JSON that no cache keeps; three activities arrive in order."""
    async with running(script, client, server) as lines:
        answer = await lines.until("query")
        await hello(lines)
        await publish(server, "one", "two", "three")
        end = await lines.until("end")

    assert answer["errors"] is None
    assert not answer["query"]["feed"]["pageInfo"]["hasNextPage"]
    first, *_, stream = [line for line in lines.said if "response" in line]
    if client != "graphql-sse":
        assert first["type"].split(";")[0] in {"application/json", "application/graphql-response+json"}
    if first["method"] == "GET":
        assert first["cache"].startswith("private")
        assert {name.strip() for name in first["vary"].split(",")} >= {"Accept", "Authorization"}
    assert stream["type"].startswith("text/event-stream")
    assert end["end"] == "done"
    titles = [event["activity"]["title"] for event in lines.all("event") if event and "activity" in event]
    assert titles == ["one", "two", "three"]
    assert [line["errors"] for line in lines.said if "event" in line] == [None] * len(lines.all("event"))


async def test_apollo_keeps_activities_by_their_id(script: Path, server: ServerProcess) -> None:
    """What came by the stream and what came by a query is one object in its cache."""
    async with running(script, "apollo", server) as lines:
        await hello(lines)
        await publish(server, "one", "two", "three")
        kept = (await lines.until("end"))["kept"]

    ids = [event["activity"]["id"] for event in lines.all("event") if "activity" in event]
    assert {f"Activity:{id_}" for id_ in ids} <= set(kept)


@pytest.mark.parametrize("client", ["graphql-sse", "urql", "urql-fetch", "apollo", "relay"])
async def test_a_connection_that_breaks_is_an_error(
    script: Path, start_server: Callable[..., ServerProcess], client: str
) -> None:
    """When the server is killed, the client learns of it, and can go on from its cursor."""
    server = await start_server().start()
    async with running(script, client, server) as lines:
        await hello(lines)
        await server.kill()

        assert (await lines.until("end"))["end"] == "error"


@pytest.mark.parametrize(
    ("client", "end"), [("graphql-sse", "error"), ("apollo", "error"), ("relay", "error"), ("urql-fetch", "complete")]
)
async def test_a_stream_that_the_server_ends_is_told(
    script: Path, start_server: Callable[..., ServerProcess], client: str, end: str
) -> None:
    """When the server drains, there is no `complete`: an error with graphql-sse; urql's own parser takes it for one."""
    server = await start_server().start()
    async with running(script, client, server) as lines:
        await hello(lines)
        await server.stop()

        assert (await lines.until("end"))["end"] == end


async def test_curl_shows_the_stream_at_once(server: ServerProcess) -> None:
    """By the script as it is; with a cursor it goes on from there."""
    arguments = ["sh", str(ADAPTERS / "curl.sh"), f"{server.url}/graphql", token("alice")]
    async with _curl(*arguments) as read_until:
        opening = await read_until("StreamNotice")
        await publish(server, "by curl")
        await read_until("by curl")
    cursor = next(line.removeprefix("id: ") for line in opening.splitlines() if line.startswith("id: "))
    async with _curl(*arguments, cursor) as read_until:
        again = await read_until("by curl")

    assert opening.startswith(": stream open\n")
    assert f"id: {cursor}\n" in again


@asynccontextmanager
async def _curl(*arguments: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Run it until the block is left; gives what reads until a line holds some words."""
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)

    async def read_until(words: str) -> str:
        assert process.stdout is not None
        text = ""
        async with asyncio.timeout(20):
            while words not in text:
                text += (await process.stdout.readline()).decode()
        return text

    try:
        yield read_until
    finally:
        process.kill()
        await process.wait()


async def test_an_event_source_resumes_by_itself(
    start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """The browser's own EventSource, after a restart of the server: what happened before it was back shows, too."""
    server = await start_server().start()
    async with browser("page") as context:
        await context.set_extra_http_headers({"Authorization": f"Bearer {token('alice')}"})
        page = await context.new_page()
        await page.route("**/event-source.html", lambda route: route.fulfill(path=ADAPTERS / "event-source.html"))
        await page.goto(f"{server.url}/event-source.html")
        await expect(page.locator("#state")).to_have_text("live")
        await publish(server, "Before the restart")
        await expect(page.locator("li")).to_have_text(["Before the restart"])
        await server.stop()
        await context.set_offline(True)  # until the log has gone on: a stream that begins at the head would miss it
        await insert_activities(database, 1)
        again = await start_server(PORT=server.url.rpartition(":")[2]).start()
        async with Client(again.url) as reader:

            async def sequenced() -> bool:
                feed = (await reader.ask("{ feed(first: 1) { nodes { title } } }"))["feed"]
                return [node["title"] for node in feed["nodes"]] == ["Activity 0"]

            await wait_until(sequenced, description="the feed shows it")
        await context.set_offline(False)

        await expect(page.locator("li")).to_have_text(["Activity 0", "Before the restart"])
