"""An entry that kills who renders it."""

import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from streams.cursor import Cursor
from streams.marker import MOST_DEATHS, RenderMarker, condemn_what_kills
from tests.support.floor import ProcessFloor

DIES = """
import os, signal, sys
from pathlib import Path
from streams.cursor import Cursor
from streams.marker import RenderMarker
marker = RenderMarker(Path(sys.argv[1]))
marker.open()
marker.rendering(Cursor.parse("5-5"))
marker.rendered()
marker.rendering(Cursor.parse(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def die_rendering(cursor: Cursor, directory: Path, repository: Path) -> None:
    """A process that is killed while it renders an entry."""
    subprocess.run([sys.executable, "-c", DIES, str(directory), str(cursor)], cwd=repository, check=False)


async def test_entry_that_killed_three_processes_is_given_up_for_everybody(
    database: AsyncEngine, redis: Redis, tmp_path: Path, repository: Path
) -> None:
    """What was being rendered survives a SIGKILL; two deaths may be bad luck, three are not."""
    floor = ProcessFloor(database, redis)
    [cursor] = await floor.publish(1)
    for deaths in range(1, MOST_DEATHS + 1):
        die_rendering(cursor, tmp_path, repository)
        marker = RenderMarker(tmp_path)
        marker.open()
        await condemn_what_kills(marker, redis=redis, dead_letters=floor.dead_letters)
        assert not list(marker.left_behind())
        marker.close()
        assert (cursor in floor.dead_letters.poison) is (deaths == MOST_DEATHS)

    [stored] = await floor.letters.page(first=10, before=None)
    assert (stored.letter.subscriber, stored.letter.attempts) == ("*", MOST_DEATHS)


@pytest.mark.parametrize("ends_in_order", [True, False])
def test_process_that_lives_or_ended_in_order_leaves_nothing_behind(tmp_path: Path, ends_in_order: bool) -> None:
    """Its file is locked while it lives, and removed when it ends."""
    marker = RenderMarker(tmp_path)
    marker.open()
    marker.rendering(Cursor.parse("7-0"))
    if ends_in_order:
        marker.close()

    assert not list(RenderMarker(tmp_path).left_behind())
    marker.close()


def test_marker_of_a_dead_process_outlives_the_next_process_of_its_number(tmp_path: Path, repository: Path) -> None:
    """In a container every life of a server may have the same process ID; opening a marker wipes no other."""
    die_rendering(Cursor.parse("9-9"), tmp_path, repository)
    [left] = tmp_path.glob("rendering-*")
    left.rename(tmp_path / f"rendering-{os.getpid()}")
    marker = RenderMarker(tmp_path)
    marker.open()

    assert [Cursor.parse("9-9")] == list(marker.left_behind())
    marker.close()


def test_marker_of_a_dead_process_is_told_once_to_workers_that_start_together(tmp_path: Path) -> None:
    """However many look at the same moment, one death is counted as one."""
    rounds, workers = 200, 4
    together = threading.Barrier(workers)
    told: list[Cursor] = []

    def look() -> None:
        for at in range(1, rounds + 1):
            if together.wait() == 0:
                (tmp_path / "rendering-1").write_bytes(struct.pack("<q", at))
            together.wait()
            told.extend(RenderMarker(tmp_path).left_behind())

    threads = [threading.Thread(target=look) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(1, rounds + 1)) == sorted(told)


def test_without_a_directory_nothing_is_marked(tmp_path: Path) -> None:
    """A read-only file system costs the marker, not the server."""
    (tmp_path / "file").touch()
    marker = RenderMarker(tmp_path / "file")
    marker.open()

    marker.rendering(Cursor.parse("7-0"))
    marker.rendered()
    marker.close()
