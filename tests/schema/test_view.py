"""GraphQL over HTTP and SSE on a real uvicorn: what each client needs, and what happens when it leaves."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import pytest
import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from strawberry.types import Info

from schema.connection import Connection
from schema.executable import ExecutableSchema
from schema.refusals import ExpectedError, HttpRefusal, StreamEnded
from schema.serving import Server
from schema.sse_response import LAST_WORD
from schema.streams import OpenStreams
from schema.view import GraphQLView
from schema.wire import Wire
from tests.support.contexts import Seatless
from tests.support.waiting import wait_until

URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
EVENTS = "text/event-stream"
JSON_ONLY = {"Accept": "application/json"}


@dataclass(slots=True)
class Seen:
    """What generators of the test schema did."""

    started: int = 0
    cleaned: int = 0
    produced: int = 0


@dataclass(slots=True, weakref_slot=True)
class TestContext(Seatless):
    """The context of the test schema."""

    __test__ = False
    seen: Seen
    streams: OpenStreams
    stream_cursor: str | None = field(default=None)
    wire: Wire | None = field(default=None)
    document: str = ""


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def fault(self) -> str:
        raise RuntimeError("password=secret")

    @strawberry.field
    def refused(self) -> str:
        raise ExpectedError("FORBIDDEN", "Ask for the scope 'read'.")


@strawberry.type
class Mutation:
    @strawberry.mutation
    def touch(self) -> bool:
        return True


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, info: Info[TestContext, None], to: int = 3) -> AsyncIterator[int]:
        for number in range(to):
            info.context.stream_cursor = f"{number}-0"
            yield number

    @strawberry.subscription
    async def faulty(self) -> AsyncIterator[int]:
        yield 0
        raise RuntimeError("password=secret")

    @strawberry.subscription
    async def ended(self) -> AsyncIterator[int]:
        yield 0
        raise StreamEnded("shutting down")

    @strawberry.subscription
    async def refused(self, temporary: bool) -> AsyncIterator[int]:
        raise ExpectedError("UNAVAILABLE" if temporary else "FORBIDDEN", "No.", temporary=temporary)
        yield 0

    @strawberry.subscription
    async def forever(self, info: Info[TestContext, None], size: int = 0) -> AsyncIterator[str]:
        seen = info.context.seen
        seen.started += 1
        try:
            while size:
                seen.produced += 1
                yield "x" * size
            yield "first"
            await info.context.streams.draining.wait()
            raise StreamEnded("draining")
        finally:
            await asyncio.sleep(0.01)
            seen.cleaned += 1


@dataclass(frozen=True, slots=True)
class Running:
    """A server, and what it saw."""

    url: str
    http: httpx.AsyncClient
    seen: Seen
    streams: OpenStreams
    server: Server

    async def post(self, query: str, accept: str = "application/json", **more: Any) -> httpx.Response:
        """POST an operation and read the whole answer."""
        return await self.http.post("/graphql", json={"query": query, **more}, headers={"Accept": accept})


@asynccontextmanager
async def serving(
    *, heartbeat: timedelta = timedelta(seconds=10), stalled: timedelta = timedelta(seconds=10)
) -> AsyncIterator[Running]:
    """The view on a free port of loopback, in this test's event loop."""
    seen, streams = Seen(), OpenStreams(heartbeat=heartbeat)

    async def authenticate(request: Request) -> str:
        match request.headers.get("authorization"):
            case "no":
                raise HttpRefusal(401, "UNAUTHENTICATED", "Send your token.")
            case "full":
                raise HttpRefusal(503, "UNAVAILABLE", "Try later.", retry_after=timedelta(seconds=7))
        return "ada"

    async def make_context(_: Request, __: str) -> TestContext:
        return TestContext(seen, streams)

    async def explorer(_: Request) -> Response:
        return PlainTextResponse("the explorer")

    view: GraphQLView[str, TestContext] = GraphQLView(
        ExecutableSchema(query=Query, mutation=Mutation, subscription=Subscription),
        authenticate=authenticate,
        make_context=make_context,
        explorer=explorer,
        streams=streams,
        stalled=stalled,
        body_limit=2_000,
        jitter=lambda: 0.0,
    )
    config = uvicorn.Config(
        Starlette(routes=[Route("/graphql", view)]), port=0, http=Connection, lifespan="off", log_config=None
    )
    server = Server(config, drain=lambda: streams.drain(timedelta(seconds=2)), linger=timedelta(milliseconds=200))
    task = asyncio.create_task(server._serve())
    await wait_until(lambda: server.started or task.done(), description="serving")
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=10) as http:
        yield Running(url, http, seen, streams, server)
    server.should_exit = True
    async with asyncio.timeout(10):
        await task


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    """A running server."""
    async with serving() as server:
        yield server


async def test_subscription_frames_byte_by_byte(running: Running) -> None:
    """A comment and the delay, then `next` events with their cursors, then `complete` with an empty data line."""
    answer = await running.post("subscription { count(to: 2) }", EVENTS)

    assert answer.content == (
        b": stream open\nretry: 2000\n\n"
        b'id: 0-0\nevent: next\ndata: {"data":{"count":0}}\n\n'
        b'id: 1-0\nevent: next\ndata: {"data":{"count":1}}\n\n'
        b"event: complete\ndata:\n\n"
    )
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"


async def test_first_bytes_come_before_the_first_event(running: Running) -> None:
    """A client behind a proxy knows at once that its stream is open."""
    async with running.http.stream(
        "POST", "/graphql", json={"query": "subscription { count(to: 0) }"}, headers={"Accept": EVENTS}
    ) as answer:
        first = await anext(answer.aiter_raw())

    assert first.startswith(b": stream open\n")


async def test_silent_stream_has_heartbeats() -> None:
    """Comments keep proxies and clients from giving up on a stream with nothing to say."""
    async with (
        serving(heartbeat=timedelta(milliseconds=30)) as running,
        running.http.stream(
            "POST", "/graphql", json={"query": "subscription { forever }"}, headers={"Accept": EVENTS}
        ) as answer,
    ):
        received = b""
        async for chunk in answer.aiter_raw():
            received += chunk
            if received.endswith(b":\n\n:\n\n"):
                break

    assert received.count(b"event:") == 1


async def test_fault_of_the_source_ends_the_stream_without_complete(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """The client reconnects; it is told an ID, and the log has the traceback under it."""
    answer = await running.post("subscription { faulty }", EVENTS)

    assert b"event: complete" not in answer.content
    assert b"secret" not in answer.content
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.__dict__["incident"].encode() in answer.content
    assert record.exc_info


async def test_stream_that_ends_itself_has_no_complete(running: Running) -> None:
    """StreamEnded means: come back."""
    answer = await running.post("subscription { ended }", EVENTS)

    assert answer.content.endswith(b": shutting down\n\n")


async def test_end_does_not_arrive_together_with_the_last_event(running: Running) -> None:
    """graphql-sse misses an end that comes in the same read as an event, and would hang instead of reconnecting."""
    clock = asyncio.get_running_loop().time
    async with running.http.stream(
        "POST", "/graphql", json={"query": "subscription { ended }"}, headers={"Accept": EVENTS}
    ) as answer:
        last = clock()
        async for _ in answer.aiter_raw():
            last = clock()

    assert clock() - last > LAST_WORD.total_seconds() / 2


async def test_refusal_of_a_stream_says_whether_to_come_back(running: Running) -> None:
    """For good: the error and `complete`; for now: no `complete`."""
    for_good = await running.post("subscription { refused(temporary: false) }", EVENTS)
    for_now = await running.post("subscription { refused(temporary: true) }", EVENTS)

    assert b'"code":"FORBIDDEN"' in for_good.content
    assert b"event: complete" in for_good.content
    assert b"event: complete" not in for_now.content


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription {", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription ($to: Int!) { count(to: $to) }", "BAD_USER_INPUT"),
    ],
)
async def test_wrong_operation_is_told_on_the_stream_and_completed(running: Running, query: str, code: str) -> None:
    """The protocol wants errors before execution as `next` on an accepted stream; nobody should retry them."""
    answer = await running.post(query, EVENTS)

    assert answer.status_code == 200
    assert f'"code":"{code}"'.encode() in answer.content
    assert answer.content.endswith(b"event: complete\ndata:\n\n")


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (URQL, "application/graphql-response+json"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("application/json;q=0.5, application/graphql-response+json", "application/graphql-response+json"),
        ("text/event-stream;q=0, */*", "application/json"),
        ("text/event-stream, application/json;q=0.9", "text/event-stream"),
    ],
)
async def test_query_is_answered_in_the_form_that_is_preferred(running: Running, accept: str, media_type: str) -> None:
    """Order and weights of Accept count; urql, which lists everything, gets JSON for its queries."""
    answer = await running.post("{ hello }", accept)

    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == media_type
    assert b"hello world" in answer.content


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (
            {"json": {"query": "subscription { count }"}, "headers": {"Accept": "application/json"}},
            406,
            "NOT_ACCEPTABLE",
        ),
        ({"json": {"query": "{ hello }"}, "headers": {"Accept": "image/png"}}, 406, "NOT_ACCEPTABLE"),
        ({"method": "GET", "params": {"query": "mutation { touch }"}}, 405, "METHOD_NOT_ALLOWED"),
        ({"method": "PUT", "json": {"query": "{ hello }"}}, 405, None),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "BAD_REQUEST"),
        ({"json": [{"query": "{ hello }"}]}, 400, "BAD_REQUEST"),
        ({"json": {"query": 5}}, 400, "BAD_REQUEST"),
        ({"json": {"query": "{ hello }", "variables": []}}, 400, "BAD_REQUEST"),
        ({"content": b"query=1", "headers": {"Content-Type": "text/plain"}}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({"content": b" " * 3_000, "headers": {"Content-Type": "application/json"}}, 413, "PAYLOAD_TOO_LARGE"),
        ({"json": {"query": "{ hello }"}, "headers": {"Authorization": "no"}}, 401, "UNAUTHENTICATED"),
        ({"json": {"query": "{ hello }"}, "headers": {"Authorization": "full"}}, 503, "UNAVAILABLE"),
    ],
)
async def test_request_that_is_not_served_is_told_why(
    running: Running, request_: dict[str, Any], status: int, code: str | None
) -> None:
    """Each refusal has its status, a GraphQL-shaped body, a code and a sentence."""
    answer = await running.http.request(request_.pop("method", "POST"), "/graphql", **request_)

    assert answer.status_code == status
    if code is not None:
        [error] = answer.json()["errors"]
        assert error["extensions"]["code"] == code
        assert error["message"].endswith(".")
    if status == 405:
        assert "POST" in answer.headers["allow"]
    if status == 503:
        assert answer.headers["retry-after"] == "7"


async def test_refused_event_source_is_told_to_try_again(running: Running) -> None:
    """503 would stop an EventSource for good: it gets 200, a delay and an end without `complete`."""
    headers = {"Authorization": "full", "Accept": EVENTS}
    answer = await running.http.get("/graphql", params={"query": "subscription { count }"}, headers=headers)

    assert answer.status_code == 200
    assert b"retry: 7000\n" in answer.content
    assert b"complete" not in answer.content


async def test_browser_gets_the_explorer_and_a_query_by_get_its_answer(running: Running) -> None:
    """Without a query, whoever prefers HTML is a person."""
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    page = await running.http.get("/graphql", headers=browser)
    answer = await running.http.get("/graphql", params={"query": "{ hello }"}, headers=browser)

    assert page.text == "the explorer"
    assert answer.json() == {"data": {"hello": "hello world"}}
    assert answer.headers["vary"] == "Accept, Authorization"
    assert answer.headers["cache-control"] == "private, no-cache"


async def test_poll_that_found_nothing_new_has_no_body(running: Running) -> None:
    """By GET, a whole answer has a tag; one with errors, or by POST, is not to be kept."""
    query = {"query": "{ hello }"}
    first = await running.http.get("/graphql", params=query)
    again = await running.http.get("/graphql", params=query, headers={"If-None-Match": first.headers["etag"]})
    fault = await running.http.get("/graphql", params={"query": "{ fault }"})

    assert (again.status_code, again.content) == (304, b"")
    for answer in (fault, await running.post("{ hello }")):
        assert "etag" not in answer.headers
        assert answer.headers["cache-control"] == "private, no-store"


async def test_fault_of_ours_is_masked_and_can_be_found(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    """The client gets an ID and no more; an expected refusal it gets word for word."""
    fault = (await running.post("{ fault }")).json()["errors"][0]
    refused = (await running.post("{ refused }")).json()["errors"][0]

    assert fault["extensions"]["code"] == "INTERNAL"
    assert "secret" not in str(fault)
    assert fault["extensions"]["id"] in caplog.text
    assert (refused["extensions"]["code"], refused["message"]) == ("FORBIDDEN", "Ask for the scope 'read'.")


@pytest.mark.parametrize("size", [0, 100_000], ids=["idle", "blocked in a full socket"])
async def test_cleanup_runs_when_the_client_is_gone(running: Running, size: int) -> None:
    """Awaits in the generator's `finally` complete, whether it waited for an event or for a full socket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
    body = b'{"query": "subscription { forever(size: %d) }"}' % size
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    await reader.readuntil(b"event: next")
    if size:
        produced = -1

        async def stalled() -> bool:
            nonlocal produced
            before, produced = produced, running.seen.produced
            return before == produced

        await wait_until(stalled, description="the socket is full", every=0.1)

    writer.transport.abort()

    await wait_until(lambda: running.seen.cleaned == 1, description="cleaned up")
    await wait_until(lambda: len(running.streams) == 0, description="no stream is left")


async def test_client_that_takes_nothing_is_cut() -> None:
    """A full socket does not hold a stream for ever: after its time the connection is gone, and cleaned up."""
    quick = timedelta(milliseconds=100)
    async with serving(heartbeat=quick, stalled=quick) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]), limit=1_000)
        body = b'{"query": "subscription { forever(size: 100000) }"}'
        writer.write(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        await reader.read(10)

        await wait_until(lambda: running.seen.cleaned == 1, description="cut and cleaned up")
        writer.transport.abort()


async def test_shutdown_ends_streams_without_complete_and_refuses_new_ones() -> None:
    """Draining lets each stream end by itself; the server does not wait for its client."""
    async with serving() as running:
        async with running.http.stream(
            "POST", "/graphql", json={"query": "subscription { forever }"}, headers={"Accept": EVENTS}
        ) as answer:
            chunks = answer.aiter_raw()
            received = await anext(chunks)
            await wait_until(lambda: running.seen.started == 1, description="started")
            running.streams.draining.set()
            refused = await running.post("subscription { count }", EVENTS)
            running.server.should_exit = True
            async for chunk in chunks:
                received += chunk
        assert running.seen.cleaned == 1

    assert refused.status_code == 503
    assert b": draining" in received
    assert b"complete" not in received


async def test_shutdown_does_not_wait_for_a_client_that_reads_nothing() -> None:
    """A full socket is cut when its time is over."""
    async with serving() as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(running.url.rpartition(":")[2]))
        body = b'{"query": "subscription { forever(size: 100000) }"}'
        writer.write(
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        await reader.readuntil(b"event: next")

    assert running.seen.cleaned == 1
    writer.transport.abort()
