"""Who sends a request: a token by header, or by a cookie where the page counts, and what the others are told."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from starlette.requests import Request

from resolvers.errors import Unauthenticated, Unavailable
from resolvers.identity import LONGEST_TOKEN, Scope, Viewer
from schema.authentication import Authentication
from schema.origins import CSRF_HEADER
from schema.refusals import HttpRefusal

PAGE = "https://app.example"
COOKIE = {"Cookie": "session=ada"}


def asking(headers: dict[str, str]) -> Request:
    """A request with these headers."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "GET", "scheme": "https", "path": "/graphql", "query_string": b""}
    return Request({**scope, "server": ("bell.example", 443), "headers": raw})


@dataclass
class Door:
    """An authentication for which a token is its user's name; it notes what it reads, and whose token did not count."""

    cookie: str | None = "session"
    reads: list[str] = field(default_factory=list)
    failed: list[Request] = field(default_factory=list)

    async def read(self, token: str) -> Viewer:
        """`bad` does not count, `early` cannot be checked, `guest` has no scope."""
        self.reads.append(token)
        if token == "bad":
            raise Unauthenticated("Your token is not valid here.")
        if token == "early":
            raise Unavailable("Tokens cannot be checked now.")
        scopes = frozenset() if token == "guest" else frozenset({Scope.READ})
        return Viewer(token, scopes, datetime.now(UTC) + timedelta(hours=1))

    async def __call__(self, headers: dict[str, str]) -> Viewer:
        """Whose request it is."""
        check = Authentication(read=self.read, failed=self.failed.append, cookie=self.cookie, origins=[PAGE])
        return await check(asking(headers))

    async def refuses(self, headers: dict[str, str]) -> HttpRefusal:
        """The refusal of a request."""
        with pytest.raises(HttpRefusal) as refused:
            await self(headers)
        return refused.value


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_bearer_is_who_the_token_says(scheme: str) -> None:
    """From whatever page: no other page's browser sends that header by itself."""
    door = Door()

    assert (await door({"Authorization": f"{scheme} ada", "Origin": "https://evil.example"})).user == "ada"
    assert door.failed == []


@pytest.mark.parametrize("proof", [{"Origin": PAGE}, {"Sec-Fetch-Site": "same-origin"}, {CSRF_HEADER: "1"}], ids=str)
async def test_cookie_counts_from_a_page_that_may_use_it(proof: dict[str, str]) -> None:
    """A native EventSource cannot send headers, but its browser says where it stands."""
    assert (await Door()(COOKIE | proof)).user == "ada"


@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}], ids=str
)
async def test_cookie_from_another_page_is_not_even_read(headers: dict[str, str]) -> None:
    """The refusal says what to send instead, and is the same for a good cookie and a bad one."""
    door = Door()
    for cookie in (COOKIE, {"Cookie": "session=bad"}):
        refusal = await door.refuses(cookie | headers)

        assert (refusal.status, refusal.code) == (403, "CROSS_SITE")
        assert CSRF_HEADER in refusal.message
    assert door.reads == []


async def test_cookie_that_is_not_set_up_is_no_token() -> None:
    """Without AUTH_COOKIE, and under another name, whatever a browser carries along counts for nothing."""
    for door, headers in ((Door(cookie=None), COOKIE), (Door(), {"Cookie": "other=ada"}), (Door(), {})):
        refusal = await door.refuses(headers | {"Origin": PAGE})

        assert (refusal.status, refusal.code) == (401, "UNAUTHENTICATED")
        assert refusal.headers["WWW-Authenticate"] == "Bearer"
        assert door.reads == []


async def test_header_counts_before_the_cookie() -> None:
    """Who sends a token means it: one that does not count is not mended by the browser's."""
    door = Door()

    assert (await door(COOKIE | {"Authorization": "Bearer eve"})).user == "eve"
    for authorization in ("Bearer bad", "Basic YWRhOmFkYQ==", ""):
        refusal = await door.refuses(COOKIE | {"Authorization": authorization, "Origin": PAGE})
        assert refusal.status == 401
    assert door.reads == ["eve", "bad"]


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer bad"}, {"Authorization": f"Bearer {'a' * (LONGEST_TOKEN + 1)}"}]
)
async def test_failure_is_told_once_with_its_request(headers: dict[str, str]) -> None:
    """So that who guesses is counted by address."""
    door = Door(cookie=None)
    refusal = await door.refuses(headers)

    assert (refusal.status, refusal.code) == (401, "UNAUTHENTICATED")
    [told] = door.failed
    assert told.headers.get("authorization") == headers.get("Authorization")


async def test_stranger_who_fails_too_often_gets_that_answer() -> None:
    """What is told of the failure may refuse by itself: 429 goes out instead of 401."""
    door = Door()

    def enough(_: Request) -> None:
        raise HttpRefusal(429, "RATE_LIMITED", "Wait.", retry_after=timedelta(seconds=9))

    with pytest.raises(HttpRefusal) as refused:
        await Authentication(read=door.read, failed=enough)(asking({"Authorization": "Bearer bad"}))

    assert refused.value.status == 429


async def test_token_that_cannot_be_checked_may_be_sent_again() -> None:
    """While no signing keys are known: 503 and when to come back. It is nobody's failure, so nobody is counted."""
    door = Door()
    refusal = await door.refuses({"Authorization": "Bearer early"})

    assert (refusal.status, refusal.code) == (503, "UNAVAILABLE")
    assert refusal.headers["Retry-After"] == "5"
    assert refusal.temporary
    assert door.failed == []


async def test_token_without_a_scope_opens_nothing() -> None:
    """403, and not 401: another token of the same kind would not help."""
    refusal = await Door().refuses({"Authorization": "Bearer guest"})

    assert (refusal.status, refusal.code) == (403, "FORBIDDEN")
    assert "read, publish and ops" in refusal.message
