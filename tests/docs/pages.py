"""The pages that people read, and what stands fenced in them."""

import re
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.support.server import REPOSITORY

SHELL = frozenset({"bash", "sh", "console"})
OTHERS = frozenset({"text", "json", "graphql", "tsx", "sql"})
FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """Fenced lines. What follows the language says what the tests do with them, and no reader sees it:

    `run` executes them; `shows=TEXT` is in what they print; with `until=TEXT` they are ended by Ctrl-C once it is.
    `not-run: REASON` is for what cannot be executed beside a demo.
    """

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"

    @property
    def runs(self) -> bool:
        """Whether the tests execute it."""
        return self.language in SHELL and self.mark.split()[:1] == ["run"]

    @property
    def reason(self) -> str:
        """Why it is not executed; empty where nothing is said."""
        return self.mark.removeprefix("not-run:").strip() if self.mark.startswith("not-run:") else ""

    def option(self, name: str) -> str | None:
        """What `name=` is followed by."""
        found = [word.removeprefix(f"{name}=") for word in self.mark.split() if word.startswith(f"{name}=")]
        return found[0] if found else None


def pages() -> list[Path]:
    """Every Markdown file that is kept, in order, but those below tests/, which are parts of pages."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    names = sorted(name for name in listed.stdout.splitlines() if not name.startswith("tests/"))
    return [path for name in names if (path := REPOSITORY / name).exists()]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, from the top."""
    text, found = page.read_text(encoding="utf-8"), []
    for match in FENCE.finditer(text):
        language, _, mark = match["info"].strip().partition(" ")
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, mark.strip(), textwrap.dedent(match["body"])))
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))
