"""From what one of each costs to what so many subscribers need. Arithmetic only; every number has a row or a name."""

import math
from dataclasses import dataclass, field
from typing import Self

from tests.benchmarks.capacity.recorded import Figure, Recorded

BUSY = 0.6
"""Of a core at most: beyond, queues grow faster than work."""
MOST_STREAMS = 15_000
"""MAX_STREAMS: what a process holds."""
LIFE = 3_240
"""Seconds of a stream: MAX_STREAM_AGE less a tenth on average."""
LONGEST_POLL = 60 * 1.2
"""Seconds between two polls of a client when everybody polls: the longest interval, and its jitter on average."""
HEADERS = 66
"""Bytes of IP, TCP and Ethernet that a small packet has besides."""
PROCESS_MEMORY = 100e6
"""docs/deploy.md: a worker before its first stream."""
POOL = 10
CONNECTIONS = 2 * POOL + 2


@dataclass(frozen=True, slots=True)
class Costs:
    """What one of each costs, each with its row. Microseconds of CPU, or bytes."""

    delivery: Figure
    unwanted: Figure
    activity: Figure
    idle: Figure
    open: Figure
    reopened: Figure
    page: Figure
    poll: Figure
    mark: Figure
    saved: Figure
    process: Figure
    redis_delivery: Figure
    redis_open: Figure
    redis_page: Figure
    redis_mark: Figure
    redis_process: Figure
    redis_activity: Figure
    postgres_activity: Figure
    postgres_mark: Figure
    postgres_saved: Figure
    postgres_process: Figure
    stream_memory: Figure
    position_memory: Figure
    marks_memory: Figure
    entry_memory: Figure
    activity_row: Figure
    mark_row: Figure
    position_row: Figure
    frame: Figure
    breath: Figure

    @classmethod
    def of(cls, recorded: Recorded) -> Self:
        """Read from docs/. Raises RowMissing."""
        cost = recorded.cost
        kilobytes = recorded.figure("memory per idle subscription, 10,000", r"([\d.]+) KB")
        return cls(
            delivery=cost("server CPU per delivery"),
            unwanted=cost("server CPU per activity that none"),
            activity=cost("server CPU per activity, no streams"),
            idle=cost("server CPU per idle stream"),
            open=cost("server CPU per open"),
            reopened=cost("server CPU per open with"),
            page=cost("server CPU per page"),
            poll=cost("server CPU per poll"),
            mark=cost("server CPU per mark"),
            saved=cost("server CPU per position saved"),
            process=cost("server CPU of a process"),
            redis_delivery=cost("Redis CPU per delivery"),
            redis_open=cost("Redis CPU per open"),
            redis_page=cost("Redis CPU per page"),
            redis_mark=cost("Redis CPU per mark"),
            redis_process=cost("Redis CPU of a process"),
            redis_activity=cost("Redis CPU per activity"),
            postgres_activity=cost("PostgreSQL CPU per activity"),
            postgres_mark=cost("PostgreSQL CPU per mark"),
            postgres_saved=cost("PostgreSQL CPU per position saved"),
            postgres_process=cost("PostgreSQL CPU of a process"),
            stream_memory=Figure(kilobytes.value * 1024, kilobytes.row),
            position_memory=recorded.figure("Redis memory per known subscriber", r"([\d,]+) B"),
            marks_memory=recorded.memory_of_marks,
            entry_memory=cost("Redis bytes per entry"),
            activity_row=cost("PostgreSQL bytes per activity"),
            mark_row=cost("PostgreSQL bytes per mark"),
            position_row=cost("PostgreSQL bytes per position"),
            frame=cost("bytes per delivery"),
            breath=cost("bytes per idle stream"),
        )


@dataclass(frozen=True, slots=True)
class Demand:
    """What subscribers do, a second or an hour. `share`: of them whose filters let an activity through, on average."""

    subscribers: int
    share: float
    activities: float = 1.0
    pages_an_hour: float = 1.0
    marks_an_hour: float = 5.0

    @property
    def deliveries(self) -> float:
        """A second."""
        return self.subscribers * self.share * self.activities

    @property
    def moved(self) -> float:
        """Positions that a minute has moved, a second: each once, however many activities it was."""
        return self.subscribers * min(1.0, 60 * self.share * self.activities) / 60


@dataclass(frozen=True, slots=True)
class Need:
    """Cores are what is used, not what to buy; bytes; bits a second on the wire. `back_after`: seconds until all have
    opened a stream again, by the servers' cores or Redis', whichever takes longer.
    """

    processes: int
    server_cores: float
    server_memory: float
    redis_cores: float
    redis_servers: int
    redis_memory: float
    postgres_cores: float
    postgres_connections: int
    postgres_a_day: float
    network: float
    polling_cores: float
    back_after: float
    parts: dict[str, float] = field(default_factory=dict)


def need(demand: Demand, costs: Costs) -> Need:
    """What the demand needs. The number of processes follows from their use, which has a part for each of them."""
    n, micro = demand.subscribers, 1e-6
    asked = n * demand.pages_an_hour / 3_600, n * demand.marks_an_hour / 3_600
    per_stream = (costs.unwanted.value - costs.activity.value) / _streams_of(costs.unwanted.row)
    parts = {
        "deliveries and their receipts": demand.deliveries * costs.delivery.value,
        "looking whom an activity concerns": n * demand.activities * max(0.0, per_stream),
        "heartbeats and bookmarks": n * costs.idle.value,
        "streams opened anew each hour": n / LIFE * costs.open.value,
        "pages of the feed": asked[0] * costs.page.value,
        "marks": asked[1] * costs.mark.value,
        "positions saved": demand.moved * costs.saved.value,
    }
    of_streams = sum(parts.values()) * micro
    a_process = (costs.process.value + demand.activities * costs.activity.value) * micro
    processes = max(math.ceil(of_streams / (BUSY - a_process)), math.ceil(n / MOST_STREAMS))
    parts["each process by itself"] = processes * a_process / micro
    redis = (
        demand.deliveries * costs.redis_delivery.value
        + n / LIFE * costs.redis_open.value
        + asked[0] * costs.redis_page.value
        + asked[1] * costs.redis_mark.value
        + processes * (costs.redis_process.value + demand.activities * costs.redis_activity.value)
    )
    postgres = (
        demand.activities * costs.postgres_activity.value
        + asked[1] * costs.postgres_mark.value
        + demand.moved * costs.postgres_saved.value
        + processes * costs.postgres_process.value
    )
    redis_servers = math.ceil(redis * micro / BUSY)
    return Need(
        processes=processes,
        server_cores=of_streams + processes * a_process,
        server_memory=n * costs.stream_memory.value + processes * PROCESS_MEMORY,
        redis_cores=redis * micro,
        redis_servers=redis_servers,
        redis_memory=n * (costs.position_memory.value + costs.marks_memory.value) + 1e6 * costs.entry_memory.value,
        postgres_cores=postgres * micro,
        postgres_connections=processes * CONNECTIONS,
        postgres_a_day=86_400 * (demand.activities * costs.activity_row.value + asked[1] * costs.mark_row.value),
        network=8 * (demand.deliveries * (costs.frame.value + HEADERS) + n * (costs.breath.value + HEADERS / 6)),
        polling_cores=n / LONGEST_POLL * costs.poll.value * micro,
        back_after=n * micro * max(costs.reopened.value / processes, costs.redis_open.value / redis_servers),
        parts={name: spent * micro for name, spent in parts.items()},
    )


def _streams_of(row: str) -> int:
    """How many streams the row about unwanted activities was measured with."""
    return int(row.split("none of ")[1].split(maxsplit=1)[0].replace(",", ""))


@dataclass(frozen=True, slots=True)
class Limit:
    """Something that is full at some number of subscribers, and what takes over then."""

    part: str
    holds: str
    of: str
    most: float
    then: str


LIMITS = (
    Limit(
        "one Redis, its core", f"{BUSY:.0%} of a core", "redis_cores", BUSY, "shards: Redis Cluster, `STREAM_SHARDS`"
    ),
    Limit("one Redis, its memory", "64 GB", "redis_memory", 64e9, "shards; or marks that expire sooner"),
    Limit(
        "connections of PostgreSQL",
        f"1,000, {CONNECTIONS} of each process",
        "postgres_connections",
        1_000,
        "`DATABASE_POOL=2`: 6 of each; then PgBouncer, in session mode",
    ),
    Limit(
        "one PostgreSQL, its cores",
        f"32, {BUSY:.0%} used",
        "postgres_cores",
        32 * BUSY,
        "read replicas for old pages; then marks and positions by user on several, which is not built",
    ),
    Limit(
        "one machine of servers",
        f"64 cores, {BUSY:.0%} used",
        "server_cores",
        64 * BUSY,
        "more machines, behind any balancer",
    ),
    Limit("its memory", "256 GB", "server_memory", 256e9, "more machines"),
    Limit("its network", "10 Gbit/s", "network", 10e9, "more machines; a CDN that compresses at its edge"),
)


def full_at(limit: Limit, share: float, costs: Costs) -> int:
    """Subscribers at which it is full; found by halving, since needs only grow with subscribers."""
    low, high = 1, 10**10
    while high - low > max(1, low // 1_000):
        middle = (low + high) // 2
        if getattr(need(Demand(middle, share), costs), limit.of) > limit.most:
            high = middle
        else:
            low = middle
    return low
