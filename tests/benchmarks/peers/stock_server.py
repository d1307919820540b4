"""A server process: the schema's part that the benchmark uses, on strawberry.asgi, without anything of ours."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any, NewType

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL

Cursor = NewType("Cursor", str)
queues: set[asyncio.Queue[dict[str, Any]]] = set()


@strawberry.type
class MP:
    id: strawberry.ID
    name: str
    party: str | None
    riding: str | None


@strawberry.type
class Bill:
    id: strawberry.ID
    number: str
    title: str


@strawberry.type
class Activity:
    id: strawberry.ID
    type: str
    title: str
    mp: MP
    bill: Bill


@strawberry.interface
class FeedEvent:
    cursor: Cursor


@strawberry.type
class ActivityAdded(FeedEvent):
    activity: Activity
    published_at: str
    delivery_attempt: int


@strawberry.type
class StreamNotice(FeedEvent):
    kind: str


@strawberry.input
class ActivityFilter:
    mp_ids: list[strawberry.ID] | None = None


@strawberry.type
class Query:
    hello: str = "world"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def activity_added(
        self,
        since: Cursor | None = None,
        filter: ActivityFilter | None = None,  # noqa: A002 - a GraphQL argument
        subscriber: strawberry.ID | None = None,
    ) -> AsyncIterator[FeedEvent]:
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        queues.add(queue)
        try:
            yield StreamNotice(cursor=Cursor("0-0"), kind="HELLO")
            while True:
                yield _added(await queue.get())
        finally:
            queues.discard(queue)


def _added(event: dict[str, Any]) -> ActivityAdded:
    activity = event["activity"]
    return ActivityAdded(
        cursor=Cursor(event["cursor"]),
        published_at=event["publishedAt"],
        delivery_attempt=event["deliveryAttempt"],
        activity=Activity(**{**activity, "mp": MP(**activity["mp"]), "bill": Bill(**activity["bill"])}),
    )


async def publish(request: Request) -> Response:
    """POST a list of events."""
    for event in await request.json():
        for queue in queues:
            queue.put_nowait(event)
    return Response(status_code=204)


def main() -> None:
    """Serve on the port that the command line names."""
    schema = strawberry.Schema(
        query=Query,
        subscription=Subscription,
        types=[ActivityAdded, StreamNotice],
        config=StrawberryConfig(scalar_map={Cursor: strawberry.scalar(name="Cursor", serialize=str, parse_value=str)}),
    )
    view = GraphQL[None, None](schema, subscription_protocols=[GRAPHQL_SSE_PROTOCOL])
    app = Starlette(routes=[Route("/publish", publish, methods=["POST"]), Route("/graphql", view)])
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning", backlog=4096
    )


if __name__ == "__main__":
    main()
