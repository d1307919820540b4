"""Every command of the book that is marked so is executed beside a demo, page by page, as it stands there."""

import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from streams.connection import connect as connect_redis
from tests.docs.pages import Block, blocks, pages
from tests.docs.running import redis_client, run
from tests.docs.test_redis_keys import documented
from tests.resolvers.importing.test_hansard import said, sitting, stamp, subject
from tests.support.directories import reachable_directory
from tests.support.server import REPOSITORY, ServerProcess

RUN = {str(page.relative_to(REPOSITORY)): found for page in pages() if (found := [b for b in blocks(page) if b.runs])}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def state() -> AsyncIterator[Path]:
    """The state directory of a demo that all pages share, as a reader's would."""
    with reachable_directory() as directory:
        environment = {"STATE_DIR": str(directory / "state"), "DRAIN_SECONDS": "2"}
        async with ServerProcess("demo", environment=environment):
            yield directory / "state"


@pytest.fixture
def a_sitting(tmp_path: Path) -> Path:
    """What a page calls FILE_OR_URL."""
    file = tmp_path / "sitting.xml"
    file.write_bytes(sitting(subject("Bees", stamp(10, 0), *(said(str(k), f"Words {k}.") for k in range(30)))))
    return file


def runnable(found: list[Block]) -> list[Block]:
    """All of them; without a client of Redis those that need none, which CI does not let pass."""
    if redis_client():
        return found
    if os.environ.get("CI"):
        pytest.fail("no redis-cli: apt-get install --no-install-recommends redis-tools")
    return [block for block in found if "redis-cli" not in block.text]


@pytest.mark.timeout(300)
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("page", RUN)
async def test_commands_of_a_page_do_what_it_says(page: str, state: Path, a_sitting: Path, tmp_path: Path) -> None:
    """One shell a page, block after block; each ends well, prints what is marked, and is refused nothing."""
    scratch = tmp_path / "out"
    scratch.mkdir()
    await run(runnable(RUN[page]), state=state, sitting=a_sitting, scratch=scratch)


@pytest.mark.asyncio(loop_scope="module")
async def test_every_key_that_is_in_redis_by_now_is_documented(state: Path) -> None:
    """Whatever the pages' commands left there has a row of its type in docs/redis-keys.md."""
    redis = connect_redis(json.loads((state / "servers.json").read_text())["redis_url"])
    raw: dict[Any, Any] = {key: await redis.type(key) async for key in redis.scan_iter(count=1_000)}
    await redis.aclose()
    found = {key.decode(): kind.decode() for key, kind in raw.items()}

    assert len(found) > 5
    rows = documented()
    unknown = {
        name: kind
        for name, kind in found.items()
        if not any(re.fullmatch(row.pattern, name) and row.stored == kind for row in rows)
    }
    assert unknown == {}
