"""What a stream leaves behind when its client has gone: nothing that only the garbage collector would free."""

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest
import uvicorn
from sqlalchemy.ext.asyncio import AsyncEngine

from app import build
from resolvers.stream import LiveStream
from schema.connection import Connection, bounded
from schema.context import Context
from schema.serving import Server
from schema.sse_response import Streaming
from schema.subscribing import SubscriptionSource
from schema.wire import Wire
from settings import Settings
from streams.consumer import Consumer
from tests.support.arena import SUBSCRIPTION
from tests.support.parliament import insert_activities
from tests.support.server import SECRET, Client
from tests.support.waiting import wait_until

OF_A_STREAM = (LiveStream, Consumer, Wire, Streaming, SubscriptionSource, Context, Connection)
STREAMS = 5


@asynccontextmanager
async def serving(database_url: str, redis_url: str) -> AsyncIterator[str]:
    """The whole server, as `cli serve` composes it, in this test's event loop; its URL."""
    settings = Settings.model_validate(
        {"database_url": database_url, "redis_url": redis_url, "auth_secret": SECRET, "database_pool": 4}
    )
    made = build(settings)
    config = uvicorn.Config(made.app, port=0, http=bounded(made.bounds), lifespan="on", log_config=None)
    server = Server(config, drain=made.drain, linger=timedelta(seconds=2))
    task = asyncio.create_task(server._serve())
    await wait_until(lambda: server.started or task.done(), description="serving")
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    async with asyncio.timeout(20):
        await task
    assert not made.failures


@pytest.fixture
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    """How many objects of a stream there are, by type."""
    kinds = (next((kind for kind in OF_A_STREAM if isinstance(one, kind)), None) for one in gc.get_objects())
    return Counter(kind.__name__ for kind in kinds if kind is not None)


@pytest.mark.usefixtures("_no_collector")
async def test_stream_that_is_over_is_freed_without_the_collector(
    database: AsyncEngine, database_url: str, redis_url: str
) -> None:
    """In its seat, in recovery or confirming: full collections are rare and slow, so none may be needed."""
    ways = [{"subscriber": "phone"}, {"since": "1-0"}, {"subscriber": "tablet", "confirm": "CLIENT"}, {}]
    usual = {"confirm": "SOCKET"}
    async with serving(database_url, redis_url) as url:
        await insert_activities(database, 3)
        for way in ways:
            async with Client(url) as client, AsyncExitStack() as stack:
                streams = [
                    await stack.enter_async_context(client.subscribe(query=SUBSCRIPTION, **usual | way))
                    for _ in range(STREAMS)
                ]
                for stream in streams[-1:]:
                    await stream.hello()
                assert alive()["LiveStream"] > 0
            # A loop of the fan-out may still name the seat that it looked at last.
            await wait_until(
                lambda: max(alive().values(), default=0) <= 1, description=f"nothing is left of {way}", every=0.2
            )
