"""A real server process, and a client of its API."""

import asyncio
import contextlib
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx
from httpx_sse import ServerSentEvent, aconnect_sse

from resolvers.identity import Scope, Tokens

REPOSITORY = Path(__file__).parent.parent.parent
SECRET = "for tests only, as long as a secret has to be"
READY_WITHIN = 40.0
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For `verify` of clients that ask `http://`: httpx loads 117 certificates for each client otherwise, 21 ms of CPU."""
NOT_INHERITED = frozenset({"DATABASE_URL", "REDIS_URL", "WORKERS"})


def token(user: str, scope: str = "read") -> str:
    """A bearer token for `user` with space-separated scopes."""
    scopes = frozenset(Scope(one) for one in scope.split())
    return Tokens(secret=SECRET).issue(user=user, scopes=scopes, lasts=timedelta(hours=1))


class ServerProcess:
    """`python -m cli serve` (or `demo`) on a free port of 127.0.0.1, with whatever it prints kept in `output`."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        within: Sequence[str] = (),
        checkout: Path = REPOSITORY,
        module: str = "cli",
    ) -> None:
        """`within`: a command that runs it, such as `ip netns exec`; `checkout`: of which version.

        `module` is run instead of `cli`: the same commands, on a server that was tampered with.
        """
        self._arguments = (module, *arguments)
        self._within = within
        self._checkout = checkout
        self._environment = {
            **{name: value for name, value in os.environ.items() if name not in NOT_INHERITED},
            "AUTH_SECRET": SECRET,
            "PORT": "0",
            "DRAIN_SECONDS": "5",
            # All clients of a test, or of a bench, come from one address, and ask as often as they can.
            "MAX_OPERATIONS_PER_MINUTE": "1000000",
            "MAX_OPERATIONS_PER_MINUTE_PER_ADDRESS": "1000000",
            "MAX_CONNECTS_PER_MINUTE_PER_ADDRESS": "1000000",
            "MAX_MARKS_PER_MINUTE": "1000000",
            **environment,
        }
        self.output = ""
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> Self:
        """Start it and wait until it says where it serves."""
        self._process = await asyncio.create_subprocess_exec(
            *self._within,
            sys.executable,
            "-m",
            *self._arguments,
            cwd=self._checkout,
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read(ready))
        try:
            async with asyncio.timeout(READY_WITHIN):
                await ready.wait()
        except TimeoutError as error:
            await self.kill()
            raise AssertionError(f"the server did not start:\n{self.output}") from error
        if not self.url:
            raise AssertionError(f"the server ended:\n{self.output}")
        return self

    async def _read(self, ready: asyncio.Event) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            line = raw.decode(errors="replace")
            self.output += line
            for start in ("serving on ", "API explorer "):
                if start in line and not self.url:
                    self.url = line.split(start)[1].strip().removesuffix("/graphql")
                    ready.set()
        ready.set()

    @property
    def pid(self) -> int:
        """Its process ID."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def wait(self, within: float = 20.0) -> int:
        """Its exit code, once it has ended."""
        assert self._process is not None
        async with asyncio.timeout(within):
            return await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL, and reap."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await self._reader

    async def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self.signal(signal.SIGTERM)
        try:
            code = await self.wait()
        finally:
            await self.kill()
        return code

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.kill()


class Client:
    """What a front end does, by httpx."""

    def __init__(self, url: str, user: str = "alice", scope: str = "read") -> None:
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {token(user, scope)}"},
            timeout=20,
            trust_env=False,
            verify=NO_TLS,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def post(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer to an operation."""
        answer = await self._http.post("/graphql", json={"query": query, "variables": variables})
        body: dict[str, Any] = answer.json()
        return body

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an operation that has no errors."""
        body = await self.post(query, **variables)
        assert "errors" not in body, body
        data: dict[str, Any] = body["data"]
        return data

    async def text(self, path: str) -> str:
        """The body at a path."""
        return (await self._http.get(path)).text

    @asynccontextmanager
    async def subscribe(self, *, query: str | None = None, **variables: Any) -> AsyncIterator["Stream"]:
        """Open activityAdded, by SUBSCRIPTION or another query; leaving the block drops the connection."""
        body = {"query": query or SUBSCRIPTION, "variables": variables}
        async with aconnect_sse(self._http, "POST", "/graphql", json=body) as source:
            yield Stream(source.aiter_sse())


SUBSCRIPTION = """
subscription ($since: Cursor, $filter: ActivityFilter, $subscriber: ID) {
  activityAdded(since: $since, filter: $filter, subscriber: $subscriber) {
    __typename
    cursor
    ... on ActivityAdded { deliveryAttempt publishedAt activity { id type title mp { name party riding } bill { number } } }
    ... on FeedGap { since through reason recovery }
    ... on GapHealed { through activities { title } }
    ... on StreamNotice { kind head }
  }
}
"""  # noqa: E501 - read as GraphQL


class Stream:
    """The events of one connection."""

    def __init__(self, events: AsyncIterator[ServerSentEvent]) -> None:
        self._events = events
        self.cursor: str | None = None

    async def event(self, within: float = 20.0) -> dict[str, Any]:
        """The next event's object. Raises StopAsyncIteration at the end, AssertionError for anything but a `next`."""
        async with asyncio.timeout(within):
            sent = await anext(self._events)
            while not sent.data:  # the opening: httpx-sse shows a block that holds nothing but `retry:`
                sent = await anext(self._events)
        assert sent.event == "next", sent
        body = sent.json()
        assert "errors" not in body, body
        event: dict[str, Any] = body["data"]["activityAdded"]
        assert sent.id == event["cursor"]
        self.cursor = sent.id
        return event

    async def hello(self) -> dict[str, Any]:
        """The first event."""
        event = await self.event()
        assert event["kind"] == "HELLO"
        return event

    async def titles(self, count: int) -> list[str]:
        """Titles of the next `count` activities, notices passed over."""
        found: list[str] = []
        while len(found) < count:
            event = await self.event()
            if event["__typename"] == "ActivityAdded":
                found.append(event["activity"]["title"])
        return found
