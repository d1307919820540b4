"""The client library against real servers: it polls when it must, comes back, and shows everything once."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.following import Follower
from tests.support.parliament import insert_activities
from tests.support.proxy import Proxy, proxied
from tests.support.server import Client, ServerProcess, token
from tests.support.waiting import wait_until

SPEED = 6
"""Every wait of the client is a sixth: the stream is tried again after 10 s, and late when nothing comes for 5 s."""
OFTEN = {"BOOKMARK_EVERY": "0.5"}
"""So the server has to say more often how things are."""


WHERE_IT_STANDS = """
mutation { acknowledge(through: "0-0", subscriber: "desk") { ... on Acknowledged { position pending } } }
"""


class Doors:
    """What leads to Redis and to the server, each of which can be shut."""

    def __init__(self, redis_url: str) -> None:
        self._redis = urlsplit(redis_url)
        self.redis_is_away = False
        self.server: ServerProcess | None = None
        self.to_redis: Proxy
        self.to_server: Proxy

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        self.to_redis = await self._stack.enter_async_context(proxied(self._redis_door))
        self.to_server = await self._stack.enter_async_context(proxied(self._server_door))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _redis_door(self) -> Path | int:
        if self.redis_is_away:
            raise OSError("Redis is away")
        return Path(self._redis.path) if self._redis.scheme == "unix" else self._redis.port or 6379

    def _server_door(self) -> int:
        if self.server is None:
            raise OSError("no server")
        return int(self.server.url.rpartition(":")[2])

    def shut_redis(self) -> None:
        self.redis_is_away = True
        self.to_redis.cut()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.to_server.port}"


@pytest.fixture
async def doors(redis_url: str) -> AsyncIterator[Doors]:
    """Proxies before Redis and the server."""
    async with Doors(redis_url) as made:
        yield made


async def test_the_client_follows_advice_and_comes_back(
    doors: Doors, start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """Redis goes: the client polls as it is told, and shows what is inserted. Redis returns: back on the stream."""
    doors.server = await start_server(REDIS_URL=f"redis://127.0.0.1:{doors.to_redis.port}/0", **OFTEN).start()
    async with Follower(doors.url, token=token("alice"), speed=SPEED) as client:
        await client.until(status="live")
        await insert_activities(database, 3, title="before")
        await client.shows("before 2")

        doors.shut_redis()
        await client.until(mode="polling")
        await insert_activities(database, 120, title="meanwhile")
        await client.shows("meanwhile 119")
        doors.redis_is_away = False
        await client.until(mode="sse", status="live", within=60)
        await insert_activities(database, 3, title="after")
        await client.shows("after 2")

    expected = [f"{when} {k}" for when, many in (("before", 3), ("meanwhile", 120), ("after", 3)) for k in range(many)]
    assert client.titles == expected
    assert client.switches[0] == ("polling", "server advice")
    assert client.last["counters"]["gaps"] == 0


async def test_the_client_outlives_its_server(
    doors: Doors, start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """A server is killed and another takes its place: what was inserted in between is shown once, in order."""
    doors.server = await start_server(**OFTEN).start()
    async with Follower(doors.url, token=token("alice"), speed=SPEED) as client:
        await client.until(status="live")
        await insert_activities(database, 3, title="before")
        await client.shows("before 2")

        doors.server.signal(signal.SIGKILL)
        await doors.server.wait()
        doors.server = None
        await client.until(mode="polling")
        await insert_activities(database, 3, title="meanwhile")
        doors.server = await start_server(**OFTEN).start()
        await client.shows("meanwhile 2")
        await client.until(mode="sse", status="live", within=60)
        await insert_activities(database, 3, title="after")
        await client.shows("after 2")

    assert client.titles == [f"{when} {k}" for when in ("before", "meanwhile", "after") for k in range(3)]
    assert client.switches == [("polling", "stream failed"), ("sse", "stream proven")]


async def test_a_drained_server_and_a_cut_connection_are_no_switch(
    doors: Doors, start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """A planned end is no failure, and one cut is not enough to poll: the client is back from its cursor at once."""
    doors.server = await start_server(**OFTEN).start()
    async with Follower(doors.url, token=token("alice"), speed=SPEED) as client:
        await client.until(status="live")
        doors.to_server.cut()
        await insert_activities(database, 3, title="cut")
        await client.shows("cut 2")
        assert client.last["counters"]["failures"] == 1

        old, doors.server = doors.server, await start_server(**OFTEN).start()
        await old.stop()
        await insert_activities(database, 3, title="drained")
        await client.shows("drained 2")

    assert client.titles == [f"{what} {k}" for what in ("cut", "drained") for k in range(3)]
    assert client.last["counters"]["failures"] == 1
    assert client.switches == []


async def test_a_device_that_confirms_leaves_nothing_pending(
    doors: Doors, start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """With `confirm: CLIENT` the library acknowledges what it delivered."""
    doors.server = await start_server(**OFTEN).start()
    async with Follower(doors.url, token=token("alice"), speed=SPEED, device="desk", confirm="CLIENT") as client:
        await client.until(status="live")
        await insert_activities(database, 20)
        await client.shows("Activity 19")
        async with Client(doors.url) as other:

            async def confirmed() -> bool:
                answer = (await other.ask(WHERE_IT_STANDS))["acknowledge"]
                return bool(answer == {"position": client.last["cursor"], "pending": 0})

            await wait_until(confirmed, description="everything that was delivered is confirmed", every=0.1)

    assert client.titles == [f"Activity {k}" for k in range(20)]
