"""The pages of client-example/, built, and served to browsers: the feed's page, and the API explorer (GraphiQL)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from schema.assets import SAFETY, Assets

MOUNT = "graphiql"
"""The explorer's folder. It stands beside the GraphQL endpoint, so that each finds the other by a relative address."""

# Scripts, styles and requests are this origin's, and nothing else is allowed.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Monaco positions its lines with style attributes; without 'unsafe-inline' for styles every line lands on top of the
# other. Scripts need no such exception.
EXPLORER_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:;"
    " img-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)

# Its style attribute is why it has the explorer's policy, wherever it is shown.
_MISSING = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>This page is not built</title>
<body style="font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem">
<h1>This page is not built</h1>
<p>Run <code>make pages</code> in the checkout, then load this page again; the server may keep running.</p>
<p>The API itself is up: it answers <code>POST</code> requests at this server's <code>/graphql</code>.</p>
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody to be on the pages. The token goes to every visitor: offer one in a demo only."""

    name: str
    description: str
    token: str = field(repr=False)


Identities = Callable[[], Sequence[Identity]]
"""Whom the pages offer to be, with tokens made when asked; the first is the default. With none they ask for a token."""

Demo = Callable[[Request], Mapping[str, Any]]
"""What the feed's page may know of the demo: `speed` of its timers, and `faults`, which this visitor may order."""


@dataclass(frozen=True, slots=True)
class FeedPage:
    """The page at `/`, built into `dist`, which is looked at with every request: it may be built later, or anew."""

    dist: Path
    identities: Identities = tuple
    demo: Demo = lambda _: {}

    async def page(self, _request: Request) -> Response:
        """The page."""
        return _html(await _read(self.dist), PAGE_POLICY)

    async def config(self, request: Request) -> Response:
        """What the page needs to know at run time, relative to this address."""
        return _config("graphql", self.identities, demo=self.demo(request))

    def routes(self) -> list[BaseRoute]:
        """Everything, for the level of the application where `/graphql` is."""
        return [
            Route("/", self.page),
            Route("/config.json", self.config),
            Mount("/assets", Assets(directory=self.dist / "assets", check_dir=False)),
        ]


@dataclass(frozen=True, slots=True)
class Explorer:
    """The explorer built into `dist`, which is looked at with every request: it may be built later, or anew."""

    dist: Path
    identities: Identities = tuple

    async def page(self, request: Request) -> Response:
        """The page, for its own address `<mount>/` and for any address beside the mount, such as `/graphql`."""
        html = await _read(self.dist)
        # The build writes "./assets/…". Relative addresses also hold behind a proxy that strips a prefix unannounced.
        if html is not None and not request.url.path.endswith(f"/{MOUNT}/"):
            html = html.replace('="./assets/', f'="./{MOUNT}/assets/')
        return _html(html, EXPLORER_POLICY)

    async def config(self, _request: Request) -> Response:
        """What the page needs to know at run time, relative to this address."""
        return _config("../graphql", self.identities)

    def routes(self) -> list[BaseRoute]:
        """Everything under the mount, for the level of the application where `/graphql` is."""
        return [
            Route(f"/{MOUNT}", _add_slash),
            Mount(
                f"/{MOUNT}",
                routes=[
                    Route("/", self.page),
                    Route("/config.json", self.config),
                    Mount("/assets", Assets(directory=self.dist / "assets", check_dir=False)),
                ],
            ),
        ]


def _html(html: str | None, policy: str) -> Response:
    headers = {
        **SAFETY,
        "Content-Security-Policy": EXPLORER_POLICY if html is None else policy,
        "Cache-Control": "no-store" if html is None else "no-cache",
        "Vary": "Accept",  # beside the explorer the same address answers with JSON
    }
    return HTMLResponse(_MISSING if html is None else html, 503 if html is None else 200, headers)


def _config(endpoint: str, identities: Identities, **more: Mapping[str, Any]) -> Response:
    content = {"endpoint": endpoint, "identities": [asdict(identity) for identity in identities()], **more}
    return JSONResponse(content, headers={**SAFETY, "Cache-Control": "no-store"})


async def _read(dist: Path) -> str | None:
    try:
        return await run_sync((dist / "index.html").read_text, "utf-8")
    except FileNotFoundError:
        return None


async def _add_slash(_request: Request) -> Response:
    return RedirectResponse(f"{MOUNT}/")
