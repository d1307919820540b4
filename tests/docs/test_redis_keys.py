"""docs/redis-keys.md has every key that the code names, with its type, and no other."""

import inspect
import re
from dataclasses import dataclass

from cache.segments import segment_key, state_key
from streams.keys import Keys
from tests.support.server import REPOSITORY

PAGE = REPOSITORY / "docs" / "redis-keys.md"
ROW = re.compile(r"^\| `(?P<key>[^`]+)` \| (?P<stored>\w+) \|", re.MULTILINE)
STORED = {"Stream": "stream", "Hash": "hash", "Sorted set": "zset", "Number": "string", "Bitmap": "string"}
"""Redis' own word, by the first of a docstring."""


@dataclass(frozen=True, slots=True)
class Row:
    """A key as it is written on the page, and Redis' word for its type."""

    key: str
    stored: str

    @property
    def pattern(self) -> str:
        """A regular expression: any shard, and anything for what is in angle brackets."""
        return re.sub(r"<\w+>", ".+", re.escape(self.key).replace("activities:0", r"activities:\d+"))


def documented() -> list[Row]:
    """The page's rows."""
    return [Row(match["key"], match["stored"]) for match in ROW.finditer(PAGE.read_text(encoding="utf-8"))]


def of_the_code() -> list[Row]:
    """Every name that `Keys` and the bitmaps make, with its parameters in angle brackets."""
    keys, made = Keys(), []
    for name, member in vars(Keys).items():
        if name.startswith("_") or (not isinstance(member, property) and not inspect.isfunction(member)):
            continue
        if isinstance(getattr(keys, name), list):
            continue  # names again what others name
        said = inspect.getdoc(member) or ""
        if isinstance(member, property):
            made.append((getattr(keys, name), said))
        else:
            parameters = list(inspect.signature(getattr(keys, name)).parameters)
            made.append((getattr(keys, name)(*(f"<{one}>" for one in parameters)), said))
    made.append((state_key("<user>"), inspect.getdoc(state_key) or ""))
    made.append((segment_key("<user>", "<segment>"), inspect.getdoc(segment_key) or ""))  # type: ignore[arg-type]
    return [Row(key, STORED[said.partition(":")[0]]) for key, said in made]


def test_page_has_the_keys_of_the_code() -> None:
    """Each by its name and its type."""
    assert {(row.key, row.stored) for row in documented()} == {(row.key, row.stored) for row in of_the_code()}


def test_pattern_of_a_row_fits_what_it_means() -> None:
    """Other shards and other users, and nothing else."""
    row = next(row for row in documented() if row.key.endswith("connections:<process>"))

    assert re.fullmatch(row.pattern, "{activities:3}:connections:p12-a1")
    assert not re.fullmatch(row.pattern, "{activities:3}:connections")
