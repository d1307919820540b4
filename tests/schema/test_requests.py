"""The headers of a GraphQL request."""

from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from schema.requests import IndexedHeaders

NAMES = st.sampled_from([b"accept", b"authorization", b"cookie", b"x-\xe4"])


@given(
    raw=st.lists(st.tuples(NAMES, st.binary(max_size=4))), asked=st.sampled_from(["Accept", "accept", "\xe4", "x-\xe4"])
)
def test_index_answers_as_starlette_does(raw: list[tuple[bytes, bytes]], asked: str) -> None:
    """The first of several counts, in whatever case it is asked for, and all of them are there."""
    indexed, plain = IndexedHeaders(raw), Headers(raw=raw)

    assert plain.get(asked) == indexed.get(asked)
    assert plain.get(asked, "none") == indexed.get(asked, "none")
    assert (asked in plain) == (asked in indexed)
    assert plain.getlist(asked) == indexed.getlist(asked)
    assert plain == indexed
    if asked in plain:
        assert plain[asked] == indexed[asked]
