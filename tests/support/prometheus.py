"""A real Prometheus with the product's rules, hurried, beside a real server."""

import asyncio
import contextlib
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.promql import PROMETHEUS
from tests.support.waiting import wait_until

WINDOWS = {"5m": "20s", "30m": "22s", "1h": "24s", "2h": "26s", "6h": "28s", "1d": "30s", "3d": "32s"}
SPANS = {"> 3600": "> 20", "> 300": "> 75", "> 120": "> 8"}
"""Thresholds that are a time: what is an hour, five minutes, two minutes outside. 75 s: two of the repairs are a minute
apart when all is well."""


def hurried(rules: str) -> str:
    """The rules with seconds for minutes in `for:`, in windows and where a threshold is a time; no more than that."""
    rules = re.sub(r"for: \d+m", "for: 1s", rules)
    rules = re.sub(r"\[(\w+)\]", lambda window: f"[{WINDOWS[window[1]]}]", rules)
    for outside, here in SPANS.items():
        rules = rules.replace(outside, here)
    return rules


class Prometheus:
    """What a test asks of it."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=10, trust_env=False)

    async def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query. Raises AssertionError for one that Prometheus refuses."""
        answer = (await self._http.get("/api/v1/query", params={"query": expression})).json()
        assert answer["status"] == "success", (expression, answer)
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    async def value(self, expression: str) -> float | None:
        """The only value of an instant query; None where there is none."""
        series = await self.ask(expression)
        return float(series[0]["value"][1]) if series else None

    async def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        return {series["metric"]["alertname"] for series in await self.ask('ALERTS{alertstate="firing"}')}

    async def fires(self, *names: str, within: float = 60) -> None:
        """Wait until all these alerts have fired, together or one after another."""
        seen: set[str] = set()

        async def all_seen() -> bool:
            seen.update(await self.firing())
            return set(names) <= seen

        await wait_until(all_seen, within=within, every=0.3, description=f"{names} fire")

    async def resolves(self, *names: str, within: float = 60) -> None:
        """Wait until none of these alerts fires."""

        async def none() -> bool:
            return not set(names) & await self.firing()

        await wait_until(none, within=within, every=0.3, description=f"{names} resolve")

    async def moved(self, expression: str) -> None:
        """Wait until an instant query has a value above 0."""

        async def above() -> bool:
            return (await self.value(expression) or 0) > 0

        await wait_until(above, within=30, every=0.3, description=f"{expression} > 0")

    async def ready(self) -> bool:
        """Whether it answers, and has asked its targets."""
        with contextlib.suppress(httpx.HTTPError):
            return (await self._http.get("/-/ready")).is_success and await self.value("count(up)") is not None
        return False

    async def close(self) -> None:
        """Ask no more."""
        await self._http.aclose()


def _configure(directory: Path, targets: Collection[str]) -> None:
    directory.mkdir()
    for name in ("recording.yml", "alerts.yml"):
        (directory / name).write_text(hurried((PROMETHEUS / name).read_text(encoding="utf-8")), encoding="utf-8")
    listed = ", ".join(f'"{target}"' for target in targets)
    (directory / "prometheus.yml").write_text(
        "global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }\n"
        "rule_files: [recording.yml, alerts.yml]\n"
        "scrape_configs:\n"
        f"  - {{ job_name: divisionbell, static_configs: [{{ targets: [{listed}] }}] }}\n",
        encoding="utf-8",
    )


@asynccontextmanager
async def prometheus(directory: Path, *, targets: Collection[str]) -> AsyncIterator[Prometheus]:
    """A Prometheus with the hurried rules that asks `targets` (host:port) every second, while the block runs."""
    binary = shutil.which("prometheus")
    if binary is None:
        reason = "no prometheus on PATH: apt-get install --no-install-recommends prometheus"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    _configure(directory, targets)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        binary,
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
        stdin=asyncio.subprocess.DEVNULL,
        env={**os.environ, "GOMAXPROCS": "1"},
    )
    asked = Prometheus(f"http://127.0.0.1:{port}")
    try:
        await wait_until(asked.ready, within=30, every=0.2, description="Prometheus is ready")
        yield asked
    finally:
        await asked.close()
        process.terminate()
        await process.wait()
