"""Tokens."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from resolvers.errors import Forbidden, Unauthenticated
from resolvers.identity import Expected, Scope, Tokens, Verified, Viewer, bearer

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


async def test_issued_token_is_read_as_its_user_with_its_scopes(tokens: Tokens) -> None:
    """What `cli token` prints, the server accepts."""
    token = tokens.issue(user="ada", scopes=frozenset({Scope.READ, Scope.OPS}), lasts=HOUR)

    viewer = await tokens.read(token)

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
        (f"Bearer {made(exp=1e300)}", "not valid"),
        (f"Bearer {made(exp='tomorrow')}", "not valid"),
        (f"Bearer {made(sub=['ada'])}", "not valid"),
        (f"Bearer {made(nbf=datetime.now(UTC) + HOUR)}", "not valid"),
        (f"Bearer {made(aud='another service')}", "not valid"),
        (f"Bearer {'x' * 10_000}", "at most 8192"),
        ("Bearer " + jwt.encode({"sub": "ada", "exp": 9e9}, "", algorithm="none"), "not valid"),
        ("Bearer " + jwt.encode({"sub": "ada", "exp": 9e9}, SECRET * 2, algorithm="HS256"), "not valid"),
        ("Bearer " + jwt.encode({"sub": "ada", "exp": 9e9}, SECRET * 2, algorithm="HS512"), "not valid"),
    ],
)
async def test_token_that_does_not_count_is_refused(tokens: Tokens, authorization: str | None, told: str) -> None:
    """Each refusal says what to do, and none says more."""
    with pytest.raises(Unauthenticated, match=told):
        await tokens.read(bearer(authorization))


async def test_unknown_scopes_count_for_nothing(tokens: Tokens) -> None:
    """A scope of another service neither helps nor harms."""
    viewer = await tokens.read(made(scope="reader admin publish"))

    viewer.require(Scope.PUBLISH)
    with pytest.raises(Forbidden, match="'read'"):
        viewer.require(Scope.READ)


async def test_scopes_may_be_a_list_in_a_claim_of_another_name() -> None:
    """Identity providers differ in where they write scopes."""
    tokens = Tokens(secret=SECRET, expected=Expected(scope_claim="permissions"))

    viewer = await tokens.read(made(scope=None, permissions=["read", "ops", 7]))

    assert viewer.scopes == {Scope.READ, Scope.OPS}


@pytest.mark.parametrize(
    ("claims", "counts"),
    [
        ({"iss": "https://id.example", "aud": "divisionbell"}, True),
        ({"iss": "https://id.example", "aud": ["other", "divisionbell"]}, True),
        ({"iss": "https://id.example", "aud": "other"}, False),
        ({"iss": "https://evil.example", "aud": "divisionbell"}, False),
        ({"aud": "divisionbell"}, False),
        ({"iss": "https://id.example"}, False),
    ],
)
async def test_token_counts_for_its_issuer_and_audience_only(claims: dict[str, Any], counts: bool) -> None:
    """What was signed for another service, or by another issuer with the same secret, is refused."""
    tokens = Tokens(secret=SECRET, expected=Expected(issuer="https://id.example", audience="divisionbell"))

    if counts:
        assert (await tokens.read(made(**claims))).user == "ada"
    else:
        with pytest.raises(Unauthenticated):
            await tokens.read(made(**claims))


async def test_clocks_may_differ_by_the_leeway() -> None:
    """A token that expired within it still counts, one that expired before does not."""
    tokens = Tokens(secret=SECRET, expected=Expected(leeway=timedelta(seconds=30)))

    assert isinstance(await tokens.read(made(exp=datetime.now(UTC) - timedelta(seconds=10))), Viewer)
    with pytest.raises(Unauthenticated):
        await tokens.read(made(exp=datetime.now(UTC) - timedelta(seconds=40)))


@pytest.mark.parametrize("secret", ["hunter2", "a" * 64, "abcabc" * 8])
def test_secret_that_can_be_guessed_is_refused(secret: str) -> None:
    """A server does not start with a secret that is short or repeats itself, and says what to set."""
    with pytest.raises(ValueError, match="AUTH_SECRET must be at least 32 bytes"):
        Tokens(secret=secret)


def test_user_that_a_token_cannot_carry_is_refused(tokens: Tokens) -> None:
    """Nobody gets a token that the server would not read."""
    with pytest.raises(ValueError, match="1 to 128"):
        tokens.issue(user="", scopes=frozenset(), lasts=HOUR)


async def test_token_is_trusted_for_a_while_and_not_beyond_its_end(tokens: Tokens) -> None:
    """The second request with a token costs no signature; an ended one, and one read long ago, is read again."""
    asked: list[str] = []

    async def read(token: str) -> Viewer:
        asked.append(token)
        return await tokens.read(token)

    async def users(verified: Verified, *those: str) -> list[str]:
        return [(await verified.read(token)).user for token in those]

    kept, never = Verified(read, most=2), Verified(read, trusted=timedelta(0))
    a, b, c = [tokens.issue(user=name, scopes=frozenset(), lasts=HOUR) for name in "abc"]
    assert [await users(kept, a, a), len(asked)] == [["a", "a"], 1]
    assert await users(kept, a, b, c) == ["a", "b", "c"]
    assert [await users(kept, a), len(asked)] == [["a"], 4]  # it had made room
    assert [await users(never, a, a), len(asked)] == [["a", "a"], 6]
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await kept.read("x")
    assert len(asked) == 8


async def test_token_that_is_trusted_no_more_is_forgotten() -> None:
    """With the next that is read: clients that renew theirs do not fill the memory with old ones."""
    tokens = Tokens(secret=SECRET)
    some = [tokens.issue(user=str(k), scopes=frozenset(), lasts=HOUR) for k in range(10)]
    kept, trusting = Verified(tokens.read, trusted=timedelta(0)), Verified(tokens.read)
    for token in some:
        await kept.read(token)
        await trusting.read(token)

    assert (len(kept._kept), len(trusting._kept)) == (0, 10)


async def test_token_that_ended_meanwhile_is_refused() -> None:
    """However short ago it was read."""
    answers = [Viewer("ada", frozenset(), datetime.now(UTC) - timedelta(seconds=1))]

    async def read(token: str) -> Viewer:
        return answers.pop() if answers else await Tokens(secret=SECRET).read(token)

    kept = Verified(read)
    assert (await kept.read("x")).user == "ada"

    with pytest.raises(Unauthenticated):
        await kept.read("x")
