"""Waiting for a condition instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


async def wait_until(
    condition: Callable[[], bool | Awaitable[bool]], *, description: str, within: float = 20.0, every: float = 0.01
) -> None:
    """Return as soon as `condition` holds, looking every `every` seconds.

    Raises AssertionError with `description` when it still does not hold after `within` seconds.
    """
    deadline = time.monotonic() + within
    while True:
        answer = condition()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within} s: {description}")
        await asyncio.sleep(every)
