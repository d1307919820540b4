"""How a stream comes to the end of the log in one step, with bytes that are everybody's.

Those that resume after a restart have missed the same few activities. Through a consumer each of these takes a look at
the connection and a turn of three generators, for every stream; who has nothing else to recover gets all in one write.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from streams.cursor import Cursor
from streams.entries import Entry
from streams.in_flight import Fate, Given
from streams.poison import Poison
from streams.ring import Ring
from streams.seats import Frames, Outlet
from telemetry.flow import RECOVERED, About, Flow

T = TypeVar("T")

MOST_AT_ONCE = 32
"""Entries: 5 ms of the event loop if each is rendered for the first time, 0.1 ms if others were shown them."""
MOST_BYTES = 32 * 1024
"""Half of what a connection may keep unsent; HELLO is all that can be before them."""


def missed(start: Cursor, head: Cursor, *, ring: Ring[T], poison: Poison) -> Sequence[Entry[T]] | None:
    """What follows `start` up to `head`, where the fan-out has come to.

    None if that is too much, not in memory, or has a place in it that is told as a gap.
    """
    if start == head:
        return ()
    entries = ring.after(start, MOST_AT_ONCE + 1) if start < head else None
    if entries is None or len(entries) > MOST_AT_ONCE or poison.among(start, head):
        return None
    return [entry for entry in entries if entry.cursor <= head]


def hand_over(
    entries: Sequence[Entry[T]],
    *,
    frames: Frames[T],
    outlet: Outlet,
    flow: Flow,
    type_of: Callable[[T], str],
    observe: Callable[[tuple[str, str], float], None],
) -> list[Given] | None:
    """Write them, for the first time each, and count them; None, and nothing done, if one cannot be shown.

    `observe` is told each one's type, mode and age in ms.
    """
    data = [frames.delivery(entry) for entry in entries]
    whole = b"".join(frame for frame in data if frame is not None)
    if None in data or len(whole) > MOST_BYTES:
        return None
    if whole:
        outlet.write(whole)
    through, now, wall_ms = outlet.sent(), time.monotonic(), datetime.now(UTC).timestamp() * 1_000
    given = []
    flow.matched += len(entries)
    for entry in entries:
        about = About(type_of(entry.item), RECOVERED, entry.published_at)
        flow.attempted[about.type, about.mode] += 1
        observe((about.type, about.mode), wall_ms - entry.published_at)
        given.append(Given(entry.cursor, 1, Fate.DELIVERED, entry.prev, now, through, about))
    return given
