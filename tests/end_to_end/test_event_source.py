"""The browser's own EventSource, signed in by cookie, against a real server and through nginx."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from playwright.async_api import BrowserContext, Page, Route, expect
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.support.browsing import browser
from tests.support.nginx import Way
from tests.support.parliament import insert_activities
from tests.support.server import REPOSITORY, Client, ServerProcess, token
from tests.support.waiting import wait_until

PAGE = REPOSITORY / "client-example" / "src" / "adapters" / "event-source.html"
PUBLISH = "mutation ($title: String!) { publishActivity(input: {type: VOTE, title: $title}) { __typename } }"
OPEN = """
([url, withCredentials]) => new Promise((done) => {
  const source = new EventSource(url + '/graphql?query=subscription{activityAdded{cursor}}', { withCredentials });
  const say = (what) => { source.close(); done(what); };
  source.onopen = () => say('open');
  source.onerror = () => say('refused');
})
"""


async def signed_in(context: BrowserContext, way: Way) -> Page:
    """The example's page of this origin, which sets the cookie as a sign-in would, with its stream open."""
    secure = "; Secure" if way.url.startswith("https:") else ""
    cookie = f"{way.cookie}={token('alice')}; Path=/; HttpOnly; SameSite=Strict{secure}"

    async def serve(route: Route) -> None:
        await route.fulfill(path=PAGE, headers={"Content-Type": "text/html", "Set-Cookie": cookie})

    page = await context.new_page()
    await page.route("**/event-source.html", serve)
    await page.goto(f"{way.url}/event-source.html")
    await expect(page.locator("#state")).to_have_text("live")
    return page


async def test_an_event_source_resumes_by_itself(
    way: Way, start_server: Callable[..., ServerProcess], database: AsyncEngine
) -> None:
    """After a restart of the server, by Last-Event-ID: what happened before it was back shows, too."""
    async with browser("page", ignore_https_errors=way.nginx is not None) as context:
        page = await signed_in(context, way)
        async with Client(way.server.url, "press-office", "read publish") as press:
            await press.ask(PUBLISH, title="Before the restart")
        await expect(page.locator("li")).to_have_text(["Before the restart"])
        await way.server.stop()
        if (proxy := way.nginx) is not None:  # which answers for the server: 502 would stop an EventSource for good
            await wait_until(
                lambda: "HTTP/2.0 GET /graphql 200 502" in proxy.answered(), description="it came back too early"
            )
        await context.set_offline(True)  # until the log has gone on: a stream that begins at the head would miss it
        await insert_activities(database, 1)
        port = way.server.url.rpartition(":")[2]
        again = await start_server(PORT=port, TRUSTED_PROXIES="127.0.0.1", AUTH_COOKIE=way.cookie).start()
        async with Client(again.url) as reader:

            async def sequenced() -> bool:
                feed = (await reader.ask("{ feed(first: 1) { nodes { title } } }"))["feed"]
                return [node["title"] for node in feed["nodes"]] == ["Activity 0"]

            await wait_until(sequenced, description="the feed shows it")
        await context.set_offline(False)

        await expect(page.locator("li")).to_have_text(["Activity 0", "Before the restart"])


async def test_a_foreign_page_gets_nothing_for_the_cookie(way: Way) -> None:
    """The server refuses a page of another origin, though the browser sends the cookie: it is of the same site."""
    async with (
        foreign_origin(way) as foreign,
        browser("page", ignore_https_errors=way.nginx is not None) as context,
        Client(way.server.url) as reader,
    ):
        ours = await signed_in(context, way)
        theirs = await context.new_page()
        await theirs.goto(foreign)

        assert await ours.evaluate(OPEN, [way.url, False]) == "open"
        assert 'refusals_total{code="CROSS_SITE"}' not in await reader.text("/metrics")
        assert await theirs.evaluate(OPEN, [way.url, True]) == "refused"
        assert 'refusals_total{code="CROSS_SITE"} 1.0' in await reader.text("/metrics")


@asynccontextmanager
async def foreign_origin(way: Way) -> AsyncIterator[str]:
    """An empty page at the same host and scheme, on another port: SameSite keeps no cookie from it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<!doctype html>")
            await writer.drain()
        writer.close()

    tls = None
    if way.nginx is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(way.nginx.certificate, way.nginx.key)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls) as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"{way.url.rpartition(':')[0]}:{port}/"
