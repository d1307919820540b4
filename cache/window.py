"""The newest activities in the memory of this process, by their dense log numbers."""

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar


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
