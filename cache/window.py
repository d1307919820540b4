"""The newest activities in the memory of this process, by their dense log numbers."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from cache.segments import ones


class Numbered(Protocol):
    """An immutable item of the log."""

    @property
    def n(self) -> int:
        """Its dense log number, from 1."""
        ...


T = TypeVar("T", bound=Numbered)


class Window(Generic[T]):
    """Holds the items numbered `low` to `high` without a hole; `low` is `high + 1` while it is empty.

    `head` is the cursor that belongs to `high`. Grows to twice `size`, then forgets the older half.
    """

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._items: list[T] = []
        self.low = 1
        self.head = 0

    def __len__(self) -> int:
        return len(self._items)

    @property
    def high(self) -> int:
        """The number of the newest item."""
        return self.low + len(self._items) - 1

    def __getitem__(self, n: int) -> T:
        """The item numbered `n`. Raises IndexError for one that is not here."""
        if n < self.low:
            raise IndexError(n)
        return self._items[n - self.low]

    def extend(self, items: Iterable[T], *, head: int) -> None:
        """Add the successors of what is here. After a hole, which a healthy log does not have, it starts anew."""
        for item in items:
            if not self._items or item.n != self.high + 1:
                self._items.clear()
                self.low = item.n
            self._items.append(item)
        if len(self._items) >= 2 * self._size:
            drop = len(self._items) - self._size
            del self._items[:drop]
            self.low += drop
        self.head = head

    def clear(self) -> None:
        """Forget everything: what follows does not join."""
        self._items.clear()

    def older(self, before: int | None) -> Iterator[T]:
        """The items below the number `before`, newest first. To be used up before anything else runs."""
        start = len(self._items) if before is None else min(max(before - self.low, 0), len(self._items))
        return (self._items[k] for k in range(start - 1, -1, -1))

    def replace(self, renewed: Callable[[T], T]) -> None:
        """Put `renewed(item)` in the place of every item: the same activity, with its MP or bill as it is now."""
        self._items = [renewed(item) for item in self._items]


class Matching(Generic[T]):
    """Which items of a window match, as bits: an item is looked at once, when it is new."""

    def __init__(self, window: Window[T], matches: Callable[[T], bool]) -> None:
        """`matches` must say the same of every state of an item."""
        self._window = window
        self._matches = matches
        self._low, self._high, self._bits = 1, 0, 0

    def bits(self) -> int:
        """Bit k is set if the item numbered `window.high - k` matches."""
        low, high = self._window.low, self._window.high
        if not self._low <= low <= self._high + 1 <= high + 1:
            self._low, self._high, self._bits = low, low - 1, 0
        if high > self._high:
            new = "".join("1" if self._matches(self._window[n]) else "0" for n in range(self._high + 1, high + 1))
            self._bits = self._bits << len(new) | int(new, 2)
        self._bits &= ones(high - low + 1)
        self._low, self._high = low, high
        return self._bits
