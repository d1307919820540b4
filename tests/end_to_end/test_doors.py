"""A real server's doors: who is let in, from where, how often, and what happens to who dawdles."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from tests.support.server import ServerProcess, token

HEALTH = {"query": "{ health { redis } }"}
STREAM = {"query": "subscription { activityAdded { cursor } }"}
PAGE = "https://app.example"


def bearer(user: str, scope: str = "read") -> dict[str, str]:
    """The header of a user."""
    return {"Authorization": f"Bearer {token(user, scope)}"}


def code(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, answer.json()["errors"][0]["extensions"]["code"]


async def test_doors_of_a_server(start_server: Callable[..., ServerProcess]) -> None:
    """Tokens, cookies and origins, scopes of streams, rates, heads too large and too slow; each refusal is counted."""
    server = start_server(AUTH_COOKIE="session", CORS_ORIGINS=PAGE, MAX_OPERATIONS_PER_MINUTE="20", HEADERS_WITHIN="1")
    async with server, httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=20) as http:

        async def ask(headers: dict[str, str], body: Any = HEALTH) -> httpx.Response:
            return await http.post("/graphql", json=body, headers=headers)

        cookie = {"Cookie": f"session={token('eve')}"}
        assert (await ask(bearer("ada"))).json() == {"data": {"health": {"redis": True}}}
        assert code(await ask({})) == (401, "UNAUTHENTICATED")
        assert code(await ask(cookie)) == (403, "CROSS_SITE")
        assert code(await ask(cookie | {"Origin": "https://evil.example"})) == (403, "CROSS_SITE")
        assert code(await ask(cookie | {"Sec-Fetch-Site": "cross-site"})) == (403, "CROSS_SITE")
        assert (await ask(cookie | {"Sec-Fetch-Site": "same-origin"})).status_code == 200
        allowed = await ask(cookie | {"Origin": PAGE})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, PAGE)

        publisher = bearer("press", "publish") | {"Accept": "text/event-stream"}
        assert '"FORBIDDEN"' in (await ask(publisher, STREAM)).text

        answers = [await ask(bearer("ada")) for _ in range(20)]
        assert code(answers[-1]) == (429, "RATE_LIMITED")
        assert int(answers[-1].headers["retry-after"]) > 0

        assert (await ask(bearer("bob") | {"X-Large": "x" * 40_000})).status_code == 431
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /graphql HTTP/1.1\r\nX-Slow: ")
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()

        metrics = (await http.get("/metrics")).text
        for series in ('refusals_total{code="CROSS_SITE"} 3.0', 'connections_cut_total{reason="head_time"} 1.0'):
            assert series in metrics


async def test_server_whose_identity_provider_is_away_says_so(start_server: Callable[..., ServerProcess]) -> None:
    """It is alive and not ready: nobody's token can be checked, which is no fault of theirs."""
    provider = {
        "AUTH_JWKS_URL": "http://127.0.0.1:1/keys",
        "AUTH_ISSUER": "https://id.example",
        "AUTH_AUDIENCE": "bell",
    }
    unsigned = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ.e30.AAAA"  # {"alg":"RS256","kid":"a"}
    server = start_server(AUTH_SECRET="", **provider)
    async with server, httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=20) as http:
        ready = await http.get("/readyz")
        alive = await http.get("/livez")
        asked = await http.post("/graphql", json=HEALTH, headers={"Authorization": f"Bearer {unsigned}"})

    assert (ready.status_code, alive.status_code) == (503, 200)
    assert any("AUTH_JWKS_URL" in problem for problem in ready.json()["problems"])
    assert code(asked) == (503, "UNAVAILABLE")
    assert asked.headers["retry-after"] == "5"
