"""The published nginx configuration, in a real nginx with TLS, before a real server."""

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.nginx import Way, nginx
from tests.support.server import Client, ServerProcess, token


def trusting(certificate: Path) -> ssl.SSLContext:
    """TLS that believes this certificate alone."""
    return ssl.create_default_context(cafile=str(certificate))


async def test_stream_passes_nginx_unbuffered(start_server: Callable[..., ServerProcess], tmp_path: Path) -> None:
    """Through TLS and nginx an event arrives when it was published, not when a buffer is full."""
    server = await start_server(TRUSTED_PROXIES="127.0.0.1").start()
    body = {"query": "subscription { activityAdded { __typename ... on ActivityAdded { activity { title } } } }"}
    async with (
        nginx(tmp_path, server.url.removeprefix("http://")) as proxy,
        httpx.AsyncClient(base_url=proxy.url, verify=trusting(proxy.certificate), trust_env=False, timeout=20) as http,
        Client(server.url, "carol", "publish") as publisher,
        http.stream(
            "POST",
            "/graphql",
            json=body,
            headers={"Authorization": f"Bearer {token('alice')}", "Accept": "text/event-stream"},
        ) as stream,
    ):
        lines = stream.aiter_lines()
        assert stream.status_code == 200
        while "StreamNotice" not in await anext(lines):
            pass
        await publisher.ask('mutation { publishActivity(input: {type: VOTE, title: "Bells"}) { __typename } }')
        published = time.monotonic()
        while "Bells" not in await anext(lines):
            pass

        assert time.monotonic() - published < 5


async def test_nginx_speaks_http2_and_hides_the_metrics(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    """A browser is offered HTTP/2, answers say to come by TLS only, and metrics are for those inside."""
    server = await start_server().start()
    async with nginx(tmp_path, server.url.removeprefix("http://")) as proxy:
        context = trusting(proxy.certificate)
        context.set_alpn_protocols(["h2", "http/1.1"])
        async with httpx.AsyncClient(base_url=proxy.url, verify=trusting(proxy.certificate), trust_env=False) as http:
            alive, metrics = await http.get("/livez"), await http.get("/metrics")
            too_large = await http.post("/graphql", content=b" " * 2**21)

        assert (await negotiated(proxy.url, context), alive.status_code, metrics.status_code) == ("h2", 200, 404)
        assert too_large.status_code == 413
        assert "max-age" in alive.headers["strict-transport-security"]


@pytest.mark.parametrize(("trusted", "statuses"), [("127.0.0.1", [200, 200, 429, 200]), ("", [200, 200, 429, 429])])
async def test_only_a_trusted_proxy_says_who_the_client_is(
    start_server: Callable[..., ServerProcess], tmp_path: Path, trusted: str, statuses: list[int]
) -> None:
    """A limit by address counts by what nginx saw, not by what a client claims; by nginx itself if it is a stranger."""
    server = await start_server(TRUSTED_PROXIES=trusted, MAX_OPERATIONS_PER_MINUTE_PER_ADDRESS="2").start()
    async with nginx(tmp_path, server.url.removeprefix("http://")) as proxy:

        async def status_of(address: str, claimed: str) -> int:
            transport = httpx.AsyncHTTPTransport(verify=trusting(proxy.certificate), local_address=address)
            async with httpx.AsyncClient(base_url=proxy.url, transport=transport) as http:
                headers = {"Authorization": f"Bearer {token(claimed)}", "X-Forwarded-For": claimed}
                answer = await http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
            return answer.status_code

        seen = [await status_of("127.0.0.2", f"10.0.0.{n}") for n in range(3)]
        seen.append(await status_of("127.0.0.3", "10.0.0.0"))

    assert seen == statuses


async def test_a_cookie_counts_from_pages_of_this_origin(way: Way) -> None:
    """Behind nginx, too, it is the scheme, host and port that the browser knows: its `Origin` alone is enough."""
    verify = trusting(way.nginx.certificate) if way.nginx else False  # no TLS at the server itself
    async with httpx.AsyncClient(base_url=way.url, verify=verify, trust_env=False) as http:
        statuses = [
            (await http.post("/graphql", json={"query": "{ __typename }"}, headers=headers)).status_code
            for origin in (way.url, way.url.rpartition(":")[0], f"{way.url}0", "https://elsewhere.example", None)
            if (headers := {"Cookie": f"{way.cookie}={token('alice')}"} | ({"Origin": origin} if origin else {}))
        ]

    assert statuses == [200, 403, 403, 403, 403]


async def negotiated(url: str, context: ssl.SSLContext) -> str | None:
    """The protocol that TLS agrees upon."""
    parts = httpx.URL(url)
    _, writer = await asyncio.open_connection(parts.host, parts.port, ssl=context)
    chosen: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.close()
    return chosen.selected_alpn_protocol()
