"""Tokens."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from resolvers.errors import Forbidden, Unauthenticated
from resolvers.identity import Scope, Tokens, Verified, Viewer

SECRET = "a secret that is long enough for HS256"
HOUR = timedelta(hours=1)


@pytest.fixture
def tokens() -> Tokens:
    """Of the server."""
    return Tokens(secret=SECRET)


def made(**claims: Any) -> str:
    """A signed token with other claims than usual; None leaves one out."""
    usual = {"sub": "ada", "exp": datetime.now(UTC) + HOUR, "scope": "read"}
    return jwt.encode({k: v for k, v in (usual | claims).items() if v is not None}, SECRET, algorithm="HS256")


def test_issued_token_is_read_as_its_user_with_its_scopes(tokens: Tokens) -> None:
    """What `cli token` prints, the server accepts."""
    token = tokens.issue(user="ada", scopes=frozenset({Scope.READ, Scope.OPS}), lasts=HOUR)

    viewer = tokens.read(f"Bearer {token}")

    assert ("ada", {Scope.READ, Scope.OPS}) == (viewer.user, set(viewer.scopes))
    assert abs(viewer.expires_at - datetime.now(UTC) - HOUR) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("authorization", "told"),
    [
        (None, "Send your token"),
        ("", "Send your token"),
        ("Basic YTpi", "must read 'Bearer"),
        ("Bearer", "must read 'Bearer"),
        ("Bearer nonsense", "not valid"),
        (f"Bearer {made(exp=datetime.now(UTC) - HOUR)}", "expired"),
        (f"Bearer {made(exp=None)}", "not valid"),
        (f"Bearer {made(sub=None)}", "not valid"),
        (f"Bearer {made(sub='')}", "names no user"),
        (f"Bearer {made(sub='x' * 200)}", "names no user"),
        (f"Bearer {made(sub='a' + chr(10))}", "names no user"),
        ("Bearer " + jwt.encode({"sub": "ada", "exp": 9e9}, None, algorithm="none"), "not valid"),
        ("Bearer " + jwt.encode({"sub": "ada", "exp": 9e9}, SECRET * 2, algorithm="HS256"), "not valid"),
        ("Bearer " + jwt.encode({"sub": "ada", "exp": 9e9}, SECRET * 2, algorithm="HS512"), "not valid"),
    ],
)
def test_token_that_does_not_count_is_refused(tokens: Tokens, authorization: str | None, told: str) -> None:
    """Each refusal says what to do, and none says more."""
    with pytest.raises(Unauthenticated, match=told):
        tokens.read(authorization)


def test_unknown_scopes_count_for_nothing(tokens: Tokens) -> None:
    """A scope of another service neither helps nor harms."""
    viewer = tokens.read(f"Bearer {made(scope='reader admin publish')}")

    viewer.require(Scope.PUBLISH)
    with pytest.raises(Forbidden, match="'read'"):
        viewer.require(Scope.READ)


def test_short_secret_is_refused() -> None:
    """A server does not start with a secret that can be guessed, and says what to set."""
    with pytest.raises(ValueError, match="AUTH_SECRET must be at least 32 bytes"):
        Tokens(secret="hunter2")


def test_user_that_a_token_cannot_carry_is_refused(tokens: Tokens) -> None:
    """Nobody gets a token that the server would not read."""
    with pytest.raises(ValueError, match="1 to 128"):
        tokens.issue(user="", scopes=frozenset(), lasts=HOUR)


def test_token_is_trusted_for_a_while_and_not_beyond_its_end(tokens: Tokens) -> None:
    """The second request with a token costs no signature; an ended one, and one read long ago, is read again."""
    asked: list[str | None] = []

    def read(authorization: str | None) -> Viewer:
        asked.append(authorization)
        return tokens.read(authorization)

    kept, never = Verified(read, most=2), Verified(read, trusted=timedelta(0))
    headers = [f"Bearer {tokens.issue(user=name, scopes=frozenset(), lasts=HOUR)}" for name in "abc"]
    assert [kept(headers[0]).user, kept(headers[0]).user, len(asked)] == ["a", "a", 1]
    assert [kept(header).user for header in headers] == ["a", "b", "c"]
    assert [kept(headers[0]).user, len(asked)] == ["a", 4]  # it had made room
    assert [never(headers[0]).user, never(headers[0]).user, len(asked)] == ["a", "a", 6]
    for wrong in (None, "Bearer x", "Bearer x"):
        with pytest.raises(Unauthenticated):
            kept(wrong)
    assert len(asked) == 9


def test_token_that_ended_meanwhile_is_refused() -> None:
    """However short ago it was read."""
    ended = Viewer("ada", frozenset(), datetime.now(UTC) - timedelta(seconds=1))
    answers = iter([ended])
    kept = Verified(lambda _: next(answers, None) or Tokens(secret=SECRET).read(None))
    assert kept("Bearer x").user == "ada"

    with pytest.raises(Unauthenticated):
        kept("Bearer x")
