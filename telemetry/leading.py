"""Work that one process does for all, for as long as it leads."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from telemetry.tasks import end


class Lease(Protocol):
    """Leadership while it lasts."""

    @property
    def lost(self) -> asyncio.Event:
        """Set when it is over."""
        ...


class Leadership(Protocol):
    """Waits for the role and holds it."""

    def hold(self) -> AbstractAsyncContextManager[Lease]:
        """Lead until the block ends. Raises whatever its driver does when it cannot."""
        ...


async def lead(
    leadership: Leadership,
    rounds: Callable[[], Awaitable[None]],
    *,
    role: str,
    log: logging.Logger,
    again_after: float = 1.0,
) -> None:
    """Run `rounds`, which does not end by itself, whenever nobody else leads; until cancelled.

    When the lease is lost it is cancelled, and the role waited for again; when it fails, after `again_after` seconds.
    """
    while True:
        try:
            async with leadership.hold() as lease:
                log.info("leading", extra={"role": role})
                await _until_lost(lease, rounds, role)
        except Exception as error:  # noqa: BLE001 - whatever a driver raises, the remedy is to try again
            log.warning("lost its footing, trying again", extra={"role": role, "error": repr(error)})
            await asyncio.sleep(again_after)


async def _until_lost(lease: Lease, rounds: Callable[[], Awaitable[None]], role: str) -> None:
    async def work() -> None:
        await rounds()

    working = asyncio.create_task(work(), name=f"{role}-rounds")
    lost = asyncio.create_task(lease.lost.wait(), name=f"{role}-lease")
    try:
        done, _ = await asyncio.wait([working, lost], return_when=asyncio.FIRST_COMPLETED)
        for ended in done:
            if ended.cancelled():
                # Leaked out of a library. Passed on, it would end the leader without a word.
                raise RuntimeError(f"{ended.get_name()} was cancelled by nobody")
            ended.result()
    finally:
        await end([working, lost])
