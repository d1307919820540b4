"""PostgreSQL and Valkey from wheels: started, stopped, killed, orphaned, started again."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
import redis

from resolvers.embedded import (
    EmbeddedServers,
    ServerMissing,
    StartFailed,
    StateInUse,
    note,
    running_servers,
    start_postgres,
    start_valkey,
)
from resolvers.embedded import binaries as embedded_binaries
from tests.support.directories import reachable_directory
from tests.support.server import REPOSITORY


@pytest.fixture
def state() -> Iterator[Path]:
    """A directory that the user nobody can reach, removed afterwards."""
    with reachable_directory() as made:
        yield made


def ask_postgres(url: str, statement: str) -> Any:
    """The first value that a statement returns."""

    async def ask() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


@contextmanager
def parent(state: Path) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    """Another process that runs the pair, and the URLs it says."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.embedded_parent", str(state)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()
        finally:
            process.kill()


def servers_of(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    """The servers that a process has started."""
    return [child for child in psutil.Process(process.pid).children() if child.name() in {"postgres", "valkey-server"}]


def test_pair_answers_and_keeps_its_data(state: Path) -> None:
    """What was written is there after a stop and a start."""
    for expected in (0, 1):
        with EmbeddedServers(state_dir=state, report=lambda _: None) as servers:
            ask_postgres(servers.database_url, "CREATE TABLE IF NOT EXISTS kept (n int)")
            assert ask_postgres(servers.database_url, "SELECT count(*) FROM kept") == expected
            ask_postgres(servers.database_url, "INSERT INTO kept VALUES (1)")
            with redis.Redis.from_url(servers.redis_url) as client:
                assert client.incr("kept") == expected + 1
    assert running_servers(state) is None


def test_data_directories_are_named_by_engine_and_major(state: Path) -> None:
    """Another version never starts on data it would misread."""
    with EmbeddedServers(state_dir=state, report=lambda _: None) as servers:
        version = ask_postgres(servers.database_url, "SHOW server_version")
    names = {path.name for path in state.iterdir() if path.is_dir()}

    assert f"pg{version.split('.')[0]}" in names
    assert {name.rstrip("0123456789") for name in names} <= {"pg", "valkey", "redis"}


def test_killed_servers_start_again_at_once(state: Path) -> None:
    """After SIGKILL of both, the next start recovers, without waiting for anybody."""
    with start_postgres(state, durable=True) as postgres, start_valkey(state, durable=True) as valkey:
        ask_postgres(postgres.url, "CREATE TABLE kept (n int)")
        with redis.Redis.from_url(valkey.url) as client:
            client.set("kept", "1")
            client.execute_command("WAITAOF", 1, 0, 5_000)
        postgres.kill()
        valkey.kill()

        with start_postgres(state, durable=True) as again, start_valkey(state, durable=True) as valkey_again:
            assert ask_postgres(again.url, "SELECT count(*) FROM kept") == 0
            with redis.Redis.from_url(valkey_again.url) as client:
                assert client.get("kept") == b"1"


def test_servers_of_a_killed_parent_end_and_the_next_start_is_not_held_up(state: Path) -> None:
    """No orphan outlives kill -9 of its parent, and a start right after it works."""
    with parent(state) as (process, urls):
        assert len(urls) == 2
        children = servers_of(process)
        assert len(children) == 2
        process.kill()
        process.wait()
        assert running_servers(state) is None

        with EmbeddedServers(state_dir=state, report=lambda _: None) as servers:
            assert ask_postgres(servers.database_url, "SELECT 1") == 1
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive


def test_interrupt_of_the_terminal_does_not_reach_the_servers(state: Path) -> None:
    """Ctrl-C goes to the whole foreground group: the servers are not in it, we stop them when we are done."""
    with parent(state) as (process, _):
        children = servers_of(process)
        os.killpg(process.pid, signal.SIGINT)
        assert {os.getpgid(child.pid) for child in children}.isdisjoint({process.pid})
        process.communicate("\n")

        assert process.returncode == 0
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive


def test_state_directory_has_one_holder(state: Path) -> None:
    """The second is told who holds it, and what to do."""
    with (
        EmbeddedServers(state_dir=state, report=lambda _: None),
        pytest.raises(StateInUse, match=f"process {os.getpid()}.*STATE_DIR"),
    ):
        EmbeddedServers(state_dir=state, report=lambda _: None).__enter__()


def test_second_terminal_finds_the_running_servers(state: Path) -> None:
    """While it runs, the file tells its URLs and what was noted, to its owner alone; afterwards there is none."""
    with EmbeddedServers(state_dir=state, report=lambda _: None) as servers:
        note(state, {"server_url": "http://x"})
        # A lock does not conflict with its own process's, so another one looks.
        looked = subprocess.run(
            [sys.executable, "-c", LOOK, str(state)], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
        found = json.loads(looked.stdout)
        assert servers.database_url == found["database_url"]
        assert servers.redis_url == found["redis_url"]
        assert found["server_url"] == "http://x"
        assert (state / "servers.json").stat().st_mode & 0o777 == 0o600
    assert not (state / "servers.json").exists()


LOOK = (
    "import json, sys; from pathlib import Path; from resolvers.embedded import running_servers;"
    "print(json.dumps(running_servers(Path(sys.argv[1]))))"
)


def test_given_servers_are_not_started(state: Path) -> None:
    """DATABASE_URL and REDIS_URL replace the pair."""
    with EmbeddedServers(
        state_dir=state, report=lambda _: None, given_database_url="postgresql://x", given_redis_url="redis://x"
    ) as servers:
        assert (servers.database_url, servers.redis_url) == ("postgresql://x", "redis://x")
        assert not [path for path in state.iterdir() if path.is_dir()]


def test_interrupted_initdb_leaves_nothing_to_trip_over(state: Path) -> None:
    """Half a database beside its place is thrown away."""
    (state / "pg18.new").mkdir()
    (state / "pg18.new" / "PG_VERSION").write_text("18")

    with start_postgres(state, durable=False) as postgres:
        assert ask_postgres(postgres.url, "SELECT 1") == 1


def test_server_that_does_not_start_says_why(state: Path) -> None:
    """The end of its own log is in the error."""
    with pytest.raises(StartFailed, match="no_such_setting"):
        start_postgres(state, durable=False, settings={"no_such_setting": "1"})
    with pytest.raises(StartFailed, match=r"(?i)bad directive|fatal"):
        start_valkey(state, durable=False, settings={"no-such-setting": "1"})


def test_missing_binaries_are_told_with_every_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL, a directory, the wheels, the system's packages."""
    monkeypatch.setattr(embedded_binaries, "_package", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(embedded_binaries, "OLDEST_POSTGRES", 99)
    monkeypatch.delenv("POSTGRES_BIN_DIR", raising=False)
    monkeypatch.delenv("VALKEY_BIN_DIR", raising=False)

    for find, names in (
        (embedded_binaries.find_postgres, ("DATABASE_URL", "POSTGRES_BIN_DIR")),
        (embedded_binaries.find_redis, ("REDIS_URL", "VALKEY_BIN_DIR")),
    ):
        with pytest.raises(ServerMissing) as raised:
            find()
        for remedy in (*names, "requirements.lock", "package manager"):
            assert remedy in str(raised.value)


def test_start_from_another_thread_is_refused(state: Path) -> None:
    """A server would end with the thread that forked it: the caller is told instead."""
    errors: list[Exception] = []

    def start() -> None:
        try:
            start_valkey(state, durable=False)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert "main thread" in str(errors[0])


def test_frozen_server_is_stopped_all_the_same(state: Path) -> None:
    """Who does not react to the gentle signal in time is killed."""
    valkey = start_valkey(state, durable=False)
    valkey.signal(signal.SIGSTOP)
    started = time.monotonic()

    assert valkey.stop(within=timedelta(milliseconds=200)) == -signal.SIGKILL
    assert time.monotonic() - started < 5


def test_stopped_servers_leave_no_sockets(state: Path) -> None:
    """Neither does one that was killed, once the next has started."""
    with start_valkey(state, durable=False) as first:
        first.kill()
        left = first.sockets
        assert left.exists()
        with start_valkey(state, durable=False) as second:
            assert not left.exists()
            assert second.sockets.stat().st_mode & 0o777 == 0o700
    assert not second.sockets.exists()
