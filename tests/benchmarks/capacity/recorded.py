"""What docs/benchmarks*.md have recorded, by the rows that have it."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.costs import document as costs
from tests.support.server import REPOSITORY

BOOK = REPOSITORY / "docs"
ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<target>[^|]*) \| (?P<reached>[^|]+) \|", re.MULTILINE)


class RowMissing(LookupError):
    """No row has what is asked for; the message says which was looked for."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, and the row that it is from."""

    value: float
    row: str


class Recorded:
    """The rows of docs/benchmarks.md, docs/benchmarks-feed.md and docs/benchmarks-costs.md."""

    def __init__(self, book: Path = BOOK) -> None:
        self._rows = [
            (match["name"].strip(), match["reached"].strip())
            for match in ROW.finditer((book / "benchmarks.md").read_text(encoding="utf-8"))
        ]
        self._feed = (book / "benchmarks-feed.md").read_text(encoding="utf-8")
        self._costs = costs.read(book / "benchmarks-costs.md")

    def figure(self, name: str, pattern: str) -> Figure:
        """The first group of `pattern` in what the row reached whose name contains `name`. Raises RowMissing."""
        for row, reached in self._rows:
            if name in row and (found := re.search(pattern, reached)):
                return Figure(float(found[1].replace(",", "")), row)
        raise RowMissing(f"{name}: {pattern}")

    def cost(self, name: str) -> Figure:
        """Microseconds, or bytes. Raises RowMissing."""
        for row, value in self._costs.items():
            if row.startswith(name):
                return Figure(value, row)
        raise RowMissing(name)

    @property
    def memory_of_marks(self) -> Figure:
        """Bytes of Redis for what a user has read."""
        found = re.search(r"Memory of a user in Redis: ([\d,]+) bytes", self._feed)
        if found is None:
            raise RowMissing("Memory of a user in Redis")
        return Figure(float(found[1].replace(",", "")), "Memory of a user in Redis")
