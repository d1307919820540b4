"""Server processes for tests."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.nginx import Way, nginx
from tests.support.server import ServerProcess, token


@pytest.fixture
async def start_server(
    database_url: str, redis_url: str, tmp_path: Path
) -> AsyncIterator[Callable[..., ServerProcess]]:
    """Makes servers on this test's database and Redis; `await` their `start`. All are killed at the end."""
    async with AsyncExitStack() as stack:

        def make(command: str = "serve", **environment: str) -> ServerProcess:
            server = ServerProcess(
                command,
                environment={
                    "DATABASE_URL": database_url,
                    "REDIS_URL": redis_url,
                    "STATE_DIR": str(tmp_path / "state"),
                    **environment,
                },
            )
            stack.push_async_callback(server.kill)
            return server

        yield make


@pytest.fixture
async def server(start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """One running server."""
    return await start_server().start()


@pytest.fixture(params=["direct", "nginx"])
async def way(
    request: pytest.FixtureRequest, start_server: Callable[..., ServerProcess], tmp_path: Path
) -> AsyncIterator[Way]:
    """A server, reached at its own address, and by TLS through docs/nginx.conf."""
    cookie = "session" if request.param == "direct" else "__Host-session"
    server = await start_server(TRUSTED_PROXIES="127.0.0.1", AUTH_COOKIE=cookie).start()
    if request.param == "direct":
        yield Way(server, server.url, cookie)
        return
    async with nginx(tmp_path, server.url.removeprefix("http://")) as proxy:
        yield Way(server, proxy.url, cookie, proxy)


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A running demo."""

    url: str

    def token(self, user: str, scope: str = "read") -> str:
        """A token that it accepts."""
        return token(user, scope)


@pytest.fixture
async def live_server(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A running demo with its identities and its made-up activity, on this test's database and Redis."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "STATE_DIR": str(tmp_path / "state")}
    async with ServerProcess("demo", environment=environment) as demo:
        yield LiveServer(demo.url)
