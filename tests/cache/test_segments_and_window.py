"""Bits and numbers, without a server."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.segments import FIRST_BIT, SIZE, count_after, join, newest, pack, segment_of
from cache.window import Matching, Window


@dataclass(frozen=True)
class Item:
    """An item of a log."""

    n: int


@given(numbers=st.sets(st.integers(0, 3 * SIZE - 1), max_size=50), low=st.integers(0, SIZE - 1), data=st.data())
def test_packed_bits_are_the_numbers(numbers: set[int], low: int, data: st.DataObject) -> None:
    """Whatever was packed is found in the bytes between any two numbers, newest first, and nothing else.

    What the last part has behind the upper one is counted.
    """
    high = data.draw(st.integers(low, 3 * SIZE - 1))
    packed = pack(numbers, first=0, last=2)
    starts = [max(low, k * SIZE) % SIZE for k in range(segment_of(high) + 1)]
    ends = [min(high, (k + 1) * SIZE - 1) % SIZE for k in range(segment_of(high) + 1)]
    parts = [
        packed[k][(FIRST_BIT + start) // 8 : (FIRST_BIT + end) // 8 + 1]
        for k, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]

    parts[-1] = packed[segment_of(high)][(FIRST_BIT + starts[-1]) // 8 :]

    bits = join(parts, low=low, high=high)

    later = [n for n in numbers if n > high and segment_of(n) == segment_of(high)]
    assert count_after(parts[-1], low=low, head=high) == len(later)
    assert list(newest(bits, high=high)) == sorted((n for n in numbers if low <= n <= high), reverse=True)


def test_a_sparse_segment_is_short() -> None:
    """A user with one early mark takes two bytes, not 8 KB."""
    assert [bytes([0x80]), bytes([0x80, 0x80])] == pack([SIZE], first=0, last=1)


def test_window_forgets_the_oldest() -> None:
    """It holds between once and twice its size, and the numbers stay right."""
    window: Window[Item] = Window(size=3)
    for n in range(1, 9):
        window.extend([Item(n)], head=n * 10)
        assert min(n, 3) <= len(window) < 6
        assert (n, n * 10) == (window.high, window.head)

    assert [Item(5), Item(4)] == [item for item in window.older(6) if item.n > 3][:2]


@pytest.mark.parametrize(
    ("before", "seen"), [(None, [12, 11, 10]), (12, [11, 10]), (10, []), (3, []), (99, [12, 11, 10])]
)
def test_window_walks_into_the_past(before: int | None, seen: list[int]) -> None:
    """From anywhere, newest first."""
    window: Window[Item] = Window(size=10)
    window.extend([Item(10), Item(11), Item(12)], head=12)

    assert seen == [item.n for item in window.older(before)]


def test_window_starts_anew_after_a_hole() -> None:
    """What does not join is not shown beside what is here: a page over a hole would skip silently."""
    window: Window[Item] = Window(size=10)
    window.extend([Item(1), Item(2)], head=2)
    window.extend([Item(4), Item(5)], head=5)

    assert (window.low, window.high, [item.n for item in window.older(None)]) == (4, 5, [5, 4])


@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(1, 5)), max_size=20),
    size=st.integers(1, 8),
)
def test_matching_bits_follow_the_window(steps: list[tuple[bool, int, int]], size: int) -> None:
    """However the window grows, forgets, or starts anew above or below, the bits are those of what it has now."""
    window: Window[Item] = Window(size=size)
    even = Matching(window, lambda item: item.n % 2 == 0)
    for anew, gap, count in steps:
        if anew:
            window.clear()
        start = max(window.high + 1 + (gap - 2 if anew else 0), 1)
        window.extend([Item(n) for n in range(start, start + count)], head=start + count)

        assert [n for n in range(window.high, window.low - 1, -1) if n % 2 == 0] == list(
            newest(even.bits(), high=window.high)
        )
