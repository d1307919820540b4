"""What a subscription tells its client, and a poll in its place: the same events with the same cursors."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from resolvers.activities import Activity, ActivityId
from streams.cursor import START, Cursor
from streams.entries import Entry
from streams.steps import Lack, Missing
from telemetry.advice import Advice


class GapReason(StrEnum):
    """Why activities are missing."""

    CURSOR_UNKNOWN = "CURSOR_UNKNOWN"
    CURSOR_AHEAD = "CURSOR_AHEAD"
    REPLAY_CAPPED = "REPLAY_CAPPED"
    POSITION_LOST = "POSITION_LOST"
    TRIMMED = "TRIMMED"
    DEAD_LETTERED = "DEAD_LETTERED"


class GapRecovery(StrEnum):
    """What a client does about it."""

    FETCH_UPDATES = "FETCH_UPDATES"
    REFETCH_FEED = "REFETCH_FEED"
    WAIT_FOR_HEAL = "WAIT_FOR_HEAL"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class ReadState:
    """How many activities the user has not read, and the version of the marks that were counted."""

    unread_count: int
    version: int


class NoticeKind(StrEnum):
    """What a notice is about."""

    HELLO = "HELLO"
    BOOKMARK = "BOOKMARK"
    ADVICE = "ADVICE"
    REAUTHENTICATE = "REAUTHENTICATE"
    CLOSING = "CLOSING"


@dataclass(frozen=True, slots=True)
class Added:
    """An activity. `attempt` is above 1 when it was handed over before."""

    cursor: Cursor
    activity: Activity
    published_at: datetime
    attempt: int


@dataclass(frozen=True, slots=True)
class Gap:
    """What the stream cannot show: everything after `since` up to `through`; `missing` is None if uncountable."""

    cursor: Cursor
    since: Cursor
    through: Cursor
    missing: int | None
    reason: GapReason
    recovery: GapRecovery


@dataclass(frozen=True, slots=True)
class Healed:
    """What a gap announced as missing after `since` up to `through`: here it is. Its cursors are old."""

    cursor: Cursor
    since: Cursor
    through: Cursor
    activities: tuple[Activity, ...]


@dataclass(frozen=True, slots=True)
class Notice:
    """A message from the server. `cursor` is where this stream has come to, `head` where the log ends.

    `retry_after` is when a client that is told CLOSING should come back, `reauthenticate_by` when its token expires:
    known with HELLO, REAUTHENTICATE and CLOSING, which are said to one client; all other notices are everybody's.
    """

    cursor: Cursor
    kind: NoticeKind
    head: Cursor
    at: datetime
    advice: Advice
    reauthenticate_by: datetime | None = None
    retry_after: timedelta | None = None
    read_state: ReadState | None = None


@dataclass(frozen=True, slots=True)
class ReadChange:
    """Marks that were made: of `ids`, or of everything up to a cursor when there are none; and what is left."""

    ids: tuple[ActivityId, ...]
    state: ReadState


@dataclass(frozen=True, slots=True)
class ReadChanged:
    """A change of the user's marks, told by a stream that has come to `cursor`. Ordered by its version, not by that."""

    cursor: Cursor
    change: ReadChange


Event = Added | Gap | Healed | Notice | ReadChanged


class Unshowable(Exception):
    """An event cannot be turned into bytes; the message says why."""


def added(entry: Entry[Activity], *, attempt: int) -> Added:
    """The event of an entry."""
    return Added(entry.cursor, entry.item, datetime.fromtimestamp(entry.published_at / 1000, UTC), attempt)


def ahead(since: Cursor, head: Cursor) -> Gap:
    """The client has a cursor that the log has not reached: PostgreSQL was restored, or the cursor is another log's."""
    return Gap(head, head, since, None, GapReason.CURSOR_AHEAD, GapRecovery.REFETCH_FEED)


def unknown(since: Cursor) -> Gap:
    """The log never had the client's cursor: what it knows of the past is another past."""
    return Gap(since, START, since, None, GapReason.CURSOR_UNKNOWN, GapRecovery.REFETCH_FEED)


def trimmed(since: Cursor, through: Cursor) -> Gap:
    """Rows were removed from the log of record: nobody has them any more."""
    return Gap(through, since, through, None, GapReason.TRIMMED, GapRecovery.NONE)


def capped(since: Cursor, through: Cursor, missing: int | None) -> Gap:
    """More was missed than a stream replays; `updates` has all of it, page by page."""
    return Gap(through, since, through, missing, GapReason.REPLAY_CAPPED, GapRecovery.FETCH_UPDATES)


def position_lost(head: Cursor) -> Gap:
    """Nobody remembers where the device stood."""
    return Gap(head, START, head, None, GapReason.POSITION_LOST, GapRecovery.REFETCH_FEED)


def not_delivered(cursor: Cursor, missing: Missing) -> Gap:
    """An entry that cannot be delivered, told by a stream that has come to `cursor`."""
    if missing.lack is Lack.GONE:
        return Gap(cursor, missing.since, missing.through, 1, GapReason.TRIMMED, GapRecovery.NONE)
    return Gap(cursor, missing.since, missing.through, 1, GapReason.DEAD_LETTERED, GapRecovery.WAIT_FOR_HEAL)


def healed(cursor: Cursor, found: Sequence[Entry[Activity]]) -> Healed:
    """Entries that a redrive brought back."""
    first, last = found[0], found[-1]
    return Healed(cursor, first.prev, last.cursor, tuple(entry.item for entry in found))
