"""Answers to polls that have not changed: a strong ETag of the bytes, and 304 for who has them (RFC 9110)."""

from hashlib import blake2b

from starlette.requests import Request
from starlette.responses import Response

CACHE_CONTROL = "private, no-cache"
"""Kept by the viewer's own client only, and never shown without asking here."""


def revalidated(request: Request, answer: Response) -> Response:
    """`answer` with its ETag; 304 without a body if the client says that it has it. For GET and whole results only."""
    etag = f'"{blake2b(answer.body, digest_size=16).hexdigest()}"'
    answer.headers["ETag"] = etag
    answer.headers["Cache-Control"] = CACHE_CONTROL
    if not _has(request.headers.getlist("if-none-match"), etag):
        return answer
    kept = {name: answer.headers[name] for name in ("ETag", "Cache-Control", "Vary")}
    return Response(status_code=304, headers=kept)


def _has(if_none_match: list[str], etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for line in if_none_match for tag in line.split(",")]
    return etag in tags or tags == ["*"]
