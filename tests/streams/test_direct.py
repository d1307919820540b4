"""Many calls in one round trip: replies belong to their calls, whatever becomes of the others."""

import asyncio
from datetime import timedelta

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from streams.connection import connect_alone
from streams.direct import ask
from tests.support.waiting import wait_until


async def test_replies_come_in_order_and_errors_in_their_place(redis: Redis) -> None:
    """A call that the server refuses takes nothing from the others."""
    pool = redis.connection_pool

    set_, refused, got = await ask(pool, [("SET", "key", b"a\r\nb"), ("INCRBY", "key", 1), ("GET", "key")])

    assert (set_, got) == (b"OK", b"a\r\nb")
    assert isinstance(refused, ResponseError)


async def test_server_that_does_not_answer_in_time_is_given_up(redis: Redis, redis_url: str) -> None:
    """What it says later is not taken for an answer to somebody else."""
    client = connect_alone(redis_url, longest_wait=timedelta(seconds=0.2), pool_size=1)
    with pytest.raises(TimeoutError):
        await ask(client.connection_pool, [("GET", "nothing"), ("BLPOP", "list", 0)])
    await redis.rpush("list", "late")

    assert await ask(client.connection_pool, [("PING",), ("ECHO", "mine")]) == [b"PONG", b"mine"]
    await client.aclose()


async def test_asker_that_leaves_takes_its_connection_along(redis: Redis, redis_url: str) -> None:
    """A cancellation in the middle of the replies leaves none of them behind."""
    client = connect_alone(redis_url, pool_size=1)
    asked = asyncio.create_task(ask(client.connection_pool, [("GET", "nothing"), ("BLPOP", "list", 0)]))

    async def waits() -> bool:
        return bool((await redis.info("clients"))["blocked_clients"])

    await wait_until(waits, description="Redis has the calls")
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked

    assert await ask(client.connection_pool, [("ECHO", "mine")]) == [b"mine"]
    await client.aclose()
