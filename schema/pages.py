"""The API explorer: the built GraphiQL of client-example/, served to browsers."""

import mimetypes
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from anyio.to_thread import run_sync
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

MOUNT = "graphiql"
"""The explorer's folder. It stands beside the GraphQL endpoint, so that each finds the other by a relative address."""

ENDPOINT = "../graphql"
"""The endpoint as seen from config.json."""

# Monaco positions its lines with style attributes; without 'unsafe-inline' for styles every line lands on top of the
# other. Scripts need no such exception.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self' data:;"
    " img-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_SAFETY = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_PAGE_HEADERS = {
    **_SAFETY,
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",
    "Vary": "Accept",  # beside it the same address answers with JSON
}
# The build puts a hash of the content into every asset's name: an address never changes what it stands for.
_ASSET_HEADERS = {**_SAFETY, "Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}

_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""The encodings the build writes beside its assets, best first."""

_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".ttf": "font/ttf"}
"""Ours, because the system's table differs between machines and knows no fonts before Python 3.14."""

_MISSING = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>The API explorer is not built</title>
<body style="font: 1.1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 4rem auto; padding: 0 1rem">
<h1>The API explorer is not built</h1>
<p>Run <code>make explorer</code> in the checkout, then load this page again; the server may keep running.</p>
<p>The API itself is up: it answers <code>POST</code> requests at this server's <code>/graphql</code>.</p>
"""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody to be in the explorer. The token goes to every visitor: offer one in a demo only."""

    name: str
    description: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Explorer:
    """The explorer built into `dist`, which is looked at with every request: it may be built later, or anew.

    identities: whom the page offers to be, the first by default. With none it asks for a token.
    """

    dist: Path
    identities: Sequence[Identity] = ()

    async def page(self, request: Request) -> Response:
        """The page, for its own address `<mount>/` and for any address beside the mount, such as `/graphql`."""
        beside = not request.url.path.endswith(f"/{MOUNT}/")
        try:
            html = await run_sync(_read, self.dist / "index.html")
        except FileNotFoundError:
            return HTMLResponse(_MISSING, status_code=503, headers={**_PAGE_HEADERS, "Cache-Control": "no-store"})
        # The build writes "./assets/…". Relative addresses also hold behind a proxy that strips a prefix unannounced.
        if beside:
            html = html.replace('="./assets/', f'="./{MOUNT}/assets/')
        return HTMLResponse(html, headers=_PAGE_HEADERS)

    async def config(self, _request: Request) -> Response:
        """What the page needs to know at run time: the endpoint, relative to this address, and the identities."""
        content = {"endpoint": ENDPOINT, "identities": [asdict(identity) for identity in self.identities]}
        return JSONResponse(content, headers={**_SAFETY, "Cache-Control": "no-store"})

    def routes(self) -> list[BaseRoute]:
        """Everything under the mount, for the level of the application where `/graphql` is."""
        return [
            Route(f"/{MOUNT}", _add_slash),
            Mount(
                f"/{MOUNT}",
                routes=[
                    Route("/", self.page),
                    Route("/config.json", self.config),
                    Mount("/assets", _Assets(directory=self.dist / "assets", check_dir=False)),
                ],
            ),
        ]


def explorer_routes(*, dist: Path, identities: Sequence[Identity] = ()) -> list[BaseRoute]:
    """The routes of an explorer whose page is not wanted anywhere else. See `Explorer`."""
    return Explorer(dist=dist, identities=identities).routes()


class _Assets(StaticFiles):
    """Hashed files, each in the best encoding that the build has written and the client takes."""

    async def check_config(self) -> None:
        """Not a failure here if the folder is missing: the page says so, and a build may follow."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        if path.endswith(tuple(_ENCODINGS.values())):
            return "", None  # an encoding of a file, not a file of its own
        return super().lookup_path(path)

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        request_headers = Headers(scope=scope)
        headers, served = dict(_ASSET_HEADERS), os.fspath(full_path)
        for encoding in accepted_encodings(request_headers.get("accept-encoding", "")):
            encoded = served + _ENCODINGS[encoding]
            if Path(encoded).is_file():
                headers["Content-Encoding"] = encoding
                served, stat_result = encoded, Path(encoded).stat()
                break
        response = FileResponse(
            served,
            status_code=status_code,
            headers=headers,
            media_type=_media_type(os.fspath(full_path)),
            stat_result=stat_result,
        )
        if self.is_not_modified(response.headers, request_headers):
            return NotModifiedResponse(response.headers)
        return response


def accepted_encodings(accept_encoding: str) -> list[str]:
    """Which of our encodings the client takes, the smallest first. One with a weight of 0 is refused."""
    weights: dict[str, bool] = {}
    for part in accept_encoding.lower().split(","):
        name, _, parameters = part.partition(";")
        weight = parameters.replace(" ", "").removeprefix("q=")
        weights[name.strip()] = weight.strip("0.") != "" or weight == ""
    return [encoding for encoding in _ENCODINGS if weights.get(encoding, weights.get("*", False))]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _media_type(path: str) -> str:
    return _MEDIA_TYPES.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"


async def _add_slash(_request: Request) -> Response:
    return RedirectResponse(f"{MOUNT}/")
