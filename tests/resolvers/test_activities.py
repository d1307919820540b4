"""Activities as values."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.activities import (
    EVERYTHING,
    Activity,
    ActivityFilter,
    ActivityId,
    ActivityType,
    Bill,
    BillId,
    Mp,
    MpId,
    decode,
    encode,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
ids = st.integers(1, 2**53)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
instants = st.integers(-(10**16), 10**17).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(-1e300, 1e300), text),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
members = st.builds(Mp, ids.map(MpId), text, st.none() | text, st.none() | text, st.integers(1, 9))
acts = st.builds(Bill, ids.map(BillId), text, text, st.integers(1, 9))
everything = st.builds(
    Activity,
    id=ids.map(ActivityId),
    n=ids,
    type=st.sampled_from(ActivityType),
    title=text,
    summary=st.none() | text,
    url=st.none() | text,
    occurred_at=instants,
    created_at=instants,
    metadata=st.dictionaries(text, json_values, max_size=3),
    mp=st.none() | members,
    bill=st.none() | acts,
)


@given(everything)
def test_what_is_encoded_is_decoded_the_same(activity: Activity) -> None:
    """An activity that went through the stream is the activity that PostgreSQL has."""
    assert activity == decode(encode(activity))


@given(st.binary())
def test_anything_else_is_refused_as_one_kind_of_error(data: bytes) -> None:
    """Whatever bytes an entry holds, decoding them gives an activity or ValueError."""
    with pytest.raises(ValueError, match="not an activity"):
        decode(data)


@pytest.mark.parametrize("data", [b"null", b"[]", b"{}", b'{"id":1,"mp":3}', b'"text"'])
def test_json_that_is_no_activity_is_refused(data: bytes) -> None:
    """Well-formed JSON of another shape is no activity."""
    with pytest.raises(ValueError, match="not an activity"):
        decode(data)


def test_unknown_type_reads_as_other() -> None:
    """A process that is older than a new type shows it as OTHER, and goes on."""
    assert ActivityType.OTHER is ActivityType("FROM_THE_FUTURE")


@given(everything)
def test_filter_lets_through_what_fits_every_condition(activity: Activity) -> None:
    """No condition means everything; each condition given must hold."""
    assert EVERYTHING.matches(activity)
    assert ActivityFilter(types=frozenset({activity.type})).matches(activity)
    assert not ActivityFilter(types=frozenset(set(ActivityType) - {activity.type})).matches(activity)
    assert not ActivityFilter(mps=frozenset({MpId(0)})).matches(activity)
    if activity.mp and activity.bill:
        both = ActivityFilter(mps=frozenset({activity.mp.id}), bills=frozenset({activity.bill.id}))
        assert both.matches(activity)
        assert not ActivityFilter(mps=both.mps, bills=frozenset({BillId(0)})).matches(activity)
