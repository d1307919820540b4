"""What a consumer yields, what it needs of a connection, and why it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Generic, Protocol, TypeVar

from streams.cursor import Cursor
from streams.entries import Entry

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Delivery(Generic[T]):
    """An entry handed over. `attempt` is 1 the first time; `live` when it was not waited for."""

    entry: Entry[T]
    attempt: int
    live: bool


class Lack(Enum):
    """Why an entry cannot be delivered."""

    DEAD = auto()
    """It is with the dead letters, this subscriber's or everybody's."""
    GONE = auto()
    """It was pending, and nobody has it any more."""


@dataclass(frozen=True, slots=True)
class Missing:
    """An entry after `since` up to `through` that the stream tells as a gap."""

    since: Cursor
    through: Cursor
    lack: Lack


@dataclass(frozen=True, slots=True)
class Healed(Generic[T]):
    """Entries that were told as missing before, and are here after all."""

    entries: Sequence[Entry[T]]


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Nothing to deliver: this stream has come to `position`, and the log ends at `head`."""

    position: Cursor
    head: Cursor


@dataclass(frozen=True, slots=True)
class Note:
    """Something the stream's owner wants to be said to the client."""

    what: object


Step = Delivery[T] | Missing | Healed[T] | Bookmark | Note


class Confirmation(StrEnum):
    """Who says that a delivery has arrived."""

    SOCKET = "SOCKET"
    """The peer's kernel, by acknowledging the bytes. Behind a proxy that is the proxy's kernel."""
    CLIENT = "CLIENT"
    """The client itself."""


class Acceptance(Protocol):
    """What became of the bytes that deliveries were turned into, counted from the beginning of the stream."""

    def sent(self) -> int:
        """Bytes given to the connection so far."""
        ...

    def taken(self) -> int:
        """How many of them the client's side has for certain."""
        ...


class TakenAtOnce:
    """Acceptance where nothing is known of a connection: what was given was taken."""

    def sent(self) -> int:
        """Nothing is counted."""
        return 0

    def taken(self) -> int:
        """Nothing is waiting."""
        return 0


class Closed(StrEnum):
    """Why the server ends a stream before its client leaves. The client resumes in every case."""

    DRAINING = "draining"
    """The process is about to stop."""
    SUPERSEDED = "superseded"
    """A newer stream of the same device has taken over."""
    REWOUND = "rewound"
    """Redis lost what was pending: the next stream starts before it."""
    LAGGING = "lagging"
    """It fell out of the ring: others must not pay for reading the past again and again."""
    STALLED = "stalled"
    """The connection took nothing for ten seconds."""
    EXPIRED = "expired"
    """The token counts no longer."""
    AGED = "aged"
    """It has been open for as long as streams may be."""
    HALTED = "halted"
    """Too much fails for single entries to be given up; see `streams.dead_letters.Limit`."""
