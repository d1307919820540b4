"""What a subscription tells its client, and a poll in its place: the same events with the same cursors."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from resolvers.activities import Activity
from streams.cursor import Cursor
from streams.entries import Entry
from telemetry.health import Advice


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
class Notice:
    """A message from the server. `cursor` is where this stream has come to, `head` where the log ends."""

    cursor: Cursor
    kind: NoticeKind
    head: Cursor
    at: datetime
    advice: Advice
    reauthenticate_by: datetime | None


Event = Added | Gap | Notice


def added(entry: Entry[Activity], *, attempt: int) -> Added:
    """The event of an entry."""
    return Added(entry.cursor, entry.item, datetime.fromtimestamp(entry.published_at / 1000, UTC), attempt)


def ahead(since: Cursor, head: Cursor) -> Gap:
    """The client has a cursor that the log has not reached: PostgreSQL was restored, or the cursor is another log's."""
    return Gap(head, head, since, None, GapReason.CURSOR_AHEAD, GapRecovery.REFETCH_FEED)
