"""How long an operation may take: one that is too slow is ended, told so, and hinders nobody after it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import strawberry
from httpx import ASGITransport, AsyncClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from strawberry.types import Info

from schema.executable import ExecutableSchema
from schema.streams import OpenStreams
from schema.view import GraphQLView
from schema.wire import Wire
from tests.support.contexts import Seatless

LONGEST = timedelta(milliseconds=50)


@dataclass(slots=True, weakref_slot=True)
class Asked(Seatless):
    """The context of the made-up schema: which resolvers were ended, and which got done."""

    ended: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    stream_cursor: str | None = None
    wire: Wire | None = None
    document: str = ""


async def never(context: Asked, name: str) -> bool:
    """Wait for what does not come."""
    try:
        return await asyncio.Event().wait()
    finally:
        context.ended.append(name)


@strawberry.type
class Query:
    @strawberry.field
    async def slow(self, info: Info[Asked, None], name: str = "slow") -> bool:
        return await never(info.context, name)

    @strawberry.field
    def quick(self) -> bool:
        return True


@strawberry.type
class Mutation:
    @strawberry.mutation
    def write(self, info: Info[Asked, None]) -> bool:
        info.context.done.append("write")
        return True

    @strawberry.mutation
    async def wait(self, info: Info[Asked, None]) -> bool:
        return await never(info.context, "wait")


@pytest.fixture
def context() -> Asked:
    """What the resolvers of this test did."""
    return Asked()


@pytest.fixture
def refused() -> list[str]:
    """The codes of the refusals of this test."""
    return []


@pytest.fixture
async def http(context: Asked, refused: list[str]) -> AsyncIterator[AsyncClient]:
    """A client of the view, which gives an operation 50 ms."""

    async def authenticate(_: Request) -> str:
        return "ada"

    async def make_context(_: Request, __: str) -> Asked:
        return context

    async def explorer(_: Request) -> Response:
        return PlainTextResponse("the explorer")

    view: GraphQLView[str, Asked] = GraphQLView(
        ExecutableSchema(query=Query, mutation=Mutation),
        authenticate=authenticate,
        make_context=make_context,
        explorer=explorer,
        streams=OpenStreams(heartbeat=timedelta(seconds=10)),
        longest=LONGEST,
        refused=refused.append,
        jitter=lambda: 0.5,
    )
    async with AsyncClient(transport=ASGITransport(app=view), base_url="http://bell/graphql") as client:
        yield client


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json", "text/event-stream"])
async def test_operation_that_is_too_slow_is_ended_and_told_so(
    http: AsyncClient, context: Asked, refused: list[str], accept: str
) -> None:
    """503 with a code and when to come back, in each form; its resolver is cancelled, the refusal counted."""
    answer = await http.post("", json={"query": "{ quick slow }"}, headers={"Accept": accept})

    assert answer.status_code == 503
    [error] = answer.json()["errors"]
    assert error["extensions"] == {"code": "OPERATION_TIMEOUT", "retryAfterSeconds": 3}
    assert "0.05 s" in error["message"]
    assert answer.headers["retry-after"] == "3"
    assert "data" not in answer.json()
    assert context.ended == ["slow"]
    assert refused == ["OPERATION_TIMEOUT"]


async def test_query_by_get_is_ended_too(http: AsyncClient, context: Asked) -> None:
    """And nothing keeps the answer."""
    answer = await http.get("", params={"query": "{ slow }"})

    assert (answer.status_code, answer.headers["cache-control"]) == (503, "private, no-store")
    assert "etag" not in answer.headers
    assert context.ended == ["slow"]


async def test_every_resolver_of_it_is_ended(http: AsyncClient, context: Asked) -> None:
    """Those that waited side by side leave no task behind."""
    before = len(asyncio.all_tasks())
    await http.post("", json={"query": '{ slow a: slow(name: "a") b: slow(name: "b") }'})

    assert sorted(context.ended) == ["a", "b", "slow"]
    assert len(asyncio.all_tasks()) == before


async def test_next_operation_is_served_and_those_beside_it_are(http: AsyncClient, refused: list[str]) -> None:
    """One operation's time is its own."""
    slow, *quick = await asyncio.gather(
        http.post("", json={"query": "{ slow }"}), *(http.post("", json={"query": "{ quick }"}) for _ in range(5))
    )
    after = await http.post("", json={"query": "{ quick }"})

    assert slow.status_code == 503
    assert [answer.json() for answer in (*quick, after)] == [{"data": {"quick": True}}] * 6
    assert refused == ["OPERATION_TIMEOUT"]


async def test_what_a_mutation_has_done_stays_done(http: AsyncClient, context: Asked) -> None:
    """Its fields run one after another: those before the slow one have happened, those after it never do."""
    answer = await http.post("", json={"query": "mutation { write wait again: write }"})

    assert answer.status_code == 503
    assert "what a mutation has done stays done" in answer.json()["errors"][0]["message"]
    assert (context.done, context.ended) == (["write"], ["wait"])
