"""What is looked at every few seconds, and what each may gain."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx
import psutil
import sqlalchemy as sa

from streams.keys import Keys
from tests.soak.servers import Servers
from tests.soak.slopes import Tolerance

KILOBYTE, MEGABYTE = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Watched:
    """The unit of a series, how many of what is sampled make one of it, and what it may gain."""

    unit: str
    tolerance: Tolerance
    divisor: float = 1.0


def _memory(noise: float) -> Watched:
    # 50,000 objects are made before the youngest generation is looked at: 8 MB, and five minutes at this load.
    return Watched("MB", Tolerance(noise, 0.02, period=300), MEGABYTE)


WATCHED: Mapping[str, Watched] = {
    "memory of worker 1": _memory(8.0),
    "memory of worker 2": _memory(8.0),
    "memory of their parent": _memory(1.0),
    "open files that are no streams": Watched("", Tolerance(6)),
    "threads": Watched("", Tolerance(2)),
    "tasks of the event loops": Watched("", Tolerance(6)),
    "open streams": Watched("", Tolerance(6)),
    "keys in Redis that stay": Watched("", Tolerance(6)),
    "memory used in Redis": Watched("KB", Tolerance(128, 0.02), KILOBYTE),
    "memory of Valkey": _memory(1.0),
    "length of the stream": Watched("", Tolerance(100)),
    "connections to Redis": Watched("", Tolerance(4)),
    "connections to PostgreSQL": Watched("", Tolerance(6)),
    "database without log and marks": Watched("KB", Tolerance(1024, 0.02), KILOBYTE),
}

FOREVER, SHORT_LIVED = -1, 300
"""What TTL says of a key without an expiry, and seconds."""
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
SIZE = """
SELECT pg_database_size(current_database())
     - pg_total_relation_size('activities') - pg_total_relation_size('user_activity_reads')
"""


async def sample(servers: Servers, http: httpx.AsyncClient) -> dict[str, float]:
    """Each of WATCHED, once, in its unit."""
    found = await _processes(servers, http) | await _redis(servers) | await _database(servers)
    return {name: found[name] / watched.divisor for name, watched in WATCHED.items()}


async def _processes(servers: Servers, http: httpx.AsyncClient) -> dict[str, float]:
    parent = psutil.Process(servers.server.pid)
    workers = sorted((child for child in parent.children() if _is_worker(child)), key=lambda child: child.pid)
    metrics = read_metrics((await http.get("/metrics")).text)
    everybody = [parent, *workers]
    files = sum(process.num_fds() for process in everybody)
    memory = {f"memory of worker {k}": float(worker.memory_info().rss) for k, worker in enumerate(workers, 1)}
    return memory | {
        "memory of their parent": parent.memory_info().rss,
        "open files that are no streams": files - metrics["sse_connections_active"],
        "threads": sum(process.num_threads() for process in everybody),
        "tasks of the event loops": metrics["asyncio_tasks"],
        "open streams": metrics["sse_connections_active"],
        "memory of Valkey": psutil.Process(servers.valkey).memory_info().rss,
    }


def _is_worker(process: psutil.Process) -> bool:
    return any("spawn_main" in word for word in process.cmdline())


def read_metrics(text: str) -> dict[str, float]:
    """Samples by name and labels, as Prometheus would read them."""
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


async def _redis(servers: Servers) -> dict[str, float]:
    info = await servers.redis.info()
    return {
        "keys in Redis that stay": await _lasting(servers),
        "memory used in Redis": info["used_memory"],
        "length of the stream": await servers.redis.xlen(Keys().stream),
        "connections to Redis": info["connected_clients"],
    }


async def _lasting(servers: Servers) -> int:
    """Keys without an expiry, or one later than SHORT_LIVED: counts of rates come and go with who has just asked."""
    keys = [key async for key in servers.redis.scan_iter(count=1_000)]
    async with servers.redis.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.ttl(key)
        left = await pipeline.execute()
    return sum(seconds == FOREVER or seconds > SHORT_LIVED for seconds in left)


async def _database(servers: Servers) -> dict[str, float]:
    async with servers.engine.connect() as connection:
        connections = (await connection.execute(sa.text(CONNECTIONS))).scalar_one()
        size = (await connection.execute(sa.text(SIZE))).scalar_one()
    return {"connections to PostgreSQL": connections, "database without log and marks": size}
