"""Ending tasks for certain."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any

log = logging.getLogger("divisionbell.telemetry")

AGAIN_AFTER = 1.0
"""Seconds. A library's wait_for may swallow a cancellation that comes with its result (CPython before 3.12 does)."""
TRIES = 10


async def end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks and wait until they have ended, cancelling again those that have not. Their outcome is dropped."""
    left = set(tasks)
    for _ in range(TRIES):
        for task in left:
            task.cancel()
        if not left:
            return
        _, left = await asyncio.wait(left, timeout=AGAIN_AFTER)
    if left:
        log.error("tasks do not end", extra={"tasks": sorted(task.get_name() for task in left)})
