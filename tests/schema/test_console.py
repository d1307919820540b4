"""The operators' page: its addresses, its policy, and that nothing else of the folder is served."""

from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse

from schema.console import FILES, Console

FOLDER = Path(__file__).parents[2] / "client-example" / "src" / "ops"


async def _config(_: Request) -> JSONResponse:
    return JSONResponse({"endpoint": "../graphql", "identities": []})


@pytest.fixture
def browser() -> AsyncClient:
    """A client of an application that has nothing but the page."""
    app = Starlette(routes=Console(FOLDER, config=_config).routes())
    return AsyncClient(transport=ASGITransport(app=app), base_url="http://here", follow_redirects=True)


async def test_page_is_at_ops_with_a_policy_that_runs_only_its_own_script(browser: AsyncClient) -> None:
    """With and without the slash; no inline script or style, which the policy would not let run."""
    async with browser:
        page = await browser.get("/ops")

    assert str(page.url) == "http://here/ops/"
    assert "script-src 'self';" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "style=" not in page.text


async def test_only_the_files_of_the_page_are_served(browser: AsyncClient) -> None:
    """Each with its own type, asked for anew each time; anything else is 404."""
    async with browser:
        for path, (_, media_type) in FILES.items():
            answer = await browser.get(f"/ops/{path}")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(media_type)
            assert answer.headers["cache-control"] == "no-cache"
        assert (await browser.get("/ops/config.json")).json()["endpoint"] == "../graphql"
        for path in ("index.html", "../feed/main.tsx", "%2e%2e/package.json"):
            assert (await browser.get(f"/ops/{path}")).status_code == 404
