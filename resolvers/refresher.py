"""The leader's rounds over the view of recent activities."""

import asyncio
import logging
from datetime import timedelta

from resolvers.database.recent import ViewedFeed
from resolvers.errors import Unavailable
from telemetry.leading import Leadership, lead
from telemetry.metrics import Metrics

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
        await lead(self._leadership, self._rounds, role="view of recent activities", log=log)

    async def _rounds(self) -> None:
        clock = asyncio.get_running_loop().time
        due = fresh = clock()
        try:
            while True:
                if clock() >= due:
                    due = clock() + self._every
                    if await self._refreshed():
                        fresh = clock()
                self._metrics.feed_view_age_seconds.set(clock() - fresh)
                await asyncio.sleep(min(MEASURE_EVERY, self._every))
        finally:
            self._metrics.feed_view_age_seconds.set(0)

    async def _refreshed(self) -> bool:
        try:
            await self._view.refresh()
        except Unavailable as error:
            log.warning("cannot refresh the view of recent activities", extra={"error": str(error)})
            return False
        return True
