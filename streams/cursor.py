"""An activity's place in the log: a Redis stream ID that compares as one integer."""

import re
from datetime import UTC, datetime
from typing import Self

SEQUENCE_BITS = 20
"""1,048,576 activities may share a millisecond; the one after that takes the next millisecond."""

_LARGEST = 2**63 - 1  # a PostgreSQL bigint
_WRITTEN = re.compile(r"(0|[1-9][0-9]{0,12})-(0|[1-9][0-9]{0,6})", re.ASCII)


class CursorInvalid(ValueError):
    """The text is no cursor of ours."""


class Cursor(int):
    """`<milliseconds since 1970>-<sequence>`, packed as milliseconds * 2**20 + sequence.

    Packed, a comparison is one of machine integers on every side: a bigint in PostgreSQL, an int in the ring. As text
    it is the ID of the Redis stream entry and the SSE `id:`. `Cursor(0)` is the place before the first activity.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """Read `<ms>-<seq>`. Raises CursorInvalid for anything else, bare milliseconds included."""
        if isinstance(text, bytes):
            text = text.decode("ascii", "replace")
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise CursorInvalid(f"{text[:40]!r} is not a cursor of the form <milliseconds>-<sequence>")
        milliseconds, sequence = int(match[1]), int(match[2])
        packed = (milliseconds << SEQUENCE_BITS) + sequence
        if sequence >> SEQUENCE_BITS or packed > _LARGEST:
            raise CursorInvalid(f"{text[:40]!r} lies outside the range of cursors")
        return cls(packed)

    @classmethod
    def at(cls, instant: datetime) -> Self:
        """The first cursor of the millisecond of `instant` (aware)."""
        return cls(int(instant.timestamp() * 1000) << SEQUENCE_BITS)

    @property
    def milliseconds(self) -> int:
        """Milliseconds since 1970 of the sequencer's clock when the activity was given its place."""
        return self >> SEQUENCE_BITS

    @property
    def instant(self) -> datetime:
        """The same as an aware UTC datetime."""
        return datetime.fromtimestamp(self.milliseconds / 1000, UTC)

    def __str__(self) -> str:
        """Text as Redis and clients know it."""
        return f"{self >> SEQUENCE_BITS}-{self & ((1 << SEQUENCE_BITS) - 1)}"

    def __repr__(self) -> str:
        """Text that shows the type in a failing assertion."""
        return f"Cursor({self})"


START = Cursor(0)
