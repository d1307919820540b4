"""A page in a real browser, with everything it asked for and complained about."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, Request, async_playwright, expect

DIST = Path(__file__).parents[2] / "client-example" / "dist"
SECONDS = 1_000.0  # Playwright counts milliseconds


@dataclass(slots=True)
class Seen:
    """What a page asked for, which of it failed, and what it wrote to the console."""

    page: Page
    requests: list[Request] = field(default_factory=list)
    failed: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        page = self.page
        # Playwright leaves a mark on its handlers, which the list's own methods do not take: hence the lambdas.
        page.on("request", lambda request: self.requests.append(request))  # noqa: PLW0108
        page.on("requestfailed", lambda request: self.failed.append(request))  # noqa: PLW0108
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in {"error", "warning"} else None)

    def outside(self, url: str) -> list[str]:
        """Addresses of other hosts than `url`'s that were asked for."""
        return [request.url for request in self.requests if not request.url.startswith((url + "/", "data:"))]


@asynccontextmanager
async def browser(built: str, *, ignore_https_errors: bool = False) -> AsyncIterator[BrowserContext]:
    """Headless Chromium, if `built` has been built. Under CI its lack, and that of a build, is a failure."""
    if not (DIST / built / "index.html").is_file():
        reason = f"{DIST / built} is not built: run 'make pages'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH: apt-get install --no-install-recommends chromium")
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=["--disable-dev-shm-usage"])
        context = await launched.new_context(
            viewport={"width": 1280, "height": 900}, ignore_https_errors=ignore_https_errors
        )
        context.set_default_timeout(30 * SECONDS)
        expect.set_options(timeout=30 * SECONDS)
        yield context
        await launched.close()
