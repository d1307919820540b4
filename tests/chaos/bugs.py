"""Bugs for a chaos round to find, each planted into the product of one server process, in memory."""

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from cache.reads import Marks, ReadBits
from resolvers.events import ReadChange
from resolvers.live import LiveFeed
from schema.wire import Wire
from streams.cursor import Cursor
from streams.tail import Tail


def drop_an_entry() -> None:
    """One in fifty writes with an activity in it does not happen."""
    written, write = count(1), Wire.write

    def forgetful(self: Wire, data: bytes) -> None:
        if b"ActivityAdded" not in data or next(written) % 50:
            write(self, data)

    Wire.write = forgetful  # type: ignore[method-assign]


def acknowledge_too_early() -> None:
    """What was given to the transport counts as taken by the peer."""

    def taken(self: Wire) -> int:
        return self.sent()

    Wire.taken = taken  # type: ignore[method-assign]


def ignore_prev() -> None:
    """A hole in the stream is passed over."""

    async def close_no_gap(self: Tail[Any], through: Cursor) -> None:
        pass

    Tail._close_gap = close_no_gap  # type: ignore[method-assign]


def leak_a_viewer() -> None:
    """What one user has read is told to all."""

    def tell_all(self: LiveFeed, user: str, change: ReadChange) -> None:
        for stream in tuple(self._open):
            stream.tell_read(change)

    LiveFeed.tell_read = tell_all  # type: ignore[method-assign]


def lose_a_bit() -> None:
    """The bitmap follows a mark without its first bit."""
    mark = ReadBits.mark

    async def forgetful(self: ReadBits, user: str, numbers: Sequence[int], marks: Marks) -> bool:
        return await mark(self, user, list(numbers)[1:], marks)

    ReadBits.mark = forgetful  # type: ignore[method-assign]


BUGS: dict[str, Callable[[], Any]] = {
    bug.__name__: bug for bug in (drop_an_entry, acknowledge_too_early, ignore_prev, leak_a_viewer, lose_a_bit)
}
