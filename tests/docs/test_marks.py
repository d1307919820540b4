"""Every command on a page says whether the tests run it; those that are not executed are at least real."""

import re
from itertools import chain

from graphql import build_schema, parse, validate
from typer.main import get_command

from cli import commands
from tests.docs.pages import OTHERS, SHELL, Block, blocks, pages, prose
from tests.support.server import REPOSITORY

COMMAND = re.compile(r"^\s*(make|(\.venv/bin/)?python3?|psql|redis-cli|curl|docker|git|npm) ", re.MULTILINE)
OF_MAKE = re.compile(r"(?<![\w-])make ([a-z][a-z-]+)")
OF_CLI = re.compile(r"python -m cli ([a-z][a-z-]*)(?: ([a-z][a-z|-]*))?")
WORD = re.compile(r"`[^`\n]+`")


def everything() -> list[Block]:
    """All blocks of all pages."""
    return list(chain.from_iterable(map(blocks, pages())))


def test_every_block_says_what_it_is() -> None:
    """A language of the list, so that none with commands passes as something else."""
    assert {block.where: block.language for block in everything() if block.language not in SHELL | OTHERS} == {}


def test_every_command_is_run_or_says_why_not() -> None:
    """`run`, or `not-run:` and a reason of some words."""
    silent = [
        block.where
        for block in everything()
        if block.language in SHELL and not block.runs and len(block.reason.split()) < 3
    ]
    assert silent == []


def test_no_command_hides_among_what_is_no_command() -> None:
    """Text and JSON have no line that begins with the name of a program."""
    assert [block.where for block in everything() if block.language in OTHERS and COMMAND.search(block.text)] == []


def test_every_target_that_is_named_is_in_the_makefile() -> None:
    """`make X`, in blocks and in the prose."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {
        (str(page.relative_to(REPOSITORY)), target)
        for page in pages()
        for text in [*WORD.findall(prose(page)), *(block.text for block in blocks(page) if block.language in SHELL)]
        for target in OF_MAKE.findall(text)
    }

    assert {target for _, target in named} >= {"demo", "test", "bench"}
    assert {(page, target) for page, target in named if target not in targets} == set()


def test_every_subcommand_that_is_named_is_one() -> None:
    """`python -m cli X`, and `python -m cli X Y` where X is a group."""
    known = {name: set(getattr(one, "commands", {})) for name, one in get_command(commands).commands.items()}  # type: ignore[attr-defined]
    wrong = []
    for page in pages():
        for name, second in OF_CLI.findall(page.read_text(encoding="utf-8")):
            group = known.get(name)
            if group is None or (group and second and not set(second.split("|")) <= group):
                wrong.append((page.name, name, second))

    assert wrong == []


def test_every_operation_that_is_shown_fits_the_schema() -> None:
    """Blocks of GraphQL."""
    schema = build_schema((REPOSITORY / "schema" / "schema.graphql").read_text())
    shown = [block for block in everything() if block.language == "graphql"]

    assert shown
    assert {block.where: errors for block in shown if (errors := validate(schema, parse(block.text)))} == {}
