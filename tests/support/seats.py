"""Streams that take seats in a fan-out, with a connection that a test controls."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from app import Floor
from resolvers.activities import EVERYTHING, ActivityFilter
from resolvers.events import Added, Event, Gap, Notice
from resolvers.identity import Viewer
from resolvers.stream import LiveStream
from streams.cursor import Cursor
from tests.support.composed import viewer
from tests.support.waiting import wait_until


@dataclass
class Screen:
    """A render that remembers, as the real one does, and counts; what is in `broken` it cannot show."""

    calls: list[str] = field(default_factory=list)
    known: dict[str, bytes] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    error: type[Exception] = ValueError

    __hash__ = object.__hash__

    def __call__(self, event: Event) -> bytes:
        """One line of JSON an event."""
        text = shown(event)
        if text in self.known:
            return self.known[text]
        self.calls.append(text)
        if any(title in text for title in self.broken):
            raise self.error(text)
        self.known[text] = text.encode() + b"\n"
        return self.known[text]


def shown(event: Event) -> str:
    """What a client would see of it."""
    fields: dict[str, Any] = {"kind": type(event).__name__, "cursor": str(event.cursor)}
    match event:
        case Added():
            fields |= {"title": event.activity.title, "attempt": event.attempt}
        case Gap():
            fields |= {"reason": event.reason.value}
        case Notice():
            fields |= {"notice": event.kind.value}
    return orjson.dumps(fields).decode()


@dataclass(eq=False)
class Reader:
    """A client: `received` is what was written to its connection. With `deaf` set it takes nothing more.

    With `read_state` HELLO tells it, for which a consumer is needed.
    """

    floor: Floor
    screen: Screen
    chosen: ActivityFilter = EVERYTHING
    device: str | None = None
    since: Cursor | None = None
    who: Viewer = field(default_factory=viewer)
    received: bytes = b""
    deaf: bool = False
    aborted: bool = False
    starved: bool = False
    read_state: bool = False
    _taken: int = 0
    _task: asyncio.Task[None] | None = None
    stream: LiveStream | None = None

    async def connect(self) -> "Reader":
        """Open the stream, and wait until it has a seat."""
        self.stream = await self.floor.services.live.open(
            viewer=self.who,
            since=self.since,
            chosen=self.chosen,
            device=self.device,
            outlet=self,
            read_state=self.read_state,
        )
        self._drive()
        await self.seated()
        return self

    async def seated(self) -> None:
        """Wait until it has a seat."""
        await wait_until(lambda: self.stream is not None and self.stream.seated, description="a seat")

    def _drive(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        assert self.stream is not None
        if (first := self.stream.greeting()) is not None:
            self.write(shown(first).encode() + b"\n")
            await asyncio.sleep(0)
            self.stream.catch_up(self.screen)
        async with aclosing(self.stream.events()) as events:
            while not self.stream.at_edge and (event := await anext(events, None)):
                self.write(shown(event).encode() + b"\n")
                await asyncio.sleep(0)
        if self.stream.at_edge:
            self.stream.sit(self.screen, resume=self._drive)

    def leave(self) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
        if self.stream is not None:
            self.floor.services.live.leave(self.stream)

    def write(self, data: bytes) -> None:
        """Of `streams.seats.Outlet`."""
        self.received += data

    def sent(self) -> int:
        """Of `streams.seats.Outlet`."""
        return len(self.received)

    def taken(self) -> int:
        """Of `streams.seats.Outlet`."""
        if not self.deaf:
            self._taken = len(self.received)
        return self._taken

    def abort(self) -> None:
        """Of `streams.seats.Outlet`."""
        self.aborted = True
        self.leave()

    @property
    def events(self) -> list[dict[str, Any]]:
        """All that was received."""
        return [orjson.loads(line) for line in self.received.splitlines()]

    @property
    def titles(self) -> list[str]:
        """Of the activities received."""
        return [event["title"] for event in self.events if event["kind"] == "Added"]

    @property
    def notices(self) -> list[str]:
        """Kinds of the notices received, bookmarks left out."""
        found = [event["notice"] for event in self.events if event["kind"] == "Notice"]
        return [kind for kind in found if kind != "BOOKMARK"]

    async def got(self, count: int) -> list[str]:
        """Wait for so many activities; their titles."""
        await wait_until(lambda: len(self.titles) >= count, description=f"{count} activities, not {self.titles}")
        return self.titles


def expires(at: datetime, user: str = "ada") -> Viewer:
    """A viewer whose token counts until `at`."""
    known = viewer(user)
    return Viewer(known.user, known.scopes, at)
