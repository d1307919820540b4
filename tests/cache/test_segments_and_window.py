"""Bits and numbers, without a server."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.segments import SIZE, pack, segment_of, stretches
from cache.window import Window


@dataclass(frozen=True)
class Item:
    """An item of a log."""

    n: int


@given(numbers=st.sets(st.integers(0, 3 * SIZE - 1), max_size=50), low=st.integers(0, SIZE - 1))
def test_packed_bits_are_the_numbers(numbers: set[int], low: int) -> None:
    """Whatever was packed is found in the bytes from any number on, and nothing else."""
    packed = pack(numbers, first=0, last=2)
    parts = [packed[0][(8 + low) // 8 :], packed[1][1:], packed[2][1:]]

    read = stretches(low, parts)

    around = {n + k for n in numbers for k in (-1, 0, 1) if low <= n + k < 3 * SIZE}
    assert {n for n in around if read[segment_of(n)].has(n)} == {n for n in numbers if n >= low}


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
