"""The feed's page in a real browser, against a real demo with servers of its own."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.support.browsing import Seen, browser
from tests.support.directories import reachable_directory
from tests.support.server import ServerProcess
from tests.support.waiting import wait_until

AXE = Path(__file__).parents[2] / "client-example" / "node_modules" / "axe-core" / "axe.min.js"
WITHIN = 60.0


class Demo:
    """A demo in which nothing happens unless a test makes it happen."""

    def __init__(self, server: ServerProcess, state: Path) -> None:
        self.server = server
        self.url = server.url
        self._servers = state / "servers.json"

    async def insert(self, *titles: str) -> None:
        """As an ETL job would."""
        connection = await asyncpg.connect(json.loads(self._servers.read_text())["database_url"])
        try:
            await connection.executemany(
                "INSERT INTO activities (type, title) VALUES ('STATEMENT', $1)", [(title,) for title in titles]
            )
        finally:
            await connection.close()


class FeedPage:
    """The page as a reader sees it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.seen = Seen(page)
        self.status = page.locator(".connection-status")

    async def open(self, demo: Demo) -> "FeedPage":
        """Load it, and wait until it is live."""
        await self.page.goto(demo.url + "/")
        await self.is_("live")
        await expect(self.page.locator(".card").first).to_be_visible()
        return self

    async def is_(self, *statuses: str) -> None:
        """Wait until the status is one of these."""

        async def reached() -> bool:
            return await self.status.get_attribute("data-status") in statuses

        await wait_until(reached, description=f"the page is {' or '.join(statuses)}", within=WITHIN, every=0.05)

    async def order(self, fault: str) -> None:
        """Press a button of the chaos panel."""
        await self.page.locator(f"[data-fault={fault}]").click()

    async def counter(self, name: str) -> int:
        """A number of Backstage."""
        return int(await self.page.locator(f"[data-counter='{name}'] dd").inner_text())

    async def titles(self) -> list[str]:
        """The feed, newest first."""
        return await self.page.locator(".card h3").all_inner_texts()

    async def shows(self, *newest: str) -> None:
        """Wait until the feed begins with these."""

        async def shown() -> bool:
            return (await self.titles())[: len(newest)] == list(newest)

        await wait_until(shown, description=f"the feed begins with {newest}", within=WITHIN, every=0.05)

    async def picture(self, name: str) -> None:
        """Keep a picture if PICTURES names a folder: people look at them, no test does."""
        if folder := os.environ.get("PICTURES"):
            await self.page.screenshot(path=Path(folder) / f"{name}.png")

    async def violations(self) -> list[str]:
        """What axe finds wrong, with the places."""
        found = await self.page.evaluate("axe.run()")
        return [f"{one['id']}: {[node['target'] for node in one['nodes']]}" for one in found["violations"]]


@asynccontextmanager
async def running(state: Path, *, port: str = "0") -> AsyncIterator[Demo]:
    """A demo on embedded servers, whose Redis can be stopped."""
    environment = {"STATE_DIR": str(state), "DEMO_ACTIVITY": "off", "BOOKMARK_EVERY": "1", "PORT": port}
    async with ServerProcess("demo", environment=environment) as server:
        yield Demo(server, state)
        await server.stop()


@pytest.fixture
def state() -> Iterator[Path]:
    """Where demos keep their data."""
    with reachable_directory() as directory:
        yield directory / "state"


@pytest.fixture
async def demo(state: Path) -> AsyncIterator[Demo]:
    """One that runs."""
    async with running(state) as demo:
        yield demo


@pytest.fixture
async def context() -> AsyncIterator[BrowserContext]:
    """A browser with nothing stored."""
    async with browser("page") as context:
        yield context


@pytest.fixture
async def reader(context: BrowserContext, demo: Demo) -> FeedPage:
    """The page, open and live."""
    return await FeedPage(await context.new_page()).open(demo)


async def test_the_page_asks_nobody_else_and_has_nothing_to_complain_about(demo: Demo, reader: FeedPage) -> None:
    """All it loads is the demo's; its policy and the console stay silent; what is inserted shows at once."""
    await demo.insert("From an ETL job")
    await reader.shows("From an ETL job")
    await reader.picture("live")

    assert reader.seen.outside(demo.url) == []
    assert reader.seen.complaints == []
    assert await reader.counter("received") == 1


async def test_without_redis_the_page_polls_and_comes_back_with_nothing_missing(demo: Demo, reader: FeedPage) -> None:
    """The story of the demo: Redis is stopped, the page says so and goes on; Redis returns, and the stream with it."""
    await demo.insert("Before")
    await reader.shows("Before")
    await reader.order("redis")
    await reader.is_("polling")
    await demo.insert("Meanwhile 1", "Meanwhile 2")
    await reader.shows("Meanwhile 2", "Meanwhile 1", "Before")
    await expect(reader.status).to_contain_text("Live updates are paused.")
    await reader.picture("polling")

    await reader.is_("live")  # the fault heals by itself
    await demo.insert("After")
    await reader.shows("After", "Meanwhile 2", "Meanwhile 1", "Before")
    await reader.picture("back")

    assert await reader.counter("received") == 4
    assert await reader.counter("gaps") == 0
    switches = await reader.page.locator(".switches").inner_text()
    assert "sse → polling server advice" in switches
    assert "polling → sse stream proven" in switches


@pytest.mark.parametrize("fault", ["cut", "refuse", "stall", "expire"])
async def test_whatever_happens_to_the_stream_nothing_is_missing_or_shown_twice(
    demo: Demo, reader: FeedPage, fault: str
) -> None:
    """What is inserted while the fault is there shows before long, and the page is live again in the end."""
    await reader.order(fault)
    await demo.insert("During the fault")
    await reader.shows("During the fault")
    await reader.is_("live")
    await demo.insert("After it")
    await reader.shows("After it", "During the fault")

    ids = await reader.page.locator(".card").evaluate_all("cards => cards.map(card => card.dataset.id)")
    assert len(ids) == len(set(ids))
    assert await reader.counter("gaps") == 0
    assert await reader.counter("received") == 2


async def test_a_flood_arrives_whole(reader: FeedPage) -> None:
    """500 at once are 500 received; the page keeps the newest 500."""
    await reader.order("flood")

    async def all_of_it() -> bool:
        return await reader.counter("received") == 500

    await wait_until(all_of_it, description="the flood arrived", within=WITHIN, every=0.1)
    await expect(reader.page.locator(".card")).to_have_count(500)
    assert await reader.counter("gaps") == 0


async def test_offline_and_back(context: BrowserContext, demo: Demo, reader: FeedPage) -> None:
    """The page says that it is offline, and catches up when it is not."""
    await context.set_offline(True)
    await reader.is_("offline")
    await demo.insert("While offline")
    await context.set_offline(False)
    await reader.shows("While offline")
    await reader.is_("live")

    assert await reader.counter("gaps") == 0


async def test_two_tabs_share_one_stream(context: BrowserContext, demo: Demo, reader: FeedPage) -> None:
    """The second gets its events from the first; when the first is closed, it goes on by itself."""
    second = await FeedPage(await context.new_page()).open(demo)
    await demo.insert("For both")
    await reader.shows("For both")
    await second.shows("For both")
    streams = [r for page in (reader, second) for r in page.seen.requests if "subscription" in (r.post_data or "")]
    assert len(streams) == 1

    await reader.page.close()
    await demo.insert("For the one that is left")
    await second.shows("For the one that is left", "For both")
    assert await second.counter("gaps") == 0


async def test_marks_count_at_once_and_in_other_tabs(context: BrowserContext, demo: Demo, reader: FeedPage) -> None:
    """By keyboard: J moves, M marks; the badge follows; another tab hears of it; mark all leaves nothing unread."""
    second = await FeedPage(await context.new_page()).open(demo)
    badge = reader.page.locator(".badge")
    await expect(badge).to_have_text("2,000 unread")
    await reader.page.bring_to_front()
    await reader.page.keyboard.press("j")
    await reader.page.keyboard.press("j")
    await reader.page.keyboard.press("m")
    await expect(badge).to_have_text("1,999 unread")
    await expect(reader.page.locator(".card").nth(1)).to_have_attribute("data-read", "true")
    await expect(second.page.locator(".card").nth(1)).to_have_attribute("data-read", "true")
    await expect(second.page.locator(".badge")).to_have_text("1,999 unread")

    await reader.page.get_by_role("button", name="Mark all read").click()
    await expect(badge).to_have_text("0 unread")
    await expect(second.page.locator(".badge")).to_have_text("0 unread")
    await expect(second.page.locator(".card[data-read=false]")).to_have_count(0)


async def test_a_filter_shows_only_what_was_chosen(demo: Demo, reader: FeedPage) -> None:
    """A member's name on a card is a filter; others' doings do not show until everything is wanted again."""
    name = reader.page.locator(".chip[title='Only this member']").first
    chosen = (await name.inner_text()).split(" ·")[0]
    await name.click()
    await expect(reader.page.get_by_label("Member")).to_contain_text(chosen)
    await expect(reader.page.locator(".card:not(:has(.chip))")).to_have_count(0)
    await reader.is_("live")
    await demo.insert("By nobody")
    await reader.page.get_by_role("button", name="Show everything").click()
    await reader.shows("By nobody")


async def test_who_reads_further_down_is_not_interrupted(demo: Demo, reader: FeedPage) -> None:
    """What is new waits behind a button, which the full stop presses as well."""
    await reader.page.keyboard.press("j")
    await reader.page.keyboard.press("j")
    before = await reader.titles()
    await demo.insert("New")
    await expect(reader.page.get_by_role("button", name="1 new")).to_be_visible()
    assert await reader.titles() == before

    await reader.page.keyboard.press(".")
    await reader.shows("New", before[0])


async def test_publishing_from_the_page_reaches_it(reader: FeedPage) -> None:
    """Without being asked for another identity."""
    await reader.page.get_by_label("What happened?").fill("The bells rang")
    await reader.page.get_by_role("button", name="Publish", exact=True).click()
    await reader.shows("The bells rang")
    await expect(reader.page.get_by_text("Published: it reaches every open feed.")).to_be_visible()


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 360), ("dark", 360)])
async def test_everybody_can_use_it(context: BrowserContext, demo: Demo, theme: str, width: int) -> None:
    """Axe finds nothing, also at 360 pixels, where nothing is cut off; with all of Backstage open."""
    page = await context.new_page()
    await page.emulate_media(color_scheme="dark" if theme == "dark" else "light", reduced_motion="reduce")
    await page.set_viewport_size({"width": width, "height": 800})
    # axe runs as a script of the page, which its policy would forbid.
    await page.context.add_init_script(path=AXE)
    reader = await FeedPage(page).open(demo)
    if width < 900:
        await page.get_by_role("link", name="Backstage").click()
    await expect(page.get_by_role("heading", name="Break it")).to_be_visible()
    await reader.picture(f"{theme}-{width}")

    assert await reader.violations() == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_nothing_moves_for_who_does_not_want_it(context: BrowserContext, demo: Demo) -> None:
    """Under reduced motion no animation runs."""
    page = await context.new_page()
    await page.emulate_media(reduced_motion="reduce")
    reader = await FeedPage(page).open(demo)
    await demo.insert("Without a move")
    await reader.shows("Without a move")

    assert await page.evaluate("document.getAnimations().length") == 0


async def test_a_server_that_restarts_is_no_reason_to_load_the_page_again(context: BrowserContext, state: Path) -> None:
    """The page tries again while the server is away, and goes on from its cursor when it is back."""
    async with running(state) as demo:
        reader = await FeedPage(await context.new_page()).open(demo)
        await demo.insert("Before")
        await reader.shows("Before")
    await reader.is_("polling")
    async with running(state, port=demo.url.rpartition(":")[2]) as demo:
        await demo.insert("After")
        await reader.shows("After", "Before")
        await reader.is_("live")

        assert await reader.counter("gaps") == 0
        assert await reader.counter("received") == 2
