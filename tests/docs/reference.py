"""Writes what of the book is made from the code: settings, command line, list of decisions. `make reference`."""

import inspect
import typing
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal

from annotated_types import Ge, Le
from pydantic import DirectoryPath, SecretStr
from pydantic.fields import FieldInfo
from typer.main import get_command

from cli import commands
from settings import Settings
from tests.support.server import REPOSITORY

BOOK = REPOSITORY / "docs"
HEADS = Path(__file__).parent / "heads"
"""What stands above the made part of a page, as people wrote it."""


def settings_page() -> str:
    """docs/settings.md."""
    rows = ["| variable | default | values | |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        rows.append(f"| `{name.upper()}` | {_default(field)} | {_values(field)} | {field.description or ''} |")
    return _under("settings", rows)


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value == "":
        return "none"
    if isinstance(value, timedelta):
        whole_days, rest = divmod(value, timedelta(days=1))
        return f"P{whole_days}D" if whole_days and not rest else f"{value.total_seconds():g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


KINDS: dict[Any, str] = {
    bool: "true, false",
    int: "number",
    float: "seconds",
    timedelta: "seconds, or ISO 8601",
    SecretStr: "secret",
    Path: "path",
    DirectoryPath: "path",
}


def _values(field: FieldInfo) -> str:
    kind: Any = field.annotation
    if isinstance(kind, UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not NoneType)
    if typing.get_origin(kind) is Literal:
        return ", ".join(typing.get_args(kind))
    pattern = next((one.pattern for one in field.metadata if getattr(one, "pattern", None)), "")
    if pattern.startswith("^("):
        return pattern.strip("^$()").replace("|", ", ")
    if typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    said = KINDS.get(kind, "text")
    return f"{said}, {bounds}" if (bounds := _bounds(field)) and kind is not timedelta else said


def _bounds(field: FieldInfo) -> str:
    low: Any = next((one.ge for one in field.metadata if isinstance(one, Ge)), None)
    high: Any = next((one.le for one in field.metadata if isinstance(one, Le)), None)
    if high is None:
        return "" if low is None else f"{low} or more"
    return f"{low} to {high}"


def cli_page() -> str:
    """docs/cli.md, as `--help` has it."""
    lines: list[str] = []
    for path, command in _leaves(get_command(commands), ()):
        with command.make_context(" ".join(("python -m cli", *path)), [], resilient_parsing=True) as context:
            usage = command.get_usage(context).removeprefix("Usage: ")
            lines += [f"## {' '.join(path)}", "", f"`{usage}`", "", inspect.cleandoc(command.help or ""), ""]
            shown = [one.get_help_record(context) or ("", "") for one in command.get_params(context)]
            rows = [f"| `{_escaped(name)}` | {_escaped(said)} |" for name, said in shown if name != "--help"]
            lines += ["| | |", "|---|---|", *rows, ""] if rows else []
    return _under("cli", lines)


def _escaped(cell: str) -> str:
    return " ".join(cell.split()).replace("|", r"\|")


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
        return
    for name, one in below.items():
        yield from _leaves(one, (*path, name))


def decisions_page() -> str:
    """docs/adr/README.md."""
    records = sorted((BOOK / "adr").glob("[0-9]*.md"))
    titles = [record.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ") for record in records]
    return _under("adr", [f"- [{title}]({record.name})" for title, record in zip(titles, records, strict=True)])


def _under(head: str, lines: list[str]) -> str:
    return "\n".join([(HEADS / f"{head}.md").read_text(encoding="utf-8").rstrip(), "", *lines]).rstrip() + "\n"


PAGES = {"settings.md": settings_page, "cli.md": cli_page, "adr/README.md": decisions_page}

if __name__ == "__main__":
    for name, made in PAGES.items():
        (BOOK / name).write_text(made(), encoding="utf-8")
