"""Many calls in one round trip, past redis-py's pipeline.

The pipeline takes 25 us a call to pack it in Python and to wait for its reply with a timer of its own, where a page of
the feed takes 57 in all.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import hiredis
from redis.asyncio import ConnectionPool
from redis.exceptions import ResponseError

_packed: Any = hiredis.pack_command  # takes any number of arguments, which its types do not say


async def ask(pool: ConnectionPool, commands: Sequence[tuple[str | bytes | int, ...]]) -> list[Any]:
    """The replies, in order; an error is the reply to a command that failed.

    Raises as redis-py, or TimeoutError after the time that its connections have for a reply; any command may then have
    run all the same, and the connection is closed, or the next one to use it would read what is left.
    """
    untyped: Any = pool
    connection = await untyped.get_connection()
    try:
        async with asyncio.timeout(pool.connection_kwargs.get("socket_timeout")):
            await connection.send_packed_command([_packed(command) for command in commands])
            return [await _reply(connection) for _ in commands]
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await untyped.release(connection)


async def _reply(connection: Any) -> Any:  # noqa: ANN401 - redis-py's, and Lua's
    try:
        return await connection.read_response(timeout=math.inf)
    except ResponseError as error:
        return error
