"""Real processes that may be struck by any fault: PostgreSQL, Valkey with a replica, two servers, proxies between."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Self

import httpx
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import connect, migrate
from resolvers.embedded import Child, start_postgres, start_valkey
from streams.connection import connect_alone as connect_redis
from streams.keys import Keys
from streams.pending import read_pending
from tests.chaos.schedule import SERVERS, Fault, Step
from tests.support.directories import reachable_directory
from tests.support.proxy import Proxy, proxied
from tests.support.server import NO_TLS, ServerProcess
from tests.support.waiting import wait_until

SETTINGS = {
    "BOOKMARK_EVERY": "0.5",
    "DRAIN_SECONDS": "2",
    "MAX_CONNECTS_PER_MINUTE": "100000",
    "LOG_LEVEL": "WARNING",
    "VIEW_REFRESH": "2",
}
DELAY = 0.05
"""Seconds each way: a round trip across an ocean."""


class Cluster:
    """Everything that can break, and `heal`, which mends all of it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = AsyncExitStack()
        self._redis_lock, self._postgres_lock = asyncio.Lock(), asyncio.Lock()
        self._ports = [_free_port(), _free_port()]
        self.proxies: dict[str, Proxy] = {}
        self.servers: list[ServerProcess | None] = [None] * SERVERS
        self.engine: AsyncEngine
        self.postgres: Child
        self.redises: list[Child]
        self.primary = 0

    async def __aenter__(self) -> Self:
        self.postgres = start_postgres(self._directory / "postgres", durable=True)
        enter = self._stack.enter_async_context
        self.proxies = {
            "postgres": await enter(proxied(lambda: self.postgres.sockets / ".s.PGSQL.5432")),
            "publishers": await enter(proxied(lambda: self.postgres.sockets / ".s.PGSQL.5432")),
            **{f"http{k}": await enter(proxied(lambda k=k: self._port(k))) for k in range(SERVERS)},  # type: ignore[misc]
        }
        await self.start_redises()
        self.engine = connect(self._database_url("publishers"), pool_size=8)
        self._stack.push_async_callback(self.engine.dispose)
        await migrate(self.engine)
        await asyncio.gather(*(self._start_server(k) for k in range(SERVERS)))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        for server in self.servers:
            if server is not None:
                with contextlib.suppress(ProcessLookupError):
                    server.signal(signal.SIGCONT)
                await server.kill()
        self.stop_redises()
        self.postgres.stop()

    async def start_redises(self) -> None:
        """Start a primary and its replica, and a proxy before whoever is the primary."""
        self.redises = [self._start_redis(0), self._start_redis(1, follows=0)]
        self.proxies["redis"] = await self._stack.enter_async_context(
            proxied(lambda: self.redises[self.primary].sockets / "valkey.sock")
        )

    def stop_redises(self) -> None:
        """Stop all of Redis, for good."""
        for child in self.redises:
            child.stop()
        self.proxies["redis"].cut()

    def redis_settings(self) -> dict[str, str]:
        """How servers find Redis."""
        return {"REDIS_URL": f"redis://127.0.0.1:{self.proxies['redis'].port}/0"}

    async def pending(self) -> int:
        """How many entries are pending."""
        async with self.redis() as redis:
            return (await read_pending(redis)).total

    def url(self, k: int, *, direct: bool = False) -> str:
        """Where clients find a server: through its proxy, or past it. Raises OSError while it is not there."""
        return f"http://127.0.0.1:{self._port(k) if direct else self.proxies[f'http{k}'].port}"

    def _database_url(self, proxy: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.proxies[proxy].port}/postgres"

    def _port(self, k: int) -> int:
        server = self.servers[k]
        if server is None or not server.url:
            raise OSError("no server")
        return int(server.url.rpartition(":")[2])

    def _start_redis(self, k: int, *, follows: int | None = None) -> Child:
        settings = {"port": str(self._ports[k]), "bind": "127.0.0.1", "repl-diskless-sync-delay": "0"}
        if follows is not None:
            settings["replicaof"] = f"127.0.0.1 {self._ports[follows]}"
        return start_valkey(self._directory / f"redis{k}", durable=True, settings=settings)

    async def _start_server(self, k: int) -> None:
        environment = {
            **SETTINGS,
            "DATABASE_URL": self._database_url("postgres"),
            **self.redis_settings(),
            "STATE_DIR": str(self._directory / f"state{k}"),
        }
        self.servers[k] = await ServerProcess("serve", environment=environment).start()

    @asynccontextmanager
    async def redis(self) -> AsyncIterator["Redis"]:
        """A client of whoever is the primary now, past the proxy."""
        client = connect_redis(self.redises[self.primary].url)
        try:
            yield client
        finally:
            await client.aclose()

    async def strike(self, step: Step) -> None:
        """Do what the step says; return when it has ended. A fault that meets a broken world does what it can."""
        with contextlib.suppress(OSError, RedisError, httpx.HTTPError):
            match step.fault:
                case Fault.KILL | Fault.TERMINATE | Fault.FREEZE:
                    await self._strike_server(int(step.target), step.fault, step.lasts)
                case Fault.CUT | Fault.DELAY:
                    await self._strike_proxies(step)
                case Fault.STOP_REDIS | Fault.CRASH_REDIS | Fault.FAILOVER | Fault.FLUSH | Fault.TRIM | Fault.POISON:
                    await self.strike_redis(step)
                case Fault.RESTART_POSTGRES:
                    await self._restart_postgres(step.lasts)

    async def strike_redis(self, step: Step) -> None:
        """Do to Redis what the step says."""
        match step.fault:
            case Fault.STOP_REDIS | Fault.CRASH_REDIS:
                await self._restart_redis(step.lasts, crash=step.fault is Fault.CRASH_REDIS)
            case Fault.FAILOVER:
                await self._fail_over(step.lasts)
            case _:
                await self._strike_stream(step.fault)

    async def _strike_server(self, k: int, fault: Fault, lasts: float) -> None:
        server = self.servers[k]
        if server is None:
            return
        if fault is Fault.FREEZE:
            server.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(lasts)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    server.signal(signal.SIGCONT)
            return
        self.servers[k] = None
        if fault is Fault.TERMINATE:
            server.signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await server.wait(10)
        await server.kill()
        await asyncio.sleep(lasts)

    async def _strike_proxies(self, step: Step) -> None:
        struck = [proxy for name, proxy in self.proxies.items() if name.startswith(step.target)]
        if step.fault is Fault.CUT:
            for proxy in struck:
                proxy.cut()
            return
        for proxy in struck:
            proxy.delay = DELAY
        await asyncio.sleep(step.lasts)
        for proxy in struck:
            proxy.delay = 0.0

    async def _restart_redis(self, lasts: float, *, crash: bool) -> None:
        async with self._redis_lock:  # two at once would each start one
            k = self.primary
            self.redises[k].kill() if crash else self.redises[k].stop()
            self.proxies["redis"].cut()
            await asyncio.sleep(lasts)
            self.redises[k] = self._start_redis(k)

    async def _restart_postgres(self, lasts: float) -> None:
        async with self._postgres_lock:
            self.postgres.stop()
            for name in ("postgres", "publishers"):
                self.proxies[name].cut()
            await asyncio.sleep(lasts)
            self.postgres = start_postgres(self._directory / "postgres", durable=True)

    async def _fail_over(self, lasts: float) -> None:
        """The replica stops to follow, the primary goes on for a while; then the replica takes over, with less."""
        async with self._redis_lock:
            old, new = self.primary, 1 - self.primary
            replica = connect_redis(self.redises[new].url)
            try:
                await replica.replicaof("NO", "ONE")
                await asyncio.sleep(lasts)
                self.primary = new
                self.proxies["redis"].cut()
            finally:
                await replica.aclose()
            self.redises[old].kill()
            self.redises[old] = self._start_redis(old, follows=new)

    async def _strike_stream(self, fault: Fault) -> None:
        async with self.redis() as redis:
            if fault is Fault.FLUSH:
                await redis.flushall()
            elif fault is Fault.TRIM:
                await redis.xtrim(Keys().stream, maxlen=2, approximate=False)
            else:
                await redis.xadd(Keys().stream, {"data": "garbage"})

    async def heal(self) -> None:
        """Whatever is broken works again; what is dead is started."""
        for proxy in self.proxies.values():
            proxy.delay = 0.0
        if not self.postgres.alive:
            self.postgres = start_postgres(self._directory / "postgres", durable=True)
        await self.heal_redis()
        for k, server in enumerate(self.servers):
            if server is None or not await _runs(server):
                await self._start_server(k)
        try:
            await wait_until(self._all_ready, description="every server is ready", within=60, every=0.1)
        except AssertionError as error:
            answers = [await self._readiness(k) for k in range(SERVERS)]
            raise AssertionError("\n".join([str(error), *answers, self.output()])) from error

    async def heal_redis(self) -> None:
        """Start of Redis what is dead."""
        for k in range(2):
            if not self.redises[k].alive:
                self.redises[k] = self._start_redis(k, follows=None if k == self.primary else self.primary)

    async def _all_ready(self) -> bool:
        return not any([await self._readiness(k) for k in range(SERVERS)])

    async def _readiness(self, k: int) -> str:
        """Empty when the server is ready; else what it says of it, or why it says nothing."""
        try:
            async with httpx.AsyncClient(trust_env=False, verify=NO_TLS, timeout=5) as http:
                answer = await http.get(f"{self.url(k, direct=True)}/readyz")
        except (OSError, httpx.HTTPError) as error:
            return f"server {k}: {error!r}"
        return "" if answer.status_code == 200 else f"server {k}: {answer.text}"

    async def metric(self, k: int, name: str) -> float:
        """The sum of a metric of a server."""
        async with httpx.AsyncClient(trust_env=False, verify=NO_TLS, timeout=10) as http:
            lines = (await http.get(f"{self.url(k, direct=True)}/metrics")).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name)

    def output(self) -> str:
        """The end of what the servers printed."""
        return "\n".join(server.output[-4_000:] for server in self.servers if server is not None)


async def _runs(server: ServerProcess) -> bool:
    try:
        await server.wait(0.01)
    except TimeoutError:
        return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def cluster(made_by: type[Cluster] = Cluster) -> AsyncIterator[Cluster]:
    """A cluster on data of its own."""
    with reachable_directory() as directory:
        async with made_by(directory) as made:
            yield made
