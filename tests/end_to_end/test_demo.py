"""The main job as a newcomer runs it: the demo on servers of its own, and commands in a second terminal."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.resolvers.importing.test_hansard import said, sitting, stamp, subject
from tests.support.directories import reachable_directory
from tests.support.server import REPOSITORY, Client, ServerProcess


@pytest.fixture
def state() -> Iterator[Path]:
    """Where the demo keeps its data."""
    with reachable_directory() as directory:
        yield directory / "state"


def demo(state: Path, **environment: str) -> ServerProcess:
    """A demo with embedded servers that invents nothing after its fill."""
    return ServerProcess("demo", environment={"STATE_DIR": str(state), "DEMO_ACTIVITY": "off", **environment})


async def tailed(state: Path, *arguments: str) -> str:
    """What `tail` prints of an import's activities, until Ctrl-C; it then ends in order."""
    process = await start(state, "tail", "--type", "SPEECH", *arguments)
    assert process.stdout is not None
    printed = ""
    while printed.count(" Bees ") < 30:
        line = await asyncio.wait_for(process.stdout.readline(), timeout=20)
        assert line, "it ended"
        printed += line.decode()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return printed


async def run(state: Path, *arguments: str) -> tuple[int, str, str]:
    """A command in a second terminal: exit code, standard output, standard error."""
    process = await start(state, *arguments)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


def _heed_ctrl_c() -> None:
    """What a shell starts in the background ignores SIGINT, and hands that down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def start(state: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Begin a command in a second terminal."""
    kept = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "REDIS_URL", "AUTH_SECRET"}}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cli",
        *arguments,
        cwd=REPOSITORY,
        env={**kept, "STATE_DIR": str(state)},
        stdin=asyncio.subprocess.DEVNULL,
        preexec_fn=_heed_ctrl_c,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_demo_fills_serves_ends_and_starts_again(state: Path) -> None:
    """2,000 activities by 340 MPs; SIGTERM and SIGINT end it with status 0 and no orphan; the data is there again."""
    for ending in (signal.SIGTERM, signal.SIGINT):
        async with demo(state) as running:
            children = psutil.Process(running.pid).children(recursive=True)
            async with Client(running.url) as client:
                feed = (await client.ask("{ feed(first: 1) { unreadCount nodes { title } } }"))["feed"]
                assert feed["unreadCount"] == 2_000
            running.signal(ending)
            assert await running.wait(within=10) == 0
        assert len(children) > 2
        assert not psutil.wait_procs(children, timeout=5)[1]


async def test_demo_goes_on_by_itself(state: Path) -> None:
    """Without being asked, something happens every few seconds."""
    async with (
        demo(state, DEMO_ACTIVITY="on") as running,
        Client(running.url) as client,
        client.subscribe() as stream,
    ):
        assert len(await stream.titles(2)) == 2
        running.signal(signal.SIGTERM)
        assert await running.wait(within=10) == 0


async def test_demo_of_two_workers_goes_on_and_ends_in_order(state: Path) -> None:
    """One of them leads, and Ctrl-C ends the workers as well as the databases."""
    async with (
        demo(state, DEMO_ACTIVITY="on", WORKERS="2") as running,
        Client(running.url) as client,
        client.subscribe() as stream,
    ):
        children = psutil.Process(running.pid).children(recursive=True)
        assert len(await stream.titles(2)) == 2
        assert running.output.count("leading: sequencer") == 1
        running.signal(signal.SIGINT)
        assert await running.wait(within=10) == 0
        assert not psutil.wait_procs(children, timeout=5)[1]


async def test_second_terminal_imports_a_sitting_into_open_streams(state: Path, tmp_path: Path) -> None:
    """`token`, `import hansard` and `doctor` find the demo by its state directory; a second import adds nothing."""
    file = tmp_path / "sitting.xml"
    file.write_bytes(sitting(subject("Bees", stamp(10, 0), *(said(str(k), f"Words {k}.") for k in range(30)))))
    async with demo(state) as running, Client(running.url) as client, client.subscribe() as stream:
        await stream.hello()
        code, _, told = await run(state, "import", "hansard", str(file))
        assert (code, "30 activities inserted" in told) == (0, True), told
        assert await stream.titles(30) == ["Bees"] * 30

        _, _, again = await run(state, "import", "hansard", str(file), "--replay", "1000")
        assert "0 published" in again
        code, printed, _ = await run(state, "token", "--user", "alice", "--scope", "read")
        assert (code, printed.count(".")) == (0, 2)
        code, _, told = await run(state, "doctor")
        assert (code, "stream: " in told, "wrong" in told) == (0, True, False), told
        assert (await tailed(state, "-n", "30")).count(" Bees ") == 30
        running.signal(signal.SIGTERM)
        assert await running.wait(within=10) == 0


async def test_refused_import_leaves_nothing_and_says_why(state: Path, tmp_path: Path) -> None:
    """A truncated file is told with its place; the log is as it was."""
    file = tmp_path / "sitting.xml"
    file.write_bytes(sitting(subject("Bees", said("1")))[:-40])
    async with demo(state) as running, Client(running.url) as client:
        code, _, told = await run(state, "import", "hansard", str(file))

        assert code == 1
        assert "breaks off" in told
        assert (await client.ask("{ feed(first: 1) { unreadCount } }"))["feed"]["unreadCount"] == 2_000


async def test_row_inserted_by_any_client_is_shown(state: Path) -> None:
    """asyncpg, psql, an ETL job: the demo's DATABASE_URL is all they need."""
    async with demo(state) as running, Client(running.url) as client, client.subscribe() as stream:
        await stream.hello()
        noted = (state / "servers.json").read_text()
        url = noted.split('"database_url": "')[1].split('"')[0]
        connection = await asyncpg.connect(url)
        await connection.execute("INSERT INTO activities (type, title) VALUES ('STATEMENT', 'Hello from psql')")
        await connection.close()

        assert await stream.titles(1) == ["Hello from psql"]


async def test_port_that_is_taken_is_told_with_the_variable_to_set(
    database_url: str, redis_url: str, state: Path
) -> None:
    """The second server on a port ends with status 1 and a sentence."""
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "STATE_DIR": str(state)}
    async with ServerProcess("serve", environment=environment) as first:
        port = first.url.rpartition(":")[2]
        second = ServerProcess("serve", environment=environment | {"PORT": port})
        with pytest.raises(AssertionError, match=f"cannot listen on 127.0.0.1:{port}.*set PORT"):
            await second.start()
        assert await second.wait() == 1


async def test_command_without_a_demo_says_what_to_set(state: Path) -> None:
    """The error names the variables, and the demo."""
    code, _, told = await run(state, "import", "hansard", "-")

    assert code == 1
    assert "DATABASE_URL" in told
    assert "make demo" in told


async def test_server_without_settings_or_schema_does_not_start(state: Path, database_url: str, redis_url: str) -> None:
    """Each thing that is missing is told in a sentence, with status 1."""
    code, _, told = await run(state, "serve")
    assert code == 1
    assert "DATABASE_URL and REDIS_URL and AUTH_SECRET" in told

    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '0001'")
    await connection.close()
    server = ServerProcess("serve", environment={"DATABASE_URL": database_url, "REDIS_URL": redis_url})
    with pytest.raises(AssertionError, match="python -m cli migrate"):
        await server.start()
    assert await server.wait() == 1
