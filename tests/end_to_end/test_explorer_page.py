"""The API explorer in a real browser, against a running server."""

import re
from collections.abc import AsyncIterator
from typing import Protocol

import pytest
from playwright.async_api import Request, expect

from tests.support.browsing import Seen, browser
from tests.support.waiting import wait_until


class LiveServer(Protocol):
    """What the fixture `live_server` gives: a running server that offers demo identities."""

    @property
    def url(self) -> str: ...

    def token(self, user: str, scope: str) -> str: ...


class Watched(Seen):
    """The explorer's page, and how to use it."""

    async def open(self, url: str) -> None:
        await self.page.goto(url)
        await expect(self.page.locator(".graphiql-query-editor .view-line").first).to_be_visible()

    async def choose_tab(self, name: str) -> None:
        await self.page.get_by_role("tablist").get_by_role("button", name=name, exact=True).click()
        await expect(self.page.locator(".graphiql-query-editor .view-lines")).to_contain_text(name)

    async def run(self) -> None:
        await self.page.get_by_role("button", name="Execute query").click()

    async def result(self) -> str:
        """The visible lines of the result pane, with Monaco's hard spaces made plain."""
        text = await self.page.locator(".graphiql-response .view-lines").inner_text()
        return text.replace("\N{NO-BREAK SPACE}", " ")

    async def shows(self, pattern: str) -> None:
        async def found() -> bool:
            return re.search(pattern, await self.result()) is not None

        await wait_until(found, description=f"the result pane shows {pattern!r}", every=0.05)

    def operations(self, name: str) -> list[Request]:
        """The requests sent so far for the operation `name`."""
        return [r for r in self.requests if r.method == "POST" and name in (r.post_data or "")]


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    """A fresh page in headless Chromium."""
    async with browser("explorer") as context:
        yield Watched(await context.new_page())


async def bearer(request: Request) -> str | None:
    return (await request.all_headers()).get("authorization")


@pytest.mark.parametrize("path", ["/graphql", "/graphiql/"])
async def test_the_explorer_opens_without_asking_any_other_host(
    watched: Watched, live_server: LiveServer, path: str
) -> None:
    """GraphiQL renders and introspects with a token, and neither the page nor its policy has to complain."""
    await watched.open(live_server.url + path)
    await wait_until(lambda: watched.operations("IntrospectionQuery") != [], description="the page introspects")
    await watched.page.get_by_role("button", name="Show Documentation Explorer").click()
    await expect(watched.page.get_by_text("Root Types")).to_be_visible()

    (introspection,) = watched.operations("IntrospectionQuery")
    assert (await bearer(introspection) or "").startswith("Bearer ")
    assert watched.outside(live_server.url) == []
    assert watched.complaints == []


async def test_the_feed_tab_shows_a_page_of_the_feed(watched: Watched, live_server: LiveServer) -> None:
    """A query from its tab is answered in JSON with the viewer's own page."""
    await watched.open(live_server.url + "/graphql")
    await watched.choose_tab("Feed")
    await watched.run()

    await watched.shows(r'"servedBy": "\w+"')
    assert '"errors"' not in await watched.result()


async def test_the_live_tab_streams_until_it_is_stopped(watched: Watched, live_server: LiveServer) -> None:
    """A subscription shows its first event while the request is still open, and the stop button ends the request."""
    await watched.open(live_server.url + "/graphql")
    await watched.choose_tab("Live")
    await watched.run()
    await watched.shows(r'"__typename": "(StreamNotice|ActivityAdded)"')

    (stream,) = watched.operations("subscription Live")
    assert (await stream.all_headers())["accept"] == "text/event-stream"
    assert stream not in watched.failed

    await watched.page.get_by_role("button", name="Stop query").click()
    await wait_until(lambda: stream in watched.failed, description="the request of the stream is closed")
    await expect(watched.page.get_by_role("button", name="Execute query")).to_be_visible()


async def test_a_change_of_identity_ends_the_stream_and_introspects_anew(
    watched: Watched, live_server: LiveServer
) -> None:
    """Nothing goes on under the old token; what was pasted goes with every request, and is gone once forgotten."""
    page, token = watched.page, live_server.token("alice", "read")
    await watched.open(live_server.url + "/graphql")
    await watched.run()
    await watched.shows('"__typename"')
    (stream,) = watched.operations("subscription Live")

    await page.get_by_label("Identity").select_option("Own token")
    await wait_until(lambda: stream in watched.failed, description="the stream of the old identity is closed")
    before = len(watched.operations("IntrospectionQuery"))
    await page.get_by_role("textbox", name="Access token").fill(f"Bearer {token}\n")
    await page.get_by_role("button", name="Use it").click()
    await wait_until(lambda: len(watched.operations("IntrospectionQuery")) > before, description="introspects anew")
    await watched.choose_tab("Feed")
    await watched.run()
    await watched.shows(r'"servedBy": "\w+"')

    (feed,) = watched.operations("query Feed")
    assert await bearer(watched.operations("IntrospectionQuery")[-1]) == await bearer(feed) == f"Bearer {token}"
    kept = await page.evaluate("JSON.stringify(localStorage)")
    assert token not in kept
    await page.get_by_role("button", name="Forget it").click()
    await expect(page.get_by_text("Paste an access token to start.")).to_be_visible()
    assert token not in await page.evaluate("JSON.stringify(sessionStorage)")


async def test_the_publish_tab_needs_an_identity_that_may_publish(watched: Watched, live_server: LiveServer) -> None:
    """A reader is told which scope is missing; the press office publishes what the tab says."""
    await watched.open(live_server.url + "/graphql")
    await watched.choose_tab("Publish")
    await watched.run()
    await watched.shows("FORBIDDEN")
    await watched.page.get_by_label("Identity").select_option("Press office")
    await watched.run()
    await watched.shows('"title": "The bells rang"')
