"""Cursors: text, order, range."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cursor import Cursor, CursorInvalid

packed = st.integers(0, 2**63 - 1).map(Cursor)


@given(packed)
def test_text_and_back_is_the_same_cursor(cursor: Cursor) -> None:
    """Whatever a client is told as a cursor is read as that cursor."""
    assert cursor == Cursor.parse(str(cursor))


@given(packed, packed)
def test_order_is_that_of_the_two_integers_in_the_text(a: Cursor, b: Cursor) -> None:
    """Clients may compare cursors as two integers and agree with the server."""
    as_pairs = [tuple(map(int, str(cursor).split("-"))) for cursor in (a, b)]

    assert (a < b) == (as_pairs[0] < as_pairs[1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "5-",
        "-5",
        "5-5-5",
        "05-1",
        "5-01",
        " 5-1",
        "5-1\n",
        "\u0665-1",
        "9999999999999-0",
        f"1-{1 << 20}",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    """Only the exact form is a cursor: no bare milliseconds, other digits, spaces or overflow."""
    with pytest.raises(CursorInvalid):
        Cursor.parse(text)
