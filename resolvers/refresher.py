"""The leader's rounds over the view of recent activities."""

import asyncio
import logging
from datetime import timedelta

from resolvers.database.leadership import Leadership, Lease
from resolvers.database.recent import ViewedFeed
from resolvers.errors import Unavailable
from telemetry.metrics import Metrics
from telemetry.tasks import end

log = logging.getLogger("divisionbell.resolvers")

MEASURE_EVERY = 1.0


class Refresher:
    """Refreshes the view, in one process at a time. A view that is late makes pages slower, never wrong."""

    def __init__(
        self,
        *,
        view: ViewedFeed,
        leadership: Leadership,
        metrics: Metrics,
        every: timedelta = timedelta(seconds=30),
    ) -> None:
        self._view = view
        self._leadership = leadership
        self._metrics = metrics
        self._every = every.total_seconds()

    async def run(self) -> None:
        """Lead whenever nobody else does, until cancelled."""
        while True:
            try:
                async with self._leadership.hold() as lease:
                    log.info("leading: view of recent activities")
                    await self._lead(lease)
            except Exception as error:  # noqa: BLE001 - whatever PostgreSQL's driver raises, the remedy is to try again
                log.warning("the view's refresher lost its footing, trying again", extra={"error": repr(error)})
                await asyncio.sleep(1)

    async def _lead(self, lease: Lease) -> None:
        rounds = asyncio.create_task(self._rounds(), name="view-rounds")
        lost = asyncio.create_task(lease.lost.wait(), name="view-lease")
        try:
            done, _ = await asyncio.wait([rounds, lost], return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            await end([rounds, lost])
            self._metrics.feed_view_age_seconds.set(0)

    async def _rounds(self) -> None:
        clock = asyncio.get_running_loop().time
        due = fresh = clock()
        while True:
            if clock() >= due:
                due = clock() + self._every
                try:
                    await self._view.refresh()
                    fresh = clock()
                except Unavailable as error:
                    log.warning("cannot refresh the view of recent activities", extra={"error": str(error)})
            self._metrics.feed_view_age_seconds.set(clock() - fresh)
            await asyncio.sleep(MEASURE_EVERY)
