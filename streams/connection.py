"""Connecting to Redis, and what our scripts look like from Python."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from streams.errors import StreamsUnavailable
from streams.together import Together
from telemetry.tracing import child

LONGEST_WAIT = timedelta(seconds=2)
"""A command that takes longer is given up: health must say "Redis is down" within two seconds."""

Call = tuple[Sequence[str], Sequence[str | bytes | int]]
"""A script's keys and arguments."""

_LUA = Path(__file__).parent / "lua"


def connect(url: str, *, longest_wait: timedelta = LONGEST_WAIT, pool_size: int = 50) -> "Redis":
    """Make a client for a `redis://`, `rediss://` or `unix://` URL. Opens nothing yet.

    No retries inside the client: redis-py's ten, with back-off, turn a dead server into seconds of silence, and an
    append repeated blindly is what compare-and-append exists to avoid. Raises ValueError for another kind of URL.
    """
    if not url.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("REDIS_URL must start with redis://, rediss:// or unix://, as in redis://localhost:6379/0")
    return Redis.from_url(
        url,
        socket_timeout=longest_wait.total_seconds(),
        socket_connect_timeout=longest_wait.total_seconds(),
        max_connections=pool_size,
        retry=Retry(NoBackoff(), 0),
        protocol=2,  # one shape of replies on every server we support
    )


@asynccontextmanager
async def translated(doing: str) -> AsyncIterator[None]:
    """Turn what redis-py raises when the server is gone, busy or a replica into StreamsUnavailable."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StreamsUnavailable(f"Redis did not answer while {doing}: {error}") from error
    except RedisError as error:
        raise StreamsUnavailable(f"Redis refused {doing}: {error}") from error
    except RuntimeError as error:
        # What uvloop says, and asyncio does not, of a connection that broke between two awaits of redis-py.
        if "handler is closed" not in str(error):
            raise
        raise StreamsUnavailable(f"Redis closed the connection while {doing}") from error


class Script:
    """A Lua script of ours, sent by its hash, and whole when the server does not know it (yet, or after a restart).

    Every script begins with what the `common.lua` of its `folder` defines.
    """

    def __init__(self, redis: "Redis", name: str, *, folder: Path = _LUA) -> None:
        self._redis = redis
        self._name = name
        self._source = "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))
        self._sha = redis.register_script(self._source).sha

    async def __call__(self, *, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:  # noqa: ANN401 - Lua's
        """Run it. Raises StreamsUnavailable; the script may then have run all the same."""
        with child(f"redis {self._name}.lua"):
            return await self._run(keys, args)

    async def _run(self, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:  # noqa: ANN401 - Lua's
        async with translated(f"running {self._name}.lua"):
            try:
                return await self._redis.evalsha(self._sha, len(keys), *keys, *args)
            except NoScriptError:
                return await self._redis.eval(self._source, len(keys), *keys, *args)

    async def all(self, calls: Sequence[Call]) -> list[Any]:
        """The replies to many calls, in one round trip; an exception is the reply to a call that failed.

        Raises StreamsUnavailable when none was answered; any may then have run all the same.
        """
        async with translated(f"running {self._name}.lua"):
            replies = await self._pipe("EVALSHA", self._sha, calls)
            unknown = [k for k, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
            if unknown:
                again = await self._pipe("EVAL", self._source, [calls[k] for k in unknown])
                for k, reply in zip(unknown, again, strict=True):
                    replies[k] = reply
        return replies

    async def _pipe(self, command: str, script: str, calls: Sequence[Call]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for keys, args in calls:
            pipeline.execute_command(command, script, len(keys), *keys, *args)
        replies: list[Any] = await pipeline.execute(raise_on_error=False)
        return replies


class SharedScript:
    """A script that many ask at once: while one round trip is under way, those that come meanwhile share the next.

    Alone, a call through redis-py costs 150 us of CPU; in a pipeline of sixteen, 20. Who waits behind a round trip that
    Redis does not answer is told so with it, and does not wait for one of its own.
    """

    def __init__(self, script: Script, *, name: str) -> None:
        self._script = script
        self._together = Together(self._all, name=name)
        self._asked = 0
        self._unanswered: StreamsUnavailable | None = None
        self._waited = 0

    async def _all(self, calls: Sequence[tuple[int, Call]]) -> list[Any]:
        if self._unanswered is not None and calls[-1][0] <= self._waited:
            raise self._unanswered
        self._unanswered = None
        try:
            return await self._script.all([call for _, call in calls])
        except StreamsUnavailable as error:
            self._unanswered, self._waited = error, self._asked
            raise

    async def __call__(self, *, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:  # noqa: ANN401 - Lua's
        """Run it. Raises StreamsUnavailable; the script may then have run all the same."""
        self._asked += 1
        reply = await self._together((self._asked, (keys, args)))
        if isinstance(reply, Exception):
            async with translated("running a shared script"):
                raise reply
        return reply


async def eviction_policy(redis: "Redis") -> str:
    """The server's `maxmemory-policy`; "unknown" where CONFIG is forbidden, as on managed servers.

    Raises StreamsUnavailable.
    """
    async with translated("reading the eviction policy"):
        try:
            answer: Any = await redis.config_get("maxmemory-policy")
        except ResponseError:
            return "unknown"
    return str(answer.get("maxmemory-policy", "unknown"))
