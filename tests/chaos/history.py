"""What a chaos round leaves behind: the log as PostgreSQL has it, and everything that any client was ever sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from streams.cursor import START, Cursor


class Kind(StrEnum):
    """How a client of a round behaves."""

    CURSOR = "keeps its cursor"
    FILTERED = "keeps its cursor, wants votes only"
    DEVICE = "has a device ID"
    CONFIRMING = "confirms"
    REFUSING = "confirms, but for one in five, and hangs up on it"
    SLOW = "keeps its cursor, stops reading now and then"
    POLLING = "polls"
    SWITCHING = "polls and streams in turn"
    NEITHER = "neither keeps a cursor nor has a device ID"


DEVICES = frozenset({Kind.DEVICE, Kind.CONFIRMING, Kind.REFUSING})
"""They use one device ID, so each needs a user of its own."""
DEVICE = "phone"


@dataclass(frozen=True, slots=True)
class Row:
    """An activity that was committed."""

    id: int
    n: int
    cursor: Cursor
    type: str


@dataclass(frozen=True, slots=True)
class Received:
    """An activity as a client was sent it; `connection` counts the client's streams and polls."""

    id: int
    cursor: Cursor
    attempt: int
    connection: int


@dataclass(frozen=True, slots=True)
class Gap:
    """A FeedGap."""

    since: Cursor
    through: Cursor
    reason: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A letter as PostgreSQL has it. `subscriber` is `*` for everybody; `activity` None if nobody could read it."""

    id: int
    cursor: Cursor
    activity: int | None
    subscriber: str
    state: str
    healed: bool


@dataclass(slots=True)
class ClientHistory:
    """One client. `starts`: the cursor of each connection's HELLO, or of each poll."""

    name: str
    user: str
    kind: Kind
    types: frozenset[str] | None = None
    starts: list[Cursor] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    healed: set[int] = field(default_factory=set)
    read_states: list[tuple[int, frozenset[int]]] = field(default_factory=list)

    @property
    def subscriber(self) -> str | None:
        """As whom the server knows it, if it has a device ID."""
        return f"{self.user}:{DEVICE}" if self.kind in DEVICES else None

    @property
    def start(self) -> Cursor:
        """Where its first connection began."""
        return self.starts[0] if self.starts else START


@dataclass(slots=True)
class History:
    """A whole round.

    `committed`: IDs that publishers were told are committed. `stream`: cursor and activity of what Redis has in the
    end, None for garbage. `promised`: IDs each user was told are marked, `marked` what PostgreSQL has. `shown`: for
    each user and path of the feed, the IDs it showed in the end, and whether as read; `unread`: what it counted.
    `pending`: what is left in Redis' groups, and by its own count. `letters`: all; `redriven_in_peace`: IDs of those
    that were dead until nothing was broken any more. `slowest_calm`: seconds from an INSERT to the last who reads it,
    with nothing broken.
    """

    log: list[Row] = field(default_factory=list)
    committed: set[int] = field(default_factory=set)
    stream: Sequence[tuple[Cursor, int | None]] = field(default_factory=list)
    clients: list[ClientHistory] = field(default_factory=list)
    promised: dict[str, set[int]] = field(default_factory=dict)
    marked: dict[str, set[int]] = field(default_factory=dict)
    shown: dict[str, dict[str, list[tuple[int, bool]]]] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)
    unaccounted: Mapping[str, float] = field(default_factory=dict)
    pending: Mapping[str, int] = field(default_factory=dict)
    letters: list[DeadLetter] = field(default_factory=list)
    redriven_in_peace: set[int] = field(default_factory=set)
    slowest_calm: float = 0.0
