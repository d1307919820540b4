"""The window of recent activities: fed by the tail, with MPs and bills as they are now."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from cache.window import Matching, Window
from resolvers.activities import Activity, ActivityFilter, Bill, BillId, Mp, MpId
from resolvers.database.recent import Parliament
from resolvers.errors import Unavailable
from streams.cursor import START, Cursor
from streams.entries import Entry
from streams.ring import Ring
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.resolvers")

LOOK_EVERY = timedelta(seconds=2)
"""How long the window may show an MP or a bill as it was before a change."""
BATCH = 10_000
MOST_FILTERS = 64
"""Filters whose matches are kept as bits, a kilobyte each; the least recently used goes first."""


class Source(Protocol):
    """Where the window's activities come from."""

    @property
    def ring(self) -> Ring[Activity]:
        """The newest entries of the log."""
        ...

    def listen(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called when there are more; returns what ends that."""
        ...


class Recent:
    """Keeps a window up to date."""

    def __init__(self, *, source: Source, parliament: Parliament, metrics: Metrics, size: int) -> None:
        self._source = source
        self._parliament = parliament
        self._metrics = metrics
        self._mps: dict[MpId, Mp] = {}
        self._bills: dict[BillId, Bill] = {}
        self._fingerprint: Sequence[int] | None = None
        self._matching: OrderedDict[ActivityFilter, Matching[Activity]] = OrderedDict()
        self.window: Window[Activity] = Window(size=size)
        source.listen(self.catch_up)

    @property
    def head(self) -> Cursor:
        """The cursor of the newest activity here."""
        return Cursor(self.window.head)

    def known(self, n: int) -> Activity | None:
        """The activity with that log number, if it is here."""
        return self.window[n] if self.window.low <= n <= self.window.high else None

    def matching(self, chosen: ActivityFilter) -> int:
        """Which activities of the window match, as bits: see `Matching.bits`."""
        kept = self._matching.pop(chosen, None) or Matching(self.window, chosen.matches)
        self._matching[chosen] = kept
        if len(self._matching) > MOST_FILTERS:
            self._matching.popitem(last=False)
        return kept.bits()

    def catch_up(self) -> None:
        """Take what the ring has and the window has not. Called by the tail whenever the ring has grown."""
        ring = self._source.ring
        entries = ring.after(self.head, BATCH) if self.head > START else None
        if entries is None:
            self.window.clear()
            entries = ring.after(ring.floor, BATCH) or ()
        while entries:
            self.window.extend((self._renewed(entry) for entry in entries), head=entries[-1].cursor)
            entries = ring.after(self.head, BATCH) or ()
        self._metrics.feed_window_activities.set(len(self.window))

    async def run(self) -> None:
        """Look for changes of MPs and bills until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.debug("cannot look at MPs and bills", extra={"error": str(error)})
            await asyncio.sleep(LOOK_EVERY.total_seconds())

    async def look(self) -> None:
        """Read the MPs and bills of the window again if any has changed. Raises Unavailable."""
        fingerprint = await self._parliament.fingerprint()
        if fingerprint == self._fingerprint:
            return
        mps = {activity.mp.id for activity in self.window.older(None) if activity.mp}
        bills = {activity.bill.id for activity in self.window.older(None) if activity.bill}
        self._mps = dict(await self._parliament.mps(mps))
        self._bills = dict(await self._parliament.bills(bills))
        self.window.replace(self._with_newest)
        self._fingerprint = fingerprint

    def _renewed(self, entry: Entry[Activity]) -> Activity:
        return self._with_newest(entry.item)

    def _with_newest(self, activity: Activity) -> Activity:
        """The activity with its MP and bill at the highest version seen; the same object if it has them already."""
        mp, bill = activity.mp, activity.bill
        if mp and (known := self._mps.get(mp.id)) and known.version > mp.version:
            mp = known
        if bill and (title := self._bills.get(bill.id)) and title.version > bill.version:
            bill = title
        return activity if mp is activity.mp and bill is activity.bill else replace(activity, mp=mp, bill=bill)
