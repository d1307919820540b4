"""A process with nothing but the view, for tests that send it signals: prints its port, then who has cleaned up."""

import asyncio
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import strawberry
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from strawberry.types import Info

from schema.connection import Connection
from schema.executable import ExecutableSchema
from schema.refusals import StreamEnded
from schema.serving import Server
from schema.streams import OpenStreams
from schema.view import GraphQLView
from schema.wire import Wire
from tests.support.contexts import Seatless

DRAIN_WITHIN = timedelta(seconds=1)
LINGER = timedelta(milliseconds=500)


@dataclass(slots=True, weakref_slot=True)
class Context(Seatless):
    """What the resolvers get."""

    streams: OpenStreams
    stream_cursor: str | None = None
    wire: Wire | None = None
    document: str = ""


@strawberry.type
class Query:
    hello: str = "world"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def polite(self, info: Info[Context, None]) -> AsyncIterator[str]:
        try:
            yield "first"
            await info.context.streams.draining.wait()
            raise StreamEnded("draining")
        finally:
            await _cleaned("polite")

    @strawberry.subscription
    async def deaf(self) -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            await _cleaned("deaf")

    @strawberry.subscription
    async def flood(self) -> AsyncIterator[str]:
        try:
            while True:
                yield "x" * 100_000
        finally:
            await _cleaned("flood")


async def _cleaned(name: str) -> None:
    await asyncio.sleep(0.01)
    sys.stdout.write(f"{name}\n")


async def _nobody(_: Request) -> None:
    return None


async def _no_page(_: Request) -> Response:
    return PlainTextResponse("no page")


async def _serve() -> None:
    streams = OpenStreams()

    async def make_context(_: Request, __: None) -> Context:
        return Context(streams)

    view: GraphQLView[None, Context] = GraphQLView(
        ExecutableSchema(query=Query, subscription=Subscription),
        authenticate=_nobody,
        make_context=make_context,
        explorer=_no_page,
        streams=streams,
    )
    config = uvicorn.Config(view, port=0, http=Connection, lifespan="off", log_config=None)
    server = Server(config, drain=lambda: streams.drain(DRAIN_WITHIN), linger=LINGER)
    serving = asyncio.create_task(server.serve())
    while not (server.started or serving.done()):  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    sys.stdout.write(f"{server.servers[0].sockets[0].getsockname()[1]}\n")
    await serving


if __name__ == "__main__":
    asyncio.run(_serve())
