"""Built files of client-example/, served as the build left them: hashed names, compressed beforehand."""

import mimetypes
import os
from pathlib import Path

from starlette.datastructures import Headers
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

SAFETY = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
"""Headers of everything that a browser is shown."""

# The build puts a hash of the content into every asset's name: an address never changes what it stands for.
_HEADERS = {**SAFETY, "Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}

_ENCODINGS = {"br": ".br", "gzip": ".gz"}
"""The encodings the build writes beside its assets, best first."""

_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".ttf": "font/ttf"}
"""Ours, because the system's table differs between machines and knows no fonts before Python 3.14."""


class Assets(StaticFiles):
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
        headers, served = dict(_HEADERS), os.fspath(full_path)
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


def _media_type(path: str) -> str:
    return _MEDIA_TYPES.get(Path(path).suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
