"""From an HTTP request to one GraphQL operation, or a refusal that says what to send instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request

from schema.accept import JSON
from schema.documents import NONE, TrustedDocuments
from schema.refusals import HttpRefusal

LONGEST_LIST = 1_000
"""Entries of a list in the variables. Where fewer are meant, the resolvers say so."""
DEEPEST_JSON = 32
"""Levels of a request's JSON. orjson reads 1,024 and writes 254: what is stored must be shown again."""


@dataclass(frozen=True, slots=True)
class Operation:
    """What a client asks for. `name` chooses among the operations of the document `query`."""

    query: str
    name: str | None = None
    variables: dict[str, Any] | None = None
    extensions: dict[str, Any] | None = None


class IndexedHeaders(Headers):
    """Headers of which many are asked for: starlette compares each name with all that were sent, for every question."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._first = dict(reversed(raw))

    def __getitem__(self, key: str) -> str:
        return self._first[key.lower().encode("latin-1")].decode("latin-1")

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - Mapping's
        """The first of that name."""
        found = self._first.get(key.lower().encode("latin-1"))
        return default if found is None else found.decode("latin-1")


class GraphQLRequest(Request):
    """A request with such headers."""

    @cached_property
    def headers(self) -> Headers:
        """Those of the request, names in lower case."""
        return IndexedHeaders(self.scope["headers"])


async def read_operation(request: Request, *, body_limit: int, documents: TrustedDocuments = NONE) -> Operation:
    """The operation of a GET or POST request, whose text may be one of `documents`.

    `body_limit` is in bytes. Raises HttpRefusal (400, 413, 415), and starlette's ClientDisconnect.
    """
    if request.method == "GET":
        return parse_operation(_query_parameters(request), documents)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != JSON:
        raise HttpRefusal(
            415,
            "UNSUPPORTED_MEDIA_TYPE",
            f"POST the operation as JSON, with the header Content-Type: {JSON}.",
            headers={"Accept-Post": JSON},
        )
    return parse_operation(_decode(await _read_body(request, body_limit), what="The request body"), documents)


def parse_operation(fields: object, documents: TrustedDocuments = NONE) -> Operation:
    """Check a decoded request. Raises HttpRefusal (400)."""
    if isinstance(fields, list):
        raise _bad("Batches are not served: send one operation per request.")
    if not isinstance(fields, dict):
        raise _bad('The request must be a JSON object such as {"query": "{ __typename }"}.')
    query = documents.text(fields)
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
        decoded: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _bad(f"{what} is not valid JSON: {error}.") from error
    # Neither limit can be passed without as many brackets or commas: counting them takes a microsecond for 20 KB.
    open_list, comma, open_object = (b"[", b",", b"{") if isinstance(text, bytes) else ("[", ",", "{")
    if text.count(open_list) + text.count(open_object) > DEEPEST_JSON or text.count(comma) >= LONGEST_LIST:  # type: ignore[arg-type]
        _check_shape(decoded, what=what)
    return decoded


def _check_shape(decoded: object, *, what: str) -> None:
    left: list[tuple[object, int]] = [(decoded, 1)]
    while left:
        value, depth = left.pop()
        if not isinstance(value, dict | list):
            continue
        if depth > DEEPEST_JSON:
            raise _bad(f"{what} is nested more than {DEEPEST_JSON} levels deep.")
        if isinstance(value, list) and len(value) > LONGEST_LIST:
            raise _bad(f"{what} has a list of {len(value)} entries; {LONGEST_LIST} are taken at most.")
        left.extend((below, depth + 1) for below in (value.values() if isinstance(value, dict) else value))


def _bad(message: str) -> HttpRefusal:
    return HttpRefusal(400, "BAD_REQUEST", message)


def _too_large(limit: int) -> HttpRefusal:
    return HttpRefusal(
        413,
        "PAYLOAD_TOO_LARGE",
        f"The request body is larger than {limit} bytes: send a shorter document, or fewer variables.",
        headers={"Connection": "close"},
    )
