"""Polls that found nothing new: 304 for who has the bytes."""

import pytest
from starlette.requests import Request
from starlette.responses import Response

from schema.conditional import revalidated


def answered(body: bytes, *if_none_match: str) -> Response:
    """The answer to a GET with these headers."""
    headers = [(b"if-none-match", value.encode()) for value in if_none_match]
    request = Request({"type": "http", "method": "GET", "path": "/graphql", "headers": headers})
    return revalidated(request, Response(body, headers={"Vary": "Accept, Authorization"}))


def test_same_bytes_have_the_same_strong_tag() -> None:
    """And other bytes another one; only the client that asked may keep them."""
    first, again, other = answered(b"a"), answered(b"a"), answered(b"b")

    assert first.headers["etag"] == again.headers["etag"] != other.headers["etag"]
    assert first.headers["etag"].startswith('"')
    assert (first.status_code, first.headers["cache-control"]) == (200, "private, no-cache")


@pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', "*"])
def test_known_bytes_are_not_sent_again(form: str) -> None:
    """Whatever form the client's header has."""
    etag = answered(b"a").headers["etag"]

    answer = answered(b"a", form.format(etag))

    assert (304, b"", etag) == (answer.status_code, answer.body, answer.headers["etag"])
    assert answer.headers["vary"] == "Accept, Authorization"


def test_changed_bytes_are_sent() -> None:
    """An old tag is no reason to stay silent."""
    answer = answered(b"b", answered(b"a").headers["etag"])

    assert (answer.status_code, answer.body) == (200, b"b")
