"""Peers that are missing are installed, where we may."""

import asyncio
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

PEERS = Path(__file__).parent / "peers"


class PeerMissing(Exception):
    """A server that is compared with is not on this machine and could not be installed; the message says why."""


async def install_debian(what: str, packages: Sequence[str], *, present: Callable[[], bool]) -> None:
    """Install Debian packages unless `present`. Raises PeerMissing, saying what to install."""
    if present():
        return
    remedy = f"{what} is missing: apt install {' '.join(packages)}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise PeerMissing(remedy)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    await _run(["apt-get", "update", "-qq"], environment, remedy)
    await _run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], environment, remedy)
    if not present():
        raise PeerMissing(remedy)


async def install_npm(directory: Path) -> None:
    """`npm ci`, unless it was done for this lock file. Raises PeerMissing."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise PeerMissing("node 20 or newer, and npm, are missing")
    lock, done = directory / "package-lock.json", directory / "node_modules" / ".installed"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    command = [npm, "ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(directory)]
    await _run(command, dict(os.environ), "npm ci failed")
    done.touch()


async def _run(command: Sequence[str], environment: dict[str, str], remedy: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    if await process.wait() != 0:
        raise PeerMissing(remedy)
