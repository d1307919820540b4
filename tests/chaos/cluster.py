"""Real processes that anything may befall: PostgreSQL, Valkey with a replica, two servers, proxies between them."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import connect, migrate
from resolvers.embedded import Child, start_postgres, start_valkey
from streams.connection import connect_alone as connect_redis
from streams.cursor import Cursor
from streams.keys import Keys
from streams.pending import read_pending
from tests.chaos.clocks import Clock
from tests.chaos.schedule import SERVERS
from tests.chaos.serve import BROKEN, BUG
from tests.support.directories import reachable_directory
from tests.support.proxy import Proxy, proxied
from tests.support.server import NO_TLS, ServerProcess
from tests.support.waiting import wait_until

SETTINGS = {
    "BOOKMARK_EVERY": "0.5",
    "DRAIN_SECONDS": "2",
    "MAX_CONNECTS_PER_MINUTE": "100000",
    "LOG_LEVEL": "WARNING",
    "MAX_DELIVERY_ATTEMPTS": "2",
    "VIEW_REFRESH": "2",
}
STARTS = 3


class Cluster:
    """Everything that can break, and `heal`, which mends all of it."""

    def __init__(self, directory: Path, *, bug: str = "") -> None:
        """`bug`: planted into every server."""
        self.directory = directory
        self._bug = bug
        self._stack = AsyncExitStack()
        self.redis_lock, self.postgres_lock = asyncio.Lock(), asyncio.Lock()
        self._ports = [_free_port(), _free_port()]
        self.proxies: dict[str, Proxy] = {}
        self.servers: list[ServerProcess | None] = [None] * SERVERS
        self.engine: AsyncEngine
        self.postgres: Child
        self.redises: list[Child]
        self.primary = 0
        self.clocks = [Clock(directory / f"clock{k}") for k in range(SERVERS)]
        self.bad_deploy = directory / "broken"
        """While it exists, servers cannot render what is UNRENDERABLE."""

    async def __aenter__(self) -> Self:
        self.postgres = start_postgres(self.directory / "postgres", durable=True)
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
        await asyncio.gather(*(self.start_server(k) for k in range(SERVERS)))
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
        self.redises = [self.start_redis(0), self.start_redis(1, follows=0)]
        self.proxies["redis"] = await self._stack.enter_async_context(
            proxied(lambda: self.redises[self.primary].sockets / "valkey.sock")
        )

    def stop_redises(self) -> None:
        """Stop all of Redis, until it is healed."""
        for child in self.redises:
            child.stop()
        self.proxies["redis"].cut()

    def redis_settings(self) -> dict[str, str]:
        """How servers find Redis."""
        return {"REDIS_URL": f"redis://127.0.0.1:{self.proxies['redis'].port}/0"}

    async def pending(self) -> dict[str, int]:
        """How many entries are pending, by what says so."""
        async with self.redis() as redis:
            groups: Any = await redis.xinfo_groups(Keys().stream)
            return {
                "in the groups": sum(group["pending"] for group in groups),
                "by Redis' own count": (await read_pending(redis)).total,
            }

    async def streamed(self) -> list[tuple[Cursor, int | None]]:
        """What the stream holds: cursor and activity, None for garbage. Empty where nobody looks."""
        async with self.redis() as redis:
            rows: Any = await redis.xrange(Keys().stream)
        return [
            (Cursor.parse(entry_id), int(fields[b"activity_id"]) if b"activity_id" in fields else None)
            for entry_id, fields in rows
        ]

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

    def start_redis(self, k: int, *, follows: int | None = None) -> Child:
        """Start one of the two, alone or as the other's replica."""
        settings = {"port": str(self._ports[k]), "bind": "127.0.0.1", "repl-diskless-sync-delay": "0"}
        if follows is not None:
            settings["replicaof"] = f"127.0.0.1 {self._ports[follows]}"
        return start_valkey(self.directory / f"redis{k}", durable=True, settings=settings)

    async def start_server(self, k: int) -> None:
        """Start a server, with its clock as it stands; once more if it ends, as whoever watches over it would.

        One that finds no PostgreSQL within five seconds ends; on a busy machine that happens.
        """
        environment = {
            **SETTINGS,
            "DATABASE_URL": self._database_url("postgres"),
            **self.redis_settings(),
            "STATE_DIR": str(self.directory / f"state{k}"),
            BROKEN: str(self.bad_deploy),
            BUG: self._bug,
            **self.clocks[k].environment,
        }
        for _ in range(STARTS - 1):
            with contextlib.suppress(AssertionError):
                self.servers[k] = await self._server(environment).start()
                return
        self.servers[k] = await self._server(environment).start()

    def _server(self, environment: Mapping[str, str]) -> ServerProcess:
        return ServerProcess("serve", environment=environment, module="tests.chaos.serve")

    @asynccontextmanager
    async def redis(self) -> AsyncIterator["Redis"]:
        """A client of whoever is the primary now, past the proxy."""
        client = connect_redis(self.redises[self.primary].url)
        try:
            yield client
        finally:
            await client.aclose()

    async def heal(self) -> None:
        """Whatever is broken works again; what is dead is started."""
        for proxy in self.proxies.values():
            proxy.delay = 0.0
        for clock in self.clocks:
            clock.step(0.0)
        self.bad_deploy.unlink(missing_ok=True)
        if not self.postgres.alive:
            self.postgres = start_postgres(self.directory / "postgres", durable=True)
        await self.heal_redis()
        for k, server in enumerate(self.servers):
            if server is None or not await _runs(server):
                await self.start_server(k)
        try:
            await wait_until(self._all_ready, description="every server is ready", within=60, every=0.1)
        except AssertionError as error:
            answers = [await self._readiness(k) for k in range(SERVERS)]
            raise AssertionError("\n".join([str(error), *answers, self.output()])) from error

    async def heal_redis(self) -> None:
        """Start of Redis what is dead."""
        for k in range(2):
            if not self.redises[k].alive:
                self.redises[k] = self.start_redis(k, follows=None if k == self.primary else self.primary)

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
async def cluster(made_by: type[Cluster] = Cluster, *, bug: str = "") -> AsyncIterator[Cluster]:
    """A cluster on data of its own, with a planted bug or without."""
    with reachable_directory() as directory:
        async with made_by(directory, bug=bug) as made:
            yield made
