"""docs/benchmarks-costs.md, written and read."""

import re
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.table import head, machine
from tests.support.server import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "benchmarks-costs.md"
QUIET = "not-run: needs two quiet cores for three minutes"
METHOD = Path(__file__).parent / "method.md"
ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<value>[\d,.]+) (?P<unit>µs|B) \|$", re.MULTILINE)


def unit_of(name: str) -> str:
    """Bytes, or microseconds of CPU."""
    return "B" if "bytes" in name else "µs"


def write(costs: Mapping[str, float]) -> None:
    """Write it anew."""
    lines = [*head("Benchmarks: what one of each costs", "ROWS=costs", QUIET), "| what | |", "|---|---|"]
    lines += [f"| {name} | {value:,.1f} {unit_of(name)} |" for name, value in costs.items()]
    lines += ["", *(f"- {line}" for line in machine()), "", METHOD.read_text(encoding="utf-8").rstrip()]
    DOCUMENT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(document: Path = DOCUMENT) -> dict[str, float]:
    """Each row's value, in microseconds or bytes."""
    return {row["name"]: float(row["value"].replace(",", "")) for row in ROW.finditer(document.read_text("utf-8"))}
