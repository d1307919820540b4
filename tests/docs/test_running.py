"""A command on a page that does not do what it should fails its test."""

import json
from pathlib import Path

import pytest

from tests.docs.pages import Block, blocks
from tests.docs.running import run
from tests.support.server import REPOSITORY


def block(mark: str, text: str) -> Block:
    """One that stands nowhere."""
    return Block(REPOSITORY / "README.md", hash((mark, text)) % 10_000, "bash", mark, text)


async def printed(tmp_path: Path, *found: Block) -> list[str]:
    """What each prints, without any server."""
    servers = {"server_url": "http://127.0.0.1:1", "database_url": "postgresql://nobody", "redis_url": "unix:///none"}
    (tmp_path / "servers.json").write_text(json.dumps(servers))
    (tmp_path / "out").mkdir()
    return list((await run(found, state=tmp_path, sitting=tmp_path, scratch=tmp_path / "out")).values())


async def test_blocks_share_a_shell(tmp_path: Path) -> None:
    """Variables and functions of one are there in the next, also where that is ended by Ctrl-C."""
    first = block("run", "export A=1\nb() { echo $A$1; }\n")
    endless = block("run until=12", "b 2; while :; do sleep 0.1; done\n")

    assert await printed(tmp_path, first, endless, block("run shows=13", "b 3\n")) == ["", "12\n", "13\n"]


@pytest.mark.parametrize(
    "wrong",
    [
        block("run", "false\ntrue\n"),
        block("run shows=this", "echo that\n"),
        block("run", "echo '{\"errors\": []}'\n"),
        block("run until=this", "echo that\n"),
    ],
    ids=["fails", "prints something else", "is refused", "ends before"],
)
async def test_command_that_goes_wrong_is_told(tmp_path: Path, wrong: Block) -> None:
    """With where it stands and what it printed."""
    with pytest.raises(AssertionError, match=r"README\.md:\d+"):
        await printed(tmp_path, block("run", "echo before\n"), wrong)


def test_fences_are_read_as_a_renderer_reads_them(tmp_path: Path) -> None:
    """Indented ones in lists, longer ones around shorter ones, and the mark apart from the language."""
    page = tmp_path / "page.md"
    page.write_text("1. a\n   ```bash run\n   echo 1\n   ```\n\n````text\n```\nno block\n```\n````\n")

    assert [(one.line, one.language, one.mark, one.text) for one in blocks(page)] == [
        (2, "bash", "run", "echo 1\n"),
        (6, "text", "", "```\nno block\n```\n"),
    ]
