"""Ending tasks for certain."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any

log = logging.getLogger("divisionbell.telemetry")

AGAIN_AFTER = 1.0
"""Seconds. A library's wait_for may swallow a cancellation that comes with its result (CPython before 3.12 does)."""
TRIES = 10


async def end(tasks: Collection[asyncio.Task[Any]], *, again_after: float = AGAIN_AFTER) -> None:
    """Cancel tasks and wait until they have ended, cancelling again those that have not. Their outcome is dropped.

    `again_after` (seconds) must be longer for tasks that end tasks of their own: a second cancellation would interrupt
    them in it, and leave those running.
    """
    left = set(tasks)
    for _ in range(TRIES):
        for task in left:
            task.cancel()
        if not left:
            return
        _, left = await asyncio.wait(left, timeout=again_after)
    if left:
        log.error("tasks do not end", extra={"tasks": sorted(task.get_name() for task in left)})
