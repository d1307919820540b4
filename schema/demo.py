"""What the demo serves beside the API: ordering faults, from this machine only."""

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from resolvers.errors import Refusal
from resolvers.identity import Viewer
from schema.chaos import Chaos, Fault
from schema.refusals import HttpRefusal

PATH = "/demo/chaos"
LONGEST_ORDER = 1_024
"""Bytes of a request's body."""

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

Answer = Callable[[Request], Awaitable[Response]]


def from_this_machine(request: Request) -> bool:
    """Whether a person at this machine asks: not through a proxy on it, nor under a name that leads here by DNS."""
    client = request.client
    if client is None or not is_loopback(client.host) or any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback(request.url.hostname or "")


def chaos_routes(chaos: Chaos, *, authenticate: Callable[[Request], Awaitable[Viewer]]) -> list[BaseRoute]:
    """`GET` tells which faults can be ordered and which are there, `POST {"fault": "stall", "on": true}` orders one."""

    async def look(request: Request) -> Response:
        return _shown(chaos, await authenticate(request))

    async def order(request: Request) -> Response:
        viewer = await authenticate(request)
        fault, on = _order(await _body(request))
        if on:
            await chaos.order(fault, viewer, _token(request))
        else:
            await chaos.heal(fault, viewer.user)
        return _shown(chaos, viewer)

    return [
        Route(PATH, _guarded(look), methods=["GET"]),
        Route(PATH, _guarded(order), methods=["POST"]),
    ]


def _guarded(answer: Answer) -> Answer:
    async def guarded(request: Request) -> Response:
        try:
            _check_origin(request)
            return await answer(request)
        except HttpRefusal as error:
            refusal = error
        except Refusal as error:
            refusal = HttpRefusal(503, error.code, str(error))
        return JSONResponse(refusal.payload(), refusal.status, refusal.headers)

    return guarded


def _check_origin(request: Request) -> None:
    # A page of another origin cannot send the Authorization header; the second half is for one that stole a token.
    if not from_this_machine(request) or request.headers.get("sec-fetch-site", "none") == "cross-site":
        raise HttpRefusal(403, "FORBIDDEN", "Faults are ordered from the demo's own machine and page.")


def _shown(chaos: Chaos, viewer: Viewer) -> Response:
    left = {fault.value: round(seconds, 1) for fault, seconds in chaos.seconds_left(viewer.user).items()}
    content = {"available": [fault.value for fault in chaos.available()], "secondsLeft": left}
    return JSONResponse(content, headers={"Cache-Control": "no-store"})


def _order(fields: Mapping[str, Any]) -> tuple[Fault, bool]:
    fault, on = fields.get("fault"), fields.get("on", True)
    if fault not in list(Fault) or not isinstance(on, bool):
        raise HttpRefusal(400, "BAD_REQUEST", f'Send {{"fault": …, "on": …}}; a fault is one of {", ".join(Fault)}.')
    return Fault(fault), on


async def _body(request: Request) -> Mapping[str, Any]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HttpRefusal(415, "UNSUPPORTED_MEDIA_TYPE", "Send JSON, with the header Content-Type: application/json.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_ORDER:
            raise HttpRefusal(413, "PAYLOAD_TOO_LARGE", f"An order has at most {LONGEST_ORDER} bytes.")
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HttpRefusal(400, "BAD_REQUEST", "The body is no JSON.") from error
    if not isinstance(fields, dict):
        raise HttpRefusal(400, "BAD_REQUEST", "The body must be a JSON object.")
    return fields


def _token(request: Request) -> str:
    return request.headers.get("authorization", "").partition(" ")[2].strip()


def is_loopback(host: str) -> bool:
    """Whether an address, or `localhost`, means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
