"""The operators' page: dead letters, listed and settled over GraphQL. Files of client-example/, served as they are."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

MOUNT = "ops"
"""The page's folder. It stands beside the GraphQL endpoint and the explorer, at the same depth."""

FILES = {
    "": ("index.html", "text/html"),
    "console.js": ("console.js", "text/javascript"),
    "console.css": ("console.css", "text/css"),
}
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
}


@dataclass(frozen=True, slots=True)
class Console:
    """The page in `folder`. It has no rights of its own: whoever reads or settles letters brings a token with `ops`.

    `config` answers with the endpoint, relative to the page, and the identities that a demo offers.
    """

    folder: Path
    config: Callable[[Request], Awaitable[Response]]

    def routes(self) -> list[BaseRoute]:
        """Everything under the mount, for the level of the application where `/graphql` is."""
        pages = [Route(f"/{path}", self._file(*file)) for path, file in FILES.items()]
        return [
            Route(f"/{MOUNT}", _add_slash),
            Mount(f"/{MOUNT}", routes=[Route("/config.json", self.config), *pages]),
        ]

    def _file(self, name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
        async def answer(_request: Request) -> Response:
            return FileResponse(self.folder / name, media_type=media_type, headers=_HEADERS)

        return answer


async def _add_slash(_request: Request) -> Response:
    return RedirectResponse(f"{MOUNT}/")
