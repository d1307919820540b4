"""Executes the blocks of a page one after another in one shell, as a reader would who copies them beside a demo."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from resolvers.embedded.binaries import find_postgres
from tests.docs.pages import Block
from tests.support.server import REPOSITORY

PATIENCE = 240.0
"""Seconds for all blocks of a page."""

PRELUDE = """
set -em
followed() {  # process, file, text: Ctrl-C once the text is there
  for _ in $(seq 1200); do
    if grep -qF -- "$3" "$2"; then kill -INT -- -"$1"; wait "$1" || true; return 0; fi
    kill -0 "$1" 2>/dev/null || return 1
    sleep 0.05
  done
  kill -INT -- -"$1"; return 1
}
"""
# Of the demo's own socket, which redis-cli takes by -s only.
REDIS_CLI = """#!/bin/sh
if [ "$1" = -u ]; then shift 2; fi
exec {client} -s {socket} "$@"
"""


def redis_client() -> str | None:
    """Debian's `redis-tools` or `valkey-tools` brings one."""
    return shutil.which("redis-cli") or shutil.which("valkey-cli")


def replacements(servers: Mapping[str, str], state: Path, sitting: Path) -> dict[str, str]:
    """What stands on the pages for what a reader has, and what it is here."""
    return {
        "http://127.0.0.1:8000": servers["server_url"],
        "postgresql://user:password@host/divisionbell": servers["database_url"],
        "redis://host:6379/0": servers["redis_url"],
        "--port 8000": "--port 0",
        ".venv/bin/python": sys.executable,
        ".state/": f"{state}/",
        "FILE_OR_URL": str(sitting),
    }


def script(blocks: Sequence[Block], replaced: Mapping[str, str], out: Path) -> str:
    """One shell's: variables and functions of a block are there for the next; it ends at the first that fails."""
    lines = [PRELUDE]
    for number, block in enumerate(blocks):
        text = block.text
        for words, by in replaced.items():
            text = text.replace(words, by)
        file = out / str(number)
        if until := block.option("until"):
            lines.append(f"(\n{text}) >{file} 2>&1 </dev/null &\nfollowed $! {file} '{until}'")
        else:
            lines.append(f"{{\n{text}}} >{file} 2>&1 </dev/null")
    return "\n".join(lines) + "\n"


def environment(servers: Mapping[str, str], state: Path, scratch: Path) -> dict[str, str]:
    """A second terminal's, with Redis' and PostgreSQL's clients."""
    tools = scratch / "bin"
    tools.mkdir()
    if client := redis_client():
        socket = servers["redis_url"].removeprefix("unix://").partition("?")[0]
        (tools / "redis-cli").write_text(REDIS_CLI.format(client=client, socket=socket))
        (tools / "redis-cli").chmod(0o755)
    # psql and pg_dump as old as the server, which an older pg_dump would refuse.
    path = [str(tools), str(Path(sys.executable).parent), str(find_postgres()[0]), os.environ["PATH"]]
    kept = {name: value for name, value in os.environ.items() if name not in {"AUTH_SECRET", "PORT", "WORKERS"}}
    return kept | {
        "PATH": os.pathsep.join(path),
        "STATE_DIR": str(state),
        "DATABASE_URL": servers["database_url"],
        "REDIS_URL": servers["redis_url"],
    }


async def run(blocks: Sequence[Block], *, state: Path, sitting: Path, scratch: Path) -> dict[str, str]:
    """What each block printed, by where it stands. Raises AssertionError when one has not done what it should."""
    servers = json.loads((state / "servers.json").read_text())
    text = script(blocks, replacements(servers, state, sitting), scratch)
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        text,
        cwd=REPOSITORY,
        env=environment(servers, state, scratch),
        start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            status = await process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    printed = {
        block.where: file.read_text(errors="replace")
        for number, block in enumerate(blocks)
        if (file := scratch / str(number)).exists()
    }
    last = list(printed.items())[-1]
    assert status == 0, f"{last[0]} ended with {status}:\n{last[1]}"
    for block in blocks:
        assert '"errors"' not in printed[block.where], f"{block.where} was refused:\n{printed[block.where]}"
        assert (block.option("shows") or "") in printed[block.where], f"{block.where}:\n{printed[block.where]}"
    return printed
