"""The event streams this process has open: their connections, who owns their tasks, and how they end."""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

from schema import sse
from schema.wire import Wire, frame

BEATS = 4
"""How often connections are looked at in the time of a heartbeat. With fewer, bookmarks that are due a little later
would not save the heartbeat."""

log = logging.getLogger("divisionbell.schema")


class OpenStreams:
    """Owns the tasks of open streams, so that each one's cleanup runs to its end whatever happens to its request.

    `draining` is set when the server is about to stop: a subscription that sees it says goodbye and raises StreamEnded.
    `cleanup` bounds what a cancelled stream may still do before it is cancelled once more. `heartbeat` is the longest
    silence of a connection; one timer sees to all of them.
    """

    def __init__(
        self, *, cleanup: timedelta = timedelta(seconds=5), heartbeat: timedelta = timedelta(seconds=10)
    ) -> None:
        self.draining = asyncio.Event()
        self._cleanup = cleanup
        self._heartbeat = heartbeat.total_seconds()
        self._wires: dict[Wire, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def __len__(self) -> int:
        """How many streams are open, those that are cleaning up included."""
        return max(len(self._tasks), len(self._wires))

    def add(self, wire: Wire) -> None:
        """Keep a connection from being silent for too long, until `discard`."""
        self._wires[wire] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._heartbeat / BEATS, self._beat)

    def discard(self, wire: Wire) -> None:
        """Its response is over."""
        self._wires.pop(wire, None)

    def _beat(self) -> None:
        """Send a heartbeat to who has been silent for so long that the next look would be too late."""
        self._timer = None
        for wire in list(self._wires):
            if wire.is_gone:
                continue
            if wire.stands_still():
                log.info("cutting a stream: its client takes nothing")
                wire.starve()
            elif wire.silent_for() == BEATS - 1 and not wire.is_full:
                wire.write(frame(sse.HEARTBEAT, chunked=wire.chunked))
        if self._wires:
            self._timer = asyncio.get_running_loop().call_later(self._heartbeat / BEATS, self._beat)

    def start(self, stream: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run a stream in a task of its own. After `drain` the task is cancelled before its first step."""
        task = asyncio.create_task(stream, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._closed:
            task.cancel()
        return task

    async def drain(self, within: timedelta) -> None:
        """End every stream: first by its own will, then, with the last quarter of `within` left, by cancelling it.

        Returns within `within`, also when a stream's cleanup hangs. New streams are for the caller to refuse.
        """
        loop = asyncio.get_running_loop()
        cleanup = min(self._cleanup, within / 4)
        deadline = loop.time() + (within - cleanup).total_seconds()
        self.draining.set()
        while self._tasks and loop.time() < deadline:
            await asyncio.wait(set(self._tasks), timeout=deadline - loop.time())
        self._closed = True
        if self._tasks:
            log.info("ending %d streams that did not end by themselves", len(self._tasks))
            await self._cancel(set(self._tasks), cleanup)
        for wire in list(self._wires):
            wire.abort()

    async def _cancel(self, tasks: set[asyncio.Task[None]], within: timedelta) -> None:
        for task in tasks:
            task.cancel()
        _, stuck = await asyncio.wait(tasks, timeout=within.total_seconds())
        for task in stuck:
            log.warning("stream %s did not clean up within %s, cancelling it again", task.get_name(), within)
            task.cancel()
