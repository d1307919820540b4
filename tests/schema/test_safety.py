"""Safety headers: on every page and probe, on errors and faults too, and never instead of what a page says itself."""

import pytest
from httpx import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.responses import Response as Answer
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from schema.safety import HEADERS, SafetyHeaders

OWN = {"Content-Security-Policy": "default-src 'self'", "X-Frame-Options": "DENY"}


async def plain(_: Request) -> Answer:
    """An answer that says nothing of itself."""
    return PlainTextResponse("plain")


async def page(_: Request) -> Answer:
    """An answer with a policy of its own."""
    return PlainTextResponse("page", headers=OWN)


async def fault(_: Request) -> Answer:
    """No answer."""
    raise RuntimeError("made up")


async def get(path: str, method: str = "GET") -> Response:
    """What a browser gets."""
    app = SafetyHeaders(Starlette(routes=[Route("/plain", plain), Route("/page", page), Route("/fault", fault)]))
    transport = ASGITransport(app=app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://bell") as client:
        return await client.request(method, path)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/plain", 200), ("GET", "/nowhere", 404), ("POST", "/plain", 405), ("GET", "/fault", 500)],
)
async def test_whatever_is_answered_can_be_neither_framed_nor_sniffed(method: str, path: str, status: int) -> None:
    """Errors and faults carry the headers as pages do: what they say comes from whoever made up the address."""
    answer = await get(path, method)

    assert answer.status_code == status
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


async def test_what_a_page_says_of_itself_stays() -> None:
    """Its policy is not replaced, nor said twice; what it left out is added."""
    answer = await get("/page")

    assert answer.headers.get_list("content-security-policy") == [OWN["Content-Security-Policy"]]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_what_is_no_request_passes_untouched() -> None:
    """The application's start and end go through as they are."""
    sent: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": f"{scope['type']}.startup.complete"})

    async def receive() -> Message:
        raise AssertionError("nothing is asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    await SafetyHeaders(app)({"type": "lifespan"}, receive, send)

    assert sent == [{"type": "lifespan.startup.complete"}]
