"""How much CPU each server has used."""

from dataclasses import dataclass
from typing import Self

import asyncpg
import psutil
from redis.asyncio import Redis

from tests.benchmarks.peers.divisionbell import DivisionBell


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of CPU: of the server, Redis and PostgreSQL."""

    server: float
    redis: float
    postgres: float

    def __sub__(self, other: Self) -> "Spent":
        return Spent(self.server - other.server, self.redis - other.redis, self.postgres - other.postgres)

    def less(self, a_second: "Spent", seconds: float) -> "Spent":
        """Without what would have been used in so many seconds anyway."""
        return self - Spent(a_second.server * seconds, a_second.redis * seconds, a_second.postgres * seconds)

    def each(self, count: float) -> "Spent":
        """Microseconds for one of `count`."""
        return Spent(*(spent / count * 1e6 for spent in (self.server, self.redis, self.postgres)))


class Meter:
    """Reads what was spent; `connection` is one of PostgreSQL's, whose parent is the server's first process."""

    def __init__(self, server: DivisionBell, redis: "Redis", connection: asyncpg.Connection) -> None:
        self._server = server
        self._redis = redis
        backend = psutil.Process(connection.get_server_pid()).parent()
        assert backend is not None
        self._postgres = backend

    async def read(self) -> Spent:
        """Up to now."""
        info = await self._redis.info("cpu")
        redis = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
        return Spent(self._server.cpu(), redis, self._postgres_cpu())

    def _postgres_cpu(self) -> float:
        # Those of ended backends are in the first process' times for children.
        total = sum(self._postgres.cpu_times()[:4])
        for child in self._postgres.children():
            try:
                total += sum(child.cpu_times()[:2])
            except psutil.NoSuchProcess:
                continue
        return total
