"""Remembers, past the death of the process, which entry it was rendering."""

import fcntl
import logging
import mmap
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path

from streams.connection import Client, translated
from streams.cursor import Cursor
from streams.dead_letters import DeadLetters
from streams.keys import Keys

log = logging.getLogger("divisionbell.streams")

_FORM = struct.Struct("<q")
MOST_DEATHS = 3


class RenderMarker:
    """Eight bytes in a file that is mapped into memory: set in 0.1 µs, and the kernel keeps them whatever kills us.

    The file is locked before it gets its name, and as long as its process lives, so that others know whose it is. No
    other process has that name: in a container, the next life of a server often has the same process ID. Where no file
    can be made, nothing is marked.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._map: mmap.mmap | None = None
        self._path: Path | None = None
        self._file = -1

    def open(self) -> None:
        """Make the file."""
        name = f"{os.getpid()}-{secrets.token_hex(3)}"
        path, unlocked = self._directory / f"rendering-{name}", self._directory / f"marker-{name}"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._file = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            os.truncate(self._file, _FORM.size)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._map = mmap.mmap(self._file, _FORM.size)
            self._path = unlocked.rename(path)
        except OSError as error:
            log.info("no marker for what is being rendered", extra={"error": str(error)})

    def close(self) -> None:
        """Remove the file: this process ends in order."""
        if self._map is not None and self._path is not None:
            self._path.unlink(missing_ok=True)
            self._map.close()
            os.close(self._file)
            self._map = None

    def rendering(self, cursor: Cursor) -> None:
        """The process is about to render this entry."""
        if self._map is not None:
            _FORM.pack_into(self._map, 0, cursor)

    def rendered(self) -> None:
        """It survived."""
        if self._map is not None:
            _FORM.pack_into(self._map, 0, 0)

    def left_behind(self) -> Iterator[Cursor]:
        """What dead processes were rendering; their files are removed, so each is told to one caller in one process."""
        for path in self._directory.glob("rendering-*"):
            try:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    data = file.read(_FORM.size) if os.fstat(file.fileno()).st_nlink else b""
                    path.unlink(missing_ok=True)
            except OSError:
                continue  # its process lives
            if len(data) == _FORM.size and (cursor := _FORM.unpack(data)[0]):
                yield Cursor(cursor)


async def condemn_what_kills(marker: RenderMarker, *, redis: Client, dead_letters: DeadLetters, shard: int = 0) -> None:
    """Count what dead processes were rendering; what three died of is given up. Raises StreamsUnavailable."""
    for cursor in marker.left_behind():
        async with translated("counting deaths"):
            deaths = await redis.hincrby(Keys(shard).lethal, str(cursor), 1)
        log.error("a process died while it rendered an entry", extra={"cursor": str(cursor), "deaths": deaths})
        if deaths >= MOST_DEATHS:
            await dead_letters.condemn(cursor, None, f"{deaths} processes died rendering it", attempts=deaths)
