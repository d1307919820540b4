"""The ring of recent entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.activities import Activity
from streams.cursor import START, Cursor
from streams.ring import Ring
from tests.support.parliament import chain


@given(size=st.integers(1, 20), length=st.integers(0, 100), after=st.integers(0, 110), limit=st.integers(1, 30))
def test_after_is_the_unbroken_run_or_an_honest_none(size: int, length: int, after: int, limit: int) -> None:
    """However much was dropped, `after` gives exactly what follows a place, or says that it does not reach back."""
    ring: Ring[Activity] = Ring(size=size, floor=START)
    entries = chain(length)
    for entry in entries:
        ring.append(entry)

    found = ring.after(Cursor(after), limit)

    if found is None:
        assert after < ring.floor
    else:
        assert entries[after:][:limit] == list(found)
    assert len(ring) >= min(size, length)
    assert len(ring) < 2 * size or size == 1


def test_an_entry_that_does_not_follow_the_head_is_refused() -> None:
    """The ring never holds an entry twice or out of order."""
    ring: Ring[Activity] = Ring(size=5, floor=START)
    first, second = chain(2)
    ring.append(second)

    with pytest.raises(ValueError, match="does not follow"):
        ring.append(first)
