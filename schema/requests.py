"""From an HTTP request to one GraphQL operation, or a refusal that says what to send instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request

from schema.accept import JSON
from schema.refusals import HttpRefusal


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client asks for. `name` chooses among the operations of the document `query`."""

    query: str
    name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


async def read_operation(request: Request, *, body_limit: int) -> Operation:
    """The operation of a GET or POST request.

    `body_limit` is in bytes. Raises HttpRefusal (400, 413, 415), and starlette's ClientDisconnect.
    """
    if request.method == "GET":
        return parse_operation(_query_parameters(request))
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != JSON:
        raise HttpRefusal(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            f"POST the operation as JSON, with the header Content-Type: {JSON}.",
            headers={"Accept-Post": JSON},
        )
    return parse_operation(_decode(await _read_body(request, body_limit), what="The request body"))


def parse_operation(fields: object) -> Operation:
    """Check a decoded request. Raises HttpRefusal (400)."""
    if isinstance(fields, list):
        raise _bad("Batches are not served: send one operation per request.")
    if not isinstance(fields, dict):
        raise _bad('The request must be a JSON object such as {"query": "{ __typename }"}.')
    query = fields.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _bad("Send the GraphQL document as a string named query.")
    name = fields.get("operationName")
    if not isinstance(name, str | None):
        raise _bad("operationName must be a string, or left out.")
    return Operation(query, name or None, _object(fields, "variables"), _object(fields, "extensions"))


def _object(fields: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = fields.get(name)
    if not isinstance(value, dict | None):
        raise _bad(f"{name} must be a JSON object, or left out.")
    return value


def _query_parameters(request: Request) -> dict[str, Any]:
    fields: dict[str, Any] = dict(request.query_params)
    for name in ("variables", "extensions"):
        text = fields.get(name)
        fields[name] = _decode(text, what=f"The URL parameter {name}") if text else None
    return fields


async def _read_body(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _decode(text: bytes | str, *, what: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _bad(f"{what} is not valid JSON: {error}.") from error


def _bad(message: str) -> HttpRefusal:
    return HttpRefusal(400, "BAD_REQUEST", message)


def _too_large(limit: int) -> HttpRefusal:
    return HttpRefusal(
        413,
        "PAYLOAD_TOO_LARGE",
        f"The request body is larger than {limit} bytes: send a shorter document, or fewer variables.",
        headers={"Connection": "close"},
    )
