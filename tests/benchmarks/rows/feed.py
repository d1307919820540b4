"""The feed's paths, its pages over HTTP and its marks: a process of its own, with servers of its own, on both cores."""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.building import on_core
from tests.benchmarks.session import SessionFailed

SMOKE = ("--activities=6000", "--users=100", "--reads=1000", "--seconds=0.5", "--rounds=1")


async def run(bench: Bench) -> list[Row]:
    """Run it; it writes docs/benchmarks-feed.md where the bench writes docs/benchmarks.md."""
    options = list(SMOKE) if bench.quick else ["--document"] if os.environ.get("FEED_DOCS") else []
    with tempfile.TemporaryDirectory() as directory:
        told = Path(directory) / "told.json"
        with on_core(None):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.benchmarks.feed", f"--json={told}", *options
            )
        if await process.wait() != 0:
            raise SessionFailed(f"the feed's rows ended with status {process.returncode}")
        answer = json.loads(told.read_text(encoding="utf-8"))
    bench.notes.extend(answer["notes"])
    rows = [_row(**target) for target in answer["targets"]]
    marks = answer["marks"]
    reached = f"{marks['per_second']:,.0f} a second, p95 {marks['p95']:.1f} ms"
    return [*rows, Row("markRead of 20 IDs, one process", "", reached)]


def _row(name: str, ratio: float, least: float | None) -> Row:
    target = "" if least is None else f"≥ {least:g} ×"
    return Row(name, target, f"{ratio:.1f} ×", None if least is None else ratio >= least)
