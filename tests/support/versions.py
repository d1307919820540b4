"""The version before this one, taken out of the repository's history, to run beside it."""

import asyncio
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import with_database
from tests.support.server import REPOSITORY, ServerProcess

BASELINE = "697dd22"
"""Stands for the previous release until there is a tag: it made the schema what version 0.1 begins with."""


def _git(*arguments: str) -> bytes | None:
    ran = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, check=False)
    return ran.stdout if ran.returncode == 0 else None


def previous_version() -> str | None:
    """The last tag before this commit, else BASELINE; None where the history does not go back so far."""
    if shutil.which("git") is None:
        return None
    tag = _git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^")
    name = tag.decode().strip() if tag else BASELINE
    return name if _git("cat-file", "-e", f"{name}^{{commit}}") is not None else None


def check_out_previous(directory: Path) -> Path:
    """Put the previous version's files into `directory`; return it. Skips the test where there are none."""
    version = previous_version()
    files = _git("archive", version) if version else None
    if files is None:
        pytest.skip(
            f"needs git, and a clone whose history goes back to the last tag, or to {BASELINE}: not a shallow one"
        )
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(directory, filter="data")
    return directory


@asynccontextmanager
async def new_database(postgres_url: str) -> AsyncIterator[str]:
    """URL of a database that has nothing, not even a schema; dropped afterwards."""
    name = f"test_{os.urandom(6).hex()}"
    server = await asyncpg.connect(postgres_url)
    try:
        await server.execute(f'CREATE DATABASE "{name}"')
        yield with_database(postgres_url, name)
    finally:
        await server.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        await server.close()


async def migrate_by(checkout: Path, environment: Mapping[str, str]) -> None:
    """`python -m cli migrate`, as that version does it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *("-m", "cli", "migrate"), cwd=checkout, env={**os.environ, **environment}
    )
    assert await process.wait() == 0


async def end_aloud(server: ServerProcess) -> None:
    """Kill it, and print the end of what it said: pytest shows that when the test fails."""
    await server.kill()
    print(server.output[-4_000:])  # noqa: T201
