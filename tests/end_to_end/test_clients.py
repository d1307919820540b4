"""Clients that others wrote, unmodified, at a real server and through nginx: docs/clients.md shows what each needs."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.nginx import Way
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
async def running(script: Path, client: str, way: Way) -> AsyncIterator[Lines]:
    """Run a client until the block is left."""
    process = await asyncio.create_subprocess_exec(
        "node", script, client, f"{way.url}/graphql", token("alice"),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, **way.trust},
    )  # fmt: skip
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
async def test_a_client_asks_and_listens(script: Path, way: Way, client: str) -> None:
    """Its query is answered, by all but graphql-sse as JSON that no cache keeps; three activities arrive in order."""
    async with running(script, client, way) as lines:
        answer = await lines.until("query")
        await hello(lines)
        await publish(way.server, "one", "two", "three")
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


async def test_apollo_keeps_activities_by_their_id(script: Path, way: Way) -> None:
    """What came by the stream and what came by a query is one object in its cache."""
    async with running(script, "apollo", way) as lines:
        await hello(lines)
        await publish(way.server, "one", "two", "three")
        kept = (await lines.until("end"))["kept"]

    ids = [event["activity"]["id"] for event in lines.all("event") if "activity" in event]
    assert {f"Activity:{id_}" for id_ in ids} <= set(kept)


@pytest.mark.parametrize("client", ["graphql-sse", "urql", "urql-fetch", "apollo", "relay"])
async def test_a_connection_that_breaks_is_an_error(script: Path, way: Way, client: str) -> None:
    """When the server is killed, the client learns of it, and can go on from its cursor."""
    async with running(script, client, way) as lines:
        await hello(lines)
        await way.server.kill()

        assert (await lines.until("end"))["end"] == "error"


@pytest.mark.parametrize(
    ("client", "end"), [("graphql-sse", "error"), ("apollo", "error"), ("relay", "error"), ("urql-fetch", "complete")]
)
async def test_a_stream_that_the_server_ends_is_told(script: Path, way: Way, client: str, end: str) -> None:
    """When the server drains, there is no `complete`: an error with graphql-sse; urql's own parser takes it for one."""
    async with running(script, client, way) as lines:
        await hello(lines)
        await way.server.stop()

        assert (await lines.until("end"))["end"] == end


async def test_curl_shows_the_stream_at_once(way: Way) -> None:
    """By the script as it is, which takes HTTP/2 where nginx offers it; with a cursor it goes on from there."""
    arguments = ["sh", str(ADAPTERS / "curl.sh"), f"{way.url}/graphql", token("alice")]
    async with _curl(way, *arguments) as read_until:
        opening = await read_until("StreamNotice")
        await publish(way.server, "by curl")
        await read_until("by curl")
    cursor = next(line.removeprefix("id: ") for line in opening.splitlines() if line.startswith("id: "))
    async with _curl(way, *arguments, cursor) as read_until:
        again = await read_until("by curl")

    assert opening.startswith(": stream open\n")
    assert f"id: {cursor}\n" in again
    if (proxy := way.nginx) is not None:
        await wait_until(lambda: len(proxy.answered()) == 2, description="nginx saw both end")
        assert all(line.startswith("HTTP/2.0 POST /graphql ") for line in proxy.answered())


@asynccontextmanager
async def _curl(way: Way, *arguments: str) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """Run it until the block is left; gives what reads until a line holds some words."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, env={**os.environ, **way.trust}
    )

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
