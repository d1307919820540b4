"""PostgreSQL as a child process."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from resolvers.embedded.binaries import find_postgres
from resolvers.embedded.processes import Account, Child, StartFailed, end_leftover, socket_directory

_FAST_AND_LOOSE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
_FOR_ROOT = Path("/var/tmp/divisionbell")  # noqa: S108 - where an unprivileged postgres can live when we are root
INITDB_WITHIN = timedelta(seconds=60)


def database_url(sockets: Path, name: str) -> str:
    """A URL that asyncpg, SQLAlchemy and psql take: over the socket in `sockets`, as user postgres."""
    return f"postgresql://postgres@/{name}?host={quote(str(sockets), safe='/')}"


def start_postgres(
    data_root: Path,
    *,
    durable: bool,
    settings: Mapping[str, str] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Child:
    """Start PostgreSQL on `data_root`/pg<major>, made if it is new; return when it answers. `url` is database postgres.

    Not `durable`: committed data may be lost with the machine, for tests. Reachable only over a socket in a private
    directory. Call it from the main thread. Raises ServerMissing, StartFailed.
    """
    binaries, major = find_postgres()
    account = None
    if os.geteuid() == 0:
        # Only PostgreSQL refuses to run as root.
        nobody = pwd.getpwnam("nobody")
        account = Account(nobody.pw_uid, nobody.pw_gid)
        binaries = _within_reach(binaries, account, report)
        data_root = _root_within_reach(data_root, account, report)
    data = data_root / f"pg{major}"
    data_root.mkdir(parents=True, exist_ok=True)
    if account:
        os.chown(data_root, account.uid, account.gid)
    _end_leftover(data)
    if not (data / "PG_VERSION").exists():
        report("making a new PostgreSQL database")
        _initialise(binaries, data, account, major)
    sockets = socket_directory(data_root / "postgres.socket", account)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "port": "5432",
        "max_connections": "200",
        **({} if durable else _FAST_AND_LOOSE),
        **(settings or {}),
    }
    child = Child(
        [str(binaries / "postgres"), "-D", str(data), *(f"--{name}={value}" for name, value in options.items())],
        log_path=data_root / "postgres.log",
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
        url=database_url(sockets, "postgres"),
        sockets=sockets,
        account=account,
        environment=_environment(),
    )
    child.wait_until_ready(lambda: _is_ready(data, child.pid))
    return child


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}


def _is_ready(data: Path, pid: int) -> bool:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _end_leftover(data: Path) -> None:
    try:
        pid = int((data / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    end_leftover(pid, "postgres", signal.SIGINT)


def _initialise(binaries: Path, data: Path, account: Account | None, major: int) -> None:
    # Beside its place and renamed when whole: an initdb that was interrupted must not look like a database.
    fresh = data.with_name(f"{data.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    locale = builtin if major >= 17 else ["--no-locale"]
    ran = subprocess.run(  # noqa: S603 - our own binaries
        [binaries / "initdb", "-D", fresh, "-U", "postgres", "-A", "trust", "-E", "UTF8", *locale, "--no-instructions"],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=_environment(),
        timeout=INITDB_WITHIN.total_seconds(),
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if ran.returncode:
        raise StartFailed(f"initdb failed:\n{ran.stdout[-1000:]}\n{ran.stderr[-2000:]}")
    fresh.rename(data)


def _reachable(path: Path, account: Account) -> bool:
    """Whether `account` may walk to and into `path`."""
    for directory in [path, *path.parents]:
        state = directory.stat()
        shift = 6 if state.st_uid == account.uid else 3 if state.st_gid == account.gid else 0
        if not (state.st_mode >> shift) & 1:
            return False
    return True


def _within_reach(binaries: Path, account: Account, report: Callable[[str], None]) -> Path:
    if _reachable(binaries, account):
        return binaries
    package = binaries.parent.parent
    # The wheel's libraries lie beside the package, and the binaries find them by a relative path: copy both.
    libraries = package.with_name(f"{package.name}.libs")
    copy = _FOR_ROOT / f"binaries-{int(binaries.stat().st_mtime)}"
    if not copy.exists():
        report(f"copying PostgreSQL to {copy}, where the user 'nobody' can run it")
        fresh = copy.with_name(f"{copy.name}.{os.getpid()}")
        shutil.copytree(package, fresh / package.name)
        if libraries.exists():
            shutil.copytree(libraries, fresh / libraries.name)
        for directory in (_FOR_ROOT, fresh):
            directory.chmod(0o755)
        fresh.rename(copy)
    return copy / package.name / binaries.relative_to(package)


def _root_within_reach(data_root: Path, account: Account, report: Callable[[str], None]) -> Path:
    data_root.mkdir(parents=True, exist_ok=True)
    if _reachable(data_root.resolve().parent, account):
        return data_root.resolve()
    name = str(data_root.resolve()).strip("/").replace("/", "-")
    moved = _FOR_ROOT / name
    moved.mkdir(parents=True, exist_ok=True)
    _FOR_ROOT.chmod(0o755)
    report(f"keeping PostgreSQL's data in {moved}: the user 'nobody' cannot reach {data_root}")
    return moved
