"""The log, as somebody at a terminal follows it."""

import asyncio
from collections.abc import AsyncGenerator

from resolvers.activities import Activity
from streams.entries import Entry
from streams.tail import Tail
from telemetry.tasks import AGAIN_AFTER, end

BATCH = 1_000


async def follow(tail: Tail[Activity], *, back: int) -> AsyncGenerator[Entry[Activity]]:
    """The last `back` entries, then every new one, until closed; a hole is not shown, the tail closes it.

    Runs the tail, which must be nobody else's. Raises what it raises if PostgreSQL does not answer at the start.
    """
    running = asyncio.create_task(tail.run(), name="tail")
    more = asyncio.Event()
    stop_listening = tail.listen(more.set)
    try:
        await _either(tail.ready, running)
        ring = tail.ring
        newest = ring.after(ring.floor, len(ring)) or ()
        position = newest[-back - 1].cursor if len(newest) > back else ring.floor
        while True:
            more.clear()
            while entries := tail.ring.after(max(position, tail.ring.floor), BATCH):
                for entry in entries:
                    yield entry
                    position = entry.cursor
            await _either(more, running)
    finally:
        stop_listening()
        await end([running], again_after=5 * AGAIN_AFTER)


async def _either(event: asyncio.Event, running: asyncio.Task[None]) -> None:
    """Wait for the event; a tail that ends before is an error."""
    waiting = asyncio.create_task(event.wait(), name="follow")
    try:
        await asyncio.wait([waiting, running], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
    finally:
        await end([waiting])


def shown(entry: Entry[Activity]) -> str:
    """An activity on one line, without anything that a terminal would obey."""
    activity = entry.item
    who = activity.mp.name if activity.mp else ""
    what = activity.bill.number if activity.bill else ""
    about = ", ".join(part for part in (who, what) if part)
    text = f"{activity.title}{f' ({about})' if about else ''}"
    readable = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)
    return f"{entry.cursor}  {activity.created_at:%Y-%m-%d %H:%M:%S}  {activity.type:16}{readable}"


def shown_as_json(entry: Entry[Activity]) -> str:
    """The same for programs: the activity as streams carry it, and its cursor."""
    return f'{{"cursor":"{entry.cursor}","activity":{entry.data.decode()}}}'
