"""The operators' page for dead letters, in a real browser against a running server."""

import shutil
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, async_playwright, expect

from streams.cursor import Cursor
from tests.end_to_end.test_dead_letters import letters
from tests.support.server import Client, ServerProcess, token

__all__ = ["letters"]  # the fixture
SECONDS = 1_000.0  # Playwright counts milliseconds


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A fresh page in headless Chromium, which complains to nobody."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH: apt-get install --no-install-recommends chromium")
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--disable-dev-shm-usage"])
        page = await browser.new_page()
        page.set_default_timeout(20 * SECONDS)
        expect.set_options(timeout=20 * SECONDS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if m.type == "warning" else None)
        yield page
        await browser.close()
    assert complaints == []


async def enter(page: Page, server: ServerProcess, scope: str) -> None:
    """Open the page and paste a token."""
    await page.goto(f"{server.url}/ops")
    await page.get_by_label("Access token").fill(f"Bearer {token('operator', scope)}\n")
    await page.get_by_role("button", name="Use it").click()


async def test_operator_redrives_and_discards_on_the_page(
    server: ServerProcess, letters: list[Cursor], page: Page
) -> None:
    """Why, for whom and how often are shown; what is redriven reaches the device; discarding asks first."""
    async with Client(server.url) as client, client.subscribe(subscriber="phone", since=str(letters[-1])) as stream:
        await stream.hello()
        await enter(page, server, "ops")
        row = page.get_by_role("row").filter(has_text="lost 1")
        for text in ("alice:phone", "for a test", "3", "DEAD", str(letters[1])):
            await expect(row).to_contain_text(text)

        await page.get_by_role("button", name="Redrive lost 1").click()
        await expect(page.get_by_role("status")).to_contain_text("1 redriven")
        await expect(row).to_contain_text("REDRIVEN")
        while (event := await stream.event())["__typename"] != "GapHealed":
            pass
        assert event["activities"] == [{"title": "lost 1"}]

    await page.get_by_role("button", name="Discard lost 0").click()
    await page.get_by_role("button", name="Leave it").click()
    await expect(page.get_by_role("row").filter(has_text="lost 0")).to_contain_text("DEAD")
    await page.get_by_role("button", name="Discard lost 0").click()
    await page.get_by_role("button", name="Discard it").click()
    await expect(page.get_by_role("status")).to_contain_text("1 discarded")
    await page.get_by_role("button", name="Refresh").click()
    await expect(page.get_by_role("status")).to_have_text("Nothing waits for a decision.")
    await page.get_by_label("Show").select_option("discarded ones")
    await expect(page.get_by_role("row").filter(has_text="lost 0")).to_contain_text("DISCARDED")


async def test_reader_sees_no_letters_and_is_asked_for_another_token(
    server: ServerProcess, letters: list[Cursor], page: Page
) -> None:
    """The page has no rights of its own; what the server says is shown, and nothing else."""
    await enter(page, server, "read")

    await expect(page.get_by_role("status")).to_contain_text("scope")
    await expect(page.get_by_label("Access token")).to_be_visible()
    await expect(page.get_by_role("row")).to_have_count(0)
    assert await page.evaluate("Object.keys(localStorage).length") == 0


async def test_all_that_wait_are_redriven_after_one_question(
    server: ServerProcess, letters: list[Cursor], page: Page
) -> None:
    """After an outage there are many: one question for all of them; it fits on a phone."""
    await page.set_viewport_size({"width": 360, "height": 640})
    await enter(page, server, "ops")
    await page.get_by_role("button", name="Redrive all 2").click()
    await page.get_by_role("button", name="Redrive them").click()

    await expect(page.get_by_role("status")).to_contain_text("2 redriven")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
