"""Thousands of subscribers in one process, which come back when their stream ends and remember what they were sent."""

import asyncio
import contextlib
import json
import random
import re
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from telemetry.tasks import end
from tests.support.server import token
from tests.support.waiting import wait_until

QUERY = """
subscription ($since: Cursor, $subscriber: ID) {
  activityAdded(since: $since, subscriber: $subscriber) { __typename cursor ... on StreamNotice { kind } }
}
"""
FRAME = re.compile(rb'id: (\d+-\d+)\n.*?"__typename":\s*"(\w+)"', re.DOTALL)
AT_ONCE = 250
"""Connections that are opened before the next ones are."""
COME_BACK_WITHIN = 2.0
"""Seconds: as a client does that was told to, at a moment of its own."""


@dataclass
class Subscriber:
    """One of them: with its cursor, or with a device whose place the server keeps."""

    name: str
    device: bool
    cursor: str | None = None
    received: list[str] = field(default_factory=list)
    gaps: int = 0
    connects: int = 0
    open: bool = False

    def request(self) -> bytes:
        """The bytes that open its stream where it left off."""
        variables = {"subscriber": "phone"} if self.device else {"since": self.cursor}
        body = json.dumps({"query": QUERY, "variables": variables}).encode()
        return (
            b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (token(self.name).encode(), len(body), body)
        )

    def lost(self, log: Sequence[str]) -> list[str]:
        """What of `log` it never had; or all it had, if it had more, or in another order.

        Who brings a cursor gets everything once; a device may get again what it had.
        """
        had = list(dict.fromkeys(self.received)) if self.device else self.received
        return [] if had == log and not self.gaps else [one for one in log if one not in had] or self.received

    def take(self, cursor: str, kind: bytes) -> None:
        """One event."""
        self.cursor = cursor
        if kind == b"ActivityAdded":
            self.received.append(cursor)
        elif kind == b"FeedGap":
            self.gaps += 1
        elif not self.open:  # HELLO
            self.open = True
            self.connects += 1


class Connection(asyncio.Protocol):
    """A stream of a subscriber: cheap enough for thousands."""

    def __init__(self, subscriber: Subscriber, ended: asyncio.Queue[Subscriber]) -> None:
        self._subscriber = subscriber
        self._ended = ended
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._subscriber.request())

    def data_received(self, data: bytes) -> None:
        """Take every event that is whole."""
        *frames, self._rest = (self._rest + data).split(b"\n\n")
        for frame in frames:
            if found := FRAME.search(frame):
                self._subscriber.take(found[1].decode(), found[2])

    def eof_received(self) -> bool:
        """The server is done."""
        return False

    def connection_lost(self, _: Exception | None) -> None:
        """Come back."""
        self._subscriber.open = False
        self._ended.put_nowait(self._subscriber)

    def abort(self) -> None:
        """Leave for good."""
        self._transport.abort()


class Crowd:
    """`count` subscribers of whatever server is at `url`; every tenth is a device without a cursor of its own."""

    def __init__(self, count: int, url: str, *, name: str = "reader") -> None:
        self.subscribers = [Subscriber(f"{name}{k}", device=k % 10 == 0) for k in range(count)]
        self.url = url
        self._ended: asyncio.Queue[Subscriber] = asyncio.Queue()
        self._streams: dict[str, Connection] = {}
        self._random = random.Random(count)

    async def __aenter__(self) -> Self:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 3 * len(self.subscribers))), hard))
        for first in range(0, len(self.subscribers), AT_ONCE):
            await asyncio.gather(*(self._open(one) for one in self.subscribers[first : first + AT_ONCE]))
            await wait_until(
                lambda upto=first + AT_ONCE: all(one.open for one in self.subscribers[:upto]),  # type: ignore[misc]
                description="streams are open",
                within=60,
                every=0.02,
            )
        self._returning = asyncio.create_task(self._return(), name="crowd")
        return self

    async def __aexit__(self, *_: object) -> None:
        await end([self._returning])
        for stream in self._streams.values():
            stream.abort()

    async def _open(self, subscriber: Subscriber) -> None:
        host, port = self.url.removeprefix("http://").split(":")
        _, stream = await asyncio.get_running_loop().create_connection(
            lambda: Connection(subscriber, self._ended), host, int(port)
        )
        self._streams[subscriber.name] = stream

    async def _return(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._come_back(await self._ended.get()))

    async def _come_back(self, subscriber: Subscriber) -> None:
        await asyncio.sleep(self._random.uniform(0, COME_BACK_WITHIN))
        while True:
            with contextlib.suppress(OSError):
                return await self._open(subscriber)
            await asyncio.sleep(0.2)
