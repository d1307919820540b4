"""The verdict of a soak, for the terminal and for docs/soak.md."""

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from tests.soak.running import Soaked
from tests.soak.slopes import Finding
from tests.support.server import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "soak.md"
METHOD = Path(__file__).parent / "method.md"
COUNTED = (
    *("published", "deliveries", "missing", "repeated", "gaps"),
    *("connects", "refused", "polls", "marks"),
)
HEAD = ("what", "level", "an hour", "gained", "allowed", "flat")


def for_terminal(soaked: Soaked) -> Table:
    """A line a series."""
    table = Table(*HEAD)
    for one in soaked.findings:
        table.add_row(*_cells(one), "[red]no[/]" if one.grows else "[green]yes[/]")
    return table


def document(soaked: Soaked) -> str:
    """docs/soak.md: the command, the figures, what was done meanwhile, and how."""
    return "\n".join(_lines(soaked))


def _lines(soaked: Soaked) -> Iterator[str]:
    yield from (
        "# Soak",
        "",
        f"Run on {datetime.now(UTC):%d %B %Y}, by",
        "",
        "```bash not-run: takes an hour; tests/soak runs a minute of it",
    )
    yield from (f"make soak SECONDS={soaked.seconds:.0f}", "```", "")
    yield f"{_processor()}; CPython {platform.python_version()}, uvicorn {version('uvicorn')}."
    yield (
        f"{soaked.warm_up / 60:.0f} minutes to warm up, then {soaked.samples} samples."
        f" The two workers used {soaked.cores:.0%} of a core."
    )
    yield from ("", f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}")
    for one in soaked.findings:
        yield f"| {' | '.join(_cells(one))} | {'**no**' if one.grows else 'yes'} |"
    yield from ("", "What was done meanwhile, and what came of it:", "", "| | |", "|---|---|")
    for name in COUNTED:
        yield f"| {name} | {soaked.counts[name]:,} |"
    yield f"| entries unaccounted for | {soaked.unaccounted:.0f} |"
    yield from ("", "**Verdict:** " + ("; ".join(soaked.problems) or "nothing grows, and nothing was missed") + ".", "")
    yield METHOD.read_text()


def _cells(one: Finding) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.level:,.1f} {one.unit}".strip(),
        f"{one.an_hour:+,.2f} {one.unit}".strip(),
        f"{one.gained:+,.2f}",
        f"{one.allowed:,.2f}",
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores; Linux {platform.release()}"
