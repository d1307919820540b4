"""Connecting to Redis, and what our scripts look like from Python."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from streams.addresses import Address, Kind
from streams.direct import ask
from streams.errors import StreamsUnavailable
from streams.together import Together
from telemetry.tracing import child

LONGEST_WAIT = timedelta(seconds=2)
"""A command that takes longer is given up: health must say "Redis is down" within two seconds."""

Client = Redis | RedisCluster

Call = tuple[Sequence[str], Sequence[str | bytes | int]]
"""A script's keys and arguments."""

_SILENCE = (RedisConnectionError, RedisTimeoutError)
_LUA = Path(__file__).parent / "lua"


def connect(url: str, *, longest_wait: timedelta = LONGEST_WAIT, pool_size: int = 50) -> Client:
    """Make a client for a REDIS_URL, as `streams.addresses` reads it. Opens nothing yet.

    No retries inside the client: redis-py's ten, with back-off, turn a dead server into seconds of silence, and an
    append repeated blindly is what compare-and-append exists to avoid. A cluster's client still follows MOVED and ASK,
    which say that nothing has run, and after a failure asks anew who has which slots; a Sentinel is asked with each new
    connection. Raises ValueError for a URL that is none.
    """
    address = Address.parse(url)
    options = _options(longest_wait, pool_size)
    match address.kind:
        case Kind.ALONE:
            return connect_alone(url, longest_wait=longest_wait, pool_size=pool_size)
        case Kind.CLUSTER:
            return _Cluster(
                startup_nodes=[ClusterNode(host, port) for host, port in address.nodes],
                require_full_coverage=False,  # the other shards go on while one has no primary
                reinitialize_steps=0,  # else every fifth MOVED closes all connections, those to healthy nodes too
                **{**options, **address.options},
            )
        case Kind.SENTINEL:
            to_sentinels = {name: value for name, value in options.items() if name != "max_connections"}
            sentinels = Sentinel(  # type: ignore[no-untyped-call]  # redis-py gives it no types
                address.nodes, sentinel_kwargs={**to_sentinels, **address.sentinels}
            )
            options |= address.options
            client: Redis = sentinels.master_for(address.primary, redis_class=_Watched, **options)
            return client


def connect_alone(url: str, *, longest_wait: timedelta = LONGEST_WAIT, pool_size: int = 50) -> "Redis":
    """Make a client of the one server that the URL names. Opens nothing yet. Raises ValueError as `connect`."""
    if Address.parse(url).kind is not Kind.ALONE:
        raise ValueError("this takes the URL of one server")
    return Redis.from_url(url, **_options(longest_wait, pool_size))


def _options(longest_wait: timedelta, pool_size: int) -> dict[str, Any]:
    return {
        "socket_timeout": longest_wait.total_seconds(),
        "socket_connect_timeout": longest_wait.total_seconds(),
        "max_connections": pool_size,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # one shape of replies on every server we support
    }


class _Cluster(RedisCluster):
    """A cluster. Its connections are closed after a failure too: redis-py then takes it for one that was never open."""

    async def aclose(self) -> None:
        await super().aclose()
        for nodes in ("nodes_cache", "startup_nodes"):
            await self.nodes_manager.aclose(nodes)


class _Watched(Redis):
    """A primary that Sentinels know; the connections to them are closed with it."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        pool = self.connection_pool
        if isinstance(pool, SentinelConnectionPool):
            await pool.sentinel_manager.aclose()


def in_slots(redis: Client) -> bool:
    """Whether it is a cluster: keys with different tags are then in different places."""
    return isinstance(redis, RedisCluster)


@asynccontextmanager
async def translated(doing: str) -> AsyncIterator[None]:
    """Turn what redis-py raises when the server is gone, busy or a replica into StreamsUnavailable."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, RedisClusterException, OSError) as error:
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

    def __init__(self, redis: Client, name: str, *, folder: Path = _LUA) -> None:
        self._redis = redis
        self._name = name
        self._source = "".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("common", name))
        self._sha = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()

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

    async def on_primaries(self, *, keys: Sequence[str], args: Sequence[str | bytes | int]) -> list[Any]:
        """The replies of all primaries; of the one server there is, where it is not a cluster's."""
        async with translated(f"running {self._name}.lua"):
            if not isinstance(self._redis, RedisCluster):
                return [await self._run(keys, args)]
            replies: Any = await self._redis.execute_command(
                "EVAL", self._source, len(keys), *keys, *args, target_nodes=RedisCluster.PRIMARIES
            )
        return list(replies.values()) if isinstance(replies, dict) else [replies]

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
        if isinstance(self._redis, Redis) and not isinstance(self._redis.connection_pool, SentinelConnectionPool):
            commands = [(command, script, len(keys), *keys, *args) for keys, args in calls]
            return await ask(self._redis.connection_pool, commands)
        pipeline = self._redis.pipeline(transaction=False)
        for keys, args in calls:
            pipeline.execute_command(command, script, len(keys), *keys, *args)
        try:
            replies: list[Any] = await pipeline.execute(raise_on_error=False)
        except _SILENCE:
            await _look_again(self._redis)
            raise
        if any(isinstance(reply, _SILENCE) for reply in replies):
            await _look_again(self._redis)
        return replies


async def _look_again(redis: Client) -> None:
    """Ask a cluster who has which slots: its pipelines, unlike single commands, do not after a failure."""
    if isinstance(redis, RedisCluster):
        await redis.nodes_manager.initialize()


class EverywhereScript:
    """A script without keys that is run on every primary. The reply is what all of them said, as bytes."""

    def __init__(self, script: Script) -> None:
        self._script = script

    async def __call__(self, *, keys: Sequence[str], args: Sequence[str | bytes | int]) -> bytes:
        """Run it. Raises StreamsUnavailable if one of them does not answer."""
        replies = await self._script.on_primaries(keys=keys, args=args)
        return b" ".join(sorted(replies))


class SharedScript:
    """A script that many ask at once: while one round trip is under way, those that come meanwhile share the next.

    Alone, a call through redis-py costs 150 us of CPU; among sixteen, 10. Who waits behind a round trip that
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


async def eviction_policy(redis: Client) -> str:
    """The server's `maxmemory-policy`, the worst of a cluster's nodes; "unknown" where CONFIG is forbidden.

    It is on many managed servers. Raises StreamsUnavailable.
    """
    everywhere = {"target_nodes": RedisCluster.ALL_NODES} if isinstance(redis, RedisCluster) else {}
    async with translated("reading the eviction policy"):
        try:
            answer: Any = await redis.config_get("maxmemory-policy", **everywhere)
        except ResponseError:
            return "unknown"
    answers = answer.values() if everywhere else [answer]
    policies = [str(one.get("maxmemory-policy", "unknown")) for one in answers]
    return max(policies, key=lambda policy: (policy.startswith("allkeys-"), policy != "noeviction"))
