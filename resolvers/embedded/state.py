"""The demo's state directory: one demo at a time, and where its second terminal finds the servers."""

import asyncio
import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from resolvers.embedded.binaries import find_postgres
from resolvers.embedded.postgres import database_url, start_postgres
from resolvers.embedded.processes import Child, StartFailed
from resolvers.embedded.valkey import start_valkey

SERVERS_FILE = "servers.json"
_LOCK_FILE = "lock"
DATABASE = "divisionbell"


class StateInUse(RuntimeError):
    """Another demo holds the state directory."""


class EmbeddedServers:
    """PostgreSQL and Valkey with data in `state_dir`, as a context manager. Only what is not given is started."""

    def __init__(
        self,
        *,
        state_dir: Path,
        report: Callable[[str], None],
        given_database_url: str | None = None,
        given_redis_url: str | None = None,
    ) -> None:
        self._state_dir = state_dir.absolute()
        self._report = report
        self._stack = ExitStack()
        self._redis: Child | None = None
        self.database_url = given_database_url or ""
        self.redis_url = given_redis_url or ""

    def __enter__(self) -> Self:
        """Start them. Raises StateInUse, ServerMissing, StartFailed."""
        with contextlib.ExitStack() as stack:
            self._state_dir.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(self._state_dir))
            if not self.database_url:
                self._report("starting PostgreSQL")
                postgres = stack.enter_context(start_postgres(self._state_dir, durable=True, report=self._report))
                _create_database(postgres.sockets)
                self.database_url = database_url(postgres.sockets, DATABASE)
            if not self.redis_url:
                self._report("starting Valkey")
                self._redis = start_valkey(self._state_dir, durable=True)
                stack.callback(self._end_redis)
                self.redis_url = self._redis.url
            stack.callback((self._state_dir / SERVERS_FILE).unlink, missing_ok=True)
            note(
                self._state_dir,
                {"pid": str(os.getpid()), "database_url": self.database_url, "redis_url": self.redis_url},
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def own_redis(self) -> bool:
        """Whether Redis is ours to stop."""
        return self._redis is not None

    async def stop_redis(self) -> None:
        """Stop it as an operator would, for `start_redis` to start it again. Only where it is our own."""
        if self._redis is not None:
            await asyncio.to_thread(self._redis.halt)

    async def start_redis(self) -> None:
        """Start it again at the same URL, if it does not run; the main thread waits 0.1 s. Raises StartFailed."""
        if self._redis is not None and not self._redis.alive:
            self._redis = start_valkey(self._state_dir, durable=True, sockets=self._redis.sockets)

    def _end_redis(self) -> None:
        if self._redis is not None:
            self._redis.stop()


@contextlib.contextmanager
def _locked(state_dir: Path) -> Iterator[None]:
    # The lock goes with the process, however it ends; the file's content is for people.
    with (state_dir / _LOCK_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise StateInUse(
                f"a demo already runs on {state_dir} (process {lock.read().strip() or 'unknown'}):"
                " stop it, or set STATE_DIR to another directory"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _create_database(sockets: Path) -> None:
    binaries, _ = find_postgres()
    ran = subprocess.run(  # noqa: S603 - our own binaries
        [binaries / "createdb", "-h", sockets, "-U", "postgres", DATABASE],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if ran.returncode and "already exists" not in ran.stderr:
        raise StartFailed(f"cannot create the database {DATABASE}: {ran.stderr}")


def note(state_dir: Path, more: Mapping[str, str]) -> None:
    """Add to what a second terminal finds, all or nothing. The file holds secrets: it is ours alone."""
    path = state_dir.absolute() / SERVERS_FILE
    known = json.loads(path.read_text()) if path.exists() else {}
    fresh = path.with_name(f"{SERVERS_FILE}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({**known, **more}, file, indent=2)
    fresh.rename(path)


def running_servers(state_dir: Path) -> dict[str, str] | None:
    """What the demo on `state_dir` has noted; None when none runs, whatever file a killed one left."""
    path = state_dir.absolute() / SERVERS_FILE
    try:
        with (state_dir / _LOCK_FILE).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None  # nobody holds it
    except BlockingIOError:
        pass
    except OSError:
        return None
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return None
