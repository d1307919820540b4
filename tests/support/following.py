"""The client library of `client-example/src/activity-stream`, run by Node against a real server."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support.waiting import wait_until

PROGRAM = Path(__file__).parents[2] / "client-example/dist/tests/src/activity-stream/testing/follow.js"


def node() -> str:
    """Where Node is. Skips the test where it is not, or the program is not compiled; under CI that fails."""
    found = shutil.which("node") or shutil.which("node", path=str(Path(sys.executable).parent))
    if found is None or not PROGRAM.is_file():
        reason = "no Node, or the client is not compiled: run 'make client-check'"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class Follower:
    """One client, with everything it delivered in `titles`, and its last snapshot."""

    def __init__(self, url: str, *, token: str, **options: object) -> None:
        self._url = url
        self._environment = {**os.environ, "TOKEN": token, "OPTIONS": json.dumps(options)}
        self.titles: list[str] = []
        self.gaps: list[dict[str, Any]] = []
        self.last: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            node(),
            str(PROGRAM),
            f"{self._url}/graphql",
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read(), name="follower")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.last = json.loads(line)
            for event in self.last["events"]:
                if event["__typename"] == "ActivityAdded":
                    self.titles.append(event["activity"]["title"])
                if event["__typename"] == "FeedGap":
                    self.gaps.append(event)

    async def until(self, *, within: float = 30.0, **wanted: object) -> None:
        """Return once the snapshot has these values."""

        def said() -> dict[str, object]:
            return {name: self.last.get(name) for name in wanted}

        try:
            await wait_until(lambda: said() == wanted, description="what the client says", within=within)
        except AssertionError as error:
            raise AssertionError(f"the client does not say {wanted}, but {self.last}") from error

    async def shows(self, title: str) -> None:
        """Return once an activity with this title was delivered."""
        await wait_until(lambda: title in self.titles, description=f"the client shows {title!r}")

    @property
    def switches(self) -> list[tuple[str, str]]:
        """Modes it changed to, and why."""
        return [(switch["to"], switch["reason"]) for switch in self.last["switches"]]
