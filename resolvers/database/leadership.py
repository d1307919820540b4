"""One leader for each role, by an advisory lock on a connection that PostgreSQL itself ends when it falls silent."""

import asyncio
import contextlib
import logging
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg

from resolvers.database.engine import driver_url
from telemetry.tasks import end

log = logging.getLogger("divisionbell.resolvers")

PING_EVERY = timedelta(seconds=1)
SILENT_AT_MOST = timedelta(seconds=3)
"""A leader whose process is frozen, or whose network is cut, loses the lock after three missed pings."""


class Lease:
    """Leadership while it lasts; see `streams.sequencer.Lease`."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.work = asyncio.Event()


class Leadership:
    """Waits for, holds and watches the lock of one role.

    The lock saves the others work; it is no fence. A leader that was frozen can run on for a moment beside its
    successor, so whatever it does must be safe to do twice.
    """

    def __init__(self, *, url: str, role: str, notify_on: str | None = None) -> None:
        """`notify_on`: a NOTIFY channel that sets `Lease.work`. Raises ValueError for a URL that is none."""
        self._url = driver_url(url)
        self._role = role
        self._key = zlib.crc32(f"divisionbell:{role}".encode())
        self._channel = notify_on

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[Lease]:
        """Wait until the role is free, lead until the block ends. Raises asyncpg's errors or OSError."""
        connection = await asyncpg.connect(
            self._url,
            timeout=5,
            command_timeout=SILENT_AT_MOST.total_seconds(),
            server_settings={
                "application_name": f"divisionbell-{self._role}",
                "idle_session_timeout": str(int(SILENT_AT_MOST.total_seconds() * 1000)),
                "tcp_keepalives_idle": "1",
                "tcp_keepalives_interval": "1",
                "tcp_keepalives_count": "3",
            },
        )
        try:
            lease = Lease()
            connection.add_termination_listener(lambda _: lease.lost.set())
            if self._channel:
                await connection.add_listener(self._channel, lambda *_: lease.work.set())
            while not await connection.fetchval(  # noqa: ASYNC110 - the event is in PostgreSQL
                "SELECT pg_try_advisory_lock($1)", self._key
            ):
                await asyncio.sleep(PING_EVERY.total_seconds())
            ping = asyncio.create_task(self._ping(connection, lease), name=f"leader-ping-{self._role}")
            try:
                yield lease
            finally:
                await end([ping])
        finally:
            # Ends the session and with it the lock. A server that does not answer is not waited for.
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)

    async def _ping(self, connection: asyncpg.Connection, lease: Lease) -> None:
        try:
            while True:
                await asyncio.sleep(PING_EVERY.total_seconds())
                # One message of the simple protocol. A process frozen between the messages of a prepared statement
                # leaves its session "active", which no idle time-out ends: the lock would be kept for ever.
                await connection.execute("SELECT 1")
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, nobody knows whether the lock is held
            log.warning("lost the lease", extra={"role": self._role, "error": repr(error)})
            lease.lost.set()
