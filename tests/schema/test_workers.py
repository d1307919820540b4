"""The parent of several server processes."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from schema.workers import pause_after
from tests.support.waiting import wait_until


class Parent:
    """`tests.support.workers_process`, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def read(self) -> None:
        """Until it and all its workers have ended."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())

    @property
    def serving(self) -> bool:
        """Whether it has said so."""
        return any(line.startswith("serving on ") for line in self.lines)

    def logged(self, message: str) -> list[dict[str, object]]:
        """The records with this message."""
        records = [json.loads(line) for line in self.lines if line.startswith("{")]
        return [record for record in records if record["message"] == message]

    def workers(self) -> list[psutil.Process]:
        """In the order of their start."""
        children = psutil.Process(self.process.pid).children()
        found = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        return sorted(found, key=lambda child: child.create_time())

    def listening(self) -> int:
        """How many workers take connections."""
        ports = [one.status for worker in self.workers() for one in worker.net_connections("tcp")]
        return ports.count(psutil.CONN_LISTEN)

    async def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            return await self.process.wait()


Start = Callable[[str], Awaitable[Parent]]


@pytest.fixture
async def start(repository: Path, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts a parent whose worker 1 behaves as named; it is killed at the end."""
    async with AsyncExitStack() as stack:

        async def begin(behaviour: str) -> Parent:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.support.workers_process",
                behaviour,
                str(tmp_path),
                cwd=repository,
                stdin=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            parent = Parent(process)
            reading = asyncio.create_task(parent.read(), name="read")

            async def end() -> None:
                if process.returncode is None:
                    for worker in parent.workers():
                        worker.kill()
                    process.kill()
                await process.wait()
                await reading

            stack.push_async_callback(end)
            return parent

        yield begin


@pytest.mark.parametrize(("streak", "seconds"), [(1, 0), (2, 1), (3, 2), (6, 16), (7, 30), (90_000, 30)])
def test_pause_grows_to_its_longest(streak: int, seconds: float) -> None:
    """The first death costs no time, and no number of deaths makes the pause overflow."""
    assert pause_after(streak) == seconds


async def test_worker_that_keeps_dying_is_replaced_ever_more_slowly(start: Start) -> None:
    """No restart storm; the others serve on, and the end is orderly."""
    parent = await start("keeps dying")
    message = "worker ended, replacing it"
    await wait_until(lambda: len(parent.logged(message)) >= 3, description="three deaths", within=40)

    pauses = [record["in_seconds"] for record in parent.logged(message)]
    assert pauses[:3] == [0.0, 1.0, 2.0]
    assert {record["status"] for record in parent.logged(message)} == {7}
    assert parent.listening() == 1
    assert await parent.stop() == 0


async def test_frozen_worker_is_killed_and_replaced(start: Start) -> None:
    """A worker that answers nothing would keep its share of new connections waiting."""
    parent = await start("well")
    await wait_until(lambda: parent.serving and parent.listening() == 2, description="both serve")
    frozen = parent.workers()[1]
    frozen.suspend()
    await wait_until(lambda: not frozen.is_running(), description="it was killed")
    await wait_until(lambda: parent.listening() == 2, description="its replacement serves")

    assert len(parent.logged("worker does not answer")) == 1
    assert await parent.stop() == 0


async def test_replacement_that_cannot_start_leaves_the_others_alone(start: Start, tmp_path: Path) -> None:
    """A database that is away for a moment when a worker dies must not end the workers that serve."""
    parent = await start("well")
    await wait_until(lambda: parent.serving, description="both serve")
    (tmp_path / "cannot start").touch()
    parent.workers()[1].kill()
    await wait_until(lambda: len(parent.logged("worker ended, replacing it")) >= 2, description="a second failure")

    assert parent.listening() == 1
    (tmp_path / "cannot start").unlink()
    await wait_until(lambda: parent.listening() == 2, description="it comes back")
    assert await parent.stop() == 0


async def test_worker_that_cannot_start_at_first_ends_all(start: Start, tmp_path: Path) -> None:
    """The exit status is the worker's."""
    (tmp_path / "cannot start").touch()
    parent = await start("well")
    async with asyncio.timeout(20):
        assert await parent.process.wait() == 3

    assert not parent.serving
    assert len(parent.logged("worker failed to start, stopping")) == 1


async def test_burst_of_connections_is_spread_evenly(start: Start) -> None:
    """The kernel chooses a worker for each connection by itself: of 400, none gets less than a third."""
    parent = await start("well")
    await wait_until(lambda: parent.serving, description="both serve")
    [url] = [line.split()[-1] for line in parent.lines if line.startswith("serving on ")]
    port = int(url.rpartition(":")[2])
    made = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(400)))

    def taken() -> list[int]:
        sockets = [worker.net_connections("tcp") for worker in parent.workers()]
        return [sum(one.status == psutil.CONN_ESTABLISHED for one in of_worker) for of_worker in sockets]

    await wait_until(lambda: sum(taken()) == 400, description="all are accepted")
    assert min(taken()) > 400 / 3
    for _, writer in made:
        writer.close()
    assert await parent.stop() == 0
