"""GraphQL over server-sent events, byte by byte: LF lines, `next` and `complete`, everything else as comments.

graphql-sse gives up on any other event name, urql finds the end of an event by two line feeds only.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any

import orjson
from graphql import ExecutionResult as GraphQLExecutionResult
from strawberry.types import ExecutionResult

from schema.accept import EVENT_STREAM
from schema.results import to_payload

HEADERS = {
    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Content-Type-Options": "nosniff",
    "X-Accel-Buffering": "no",  # nginx would otherwise hold events back until its buffer is full
}

COMPLETE = b"event: complete\ndata:\n\n"
"""The operation is over, do not reconnect. EventSource drops an event without a data line, even an empty one."""

HEARTBEAT = b":\n\n"


def encode_event(result: ExecutionResult | GraphQLExecutionResult, cursor: str | None) -> bytes:
    """One result of an operation as a `next` event; the one place where results become bytes.

    `cursor` becomes the event's `id`, from which EventSource resumes. Raises TypeError for a value JSON does not know.
    """
    return encode_next(to_payload(result), cursor)


def encode_next(payload: Mapping[str, Any], cursor: str | None = None) -> bytes:
    """A `next` event from a GraphQL response. orjson escapes line breaks, so the data is one line."""
    event_id = f"id: {cursor}\n".encode() if cursor is not None else b""
    return b"%sevent: next\ndata: %s\n\n" % (event_id, orjson.dumps(payload))


def encode_opening(retry: timedelta, comment: str) -> bytes:
    """The first bytes of a response: a comment that proxies and clients see at once, and EventSource's delay."""
    return b"%sretry: %d\n\n" % (_comment_line(comment), retry / timedelta(milliseconds=1))


def encode_comment(text: str) -> bytes:
    """A remark no client parses."""
    return _comment_line(text) + b"\n"


@lru_cache(maxsize=64)
def _comment_line(text: str) -> bytes:
    return f": {' '.join(text.split())}\n".encode()
