"""The table, for the terminal and for docs/benchmarks.md."""

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.table import Table

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.peers.yoga import locked_version
from tests.support.server import REPOSITORY

DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"
METHOD = Path(__file__).parent / "method.md"
PACKAGES = ("strawberry-graphql", "graphql-core", "starlette", "uvicorn", "uvloop", "httptools", "redis", "sqlalchemy")
NOT_RUN = "not-run: needs two quiet cores for an hour"
"""What tests/docs asks of every command on a page."""
MARKS = {True: "yes", False: "**no**", None: ""}


def for_terminal(rows: Sequence[Row]) -> Table:
    """The same, with colours."""
    table = Table("what", "target", "reached", "met")
    for row in rows:
        table.add_row(
            row.name, row.target, row.reached, {True: "[green]yes[/]", False: "[red]no[/]", None: ""}[row.met]
        )
    return table


def write(rows: Sequence[Row], bench: Bench, chosen: Sequence[str]) -> None:
    """Write docs/benchmarks.md anew."""
    DOCUMENT.write_text(document(rows, bench, chosen))


def document(rows: Sequence[Row], bench: Bench, chosen: Sequence[str]) -> str:
    """The table with the machine, the versions, the command, and how it was measured."""
    lines = head("Benchmarks", _command(bench, chosen))
    if bench.quick:
        lines += ["This was a smoke run (QUICK=1): its figures say that everything runs, not how fast.", ""]
    lines += ["| what | target | reached | met |", "|---|---|---|---|"]
    lines += [f"| {row.name} | {row.target} | {row.reached} | {MARKS[row.met]} |" for row in rows]
    if bench.notes:
        lines += ["", *(f"- {note}" for note in bench.notes)]
    lines += ["", "## Machine and versions", "", *(f"- {line}" for line in machine()), "", METHOD.read_text().rstrip()]
    return "\n".join(lines) + "\n"


def head(title: str, command: str, mark: str = NOT_RUN) -> list[str]:
    """How a document of benchmarks begins: when it was run, on what, and by which command."""
    lines = [f"# {title}", "", f"Run on {datetime.now(UTC):%d %B %Y}, {_commit()}, by", "", f"```bash {mark}"]
    return [*lines, f"make bench {command}".strip(), "```", ""]


def _command(bench: Bench, chosen: Sequence[str]) -> str:
    given = {name: os.environ.get(name) for name in ("ROWS", "SUBSCRIBERS", "ROUNDS", "PEERS", "SECONDS", "QUICK")}
    return " ".join(
        f'{name}="{value}"' if " " in value else f"{name}={value}" for name, value in given.items() if value
    )


def machine() -> list[str]:
    """What it was run on, and the versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB; Linux {platform.release()}",
        f"CPython {platform.python_version()}; " + ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        *filter(None, (_first_line(["nginx", "-v"]), _first_line(["node", "--version"], "Node "), _nchan())),
        f"graphql-yoga {locked_version()}",
    ]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(command: list[str], before: str = "") -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return before + (done.stdout or done.stderr).strip().splitlines()[0]


def _nchan() -> str:
    found = _first_line(["dpkg-query", "--show", "libnginx-mod-nchan"])
    return found.replace("\t", " ") if found.startswith("libnginx") else ""


def _commit() -> str:
    return f"commit {_first_line(['git', '-C', str(REPOSITORY), 'rev-parse', '--short', 'HEAD'])}"
