"""What one of each thing costs; docs/capacity.md is computed from it."""

import os

import asyncpg

from tests.benchmarks.bench import Bench, Row
from tests.benchmarks.costs.document import DOCUMENT, unit_of, write
from tests.benchmarks.costs.measuring import Costing
from tests.benchmarks.costs.spending import Meter
from tests.benchmarks.peers.divisionbell import DivisionBell
from tests.benchmarks.session import SERVER_CORE


async def run(bench: Bench) -> list[Row]:
    """One server, with streams and without; it writes docs/benchmarks-costs.md where the bench writes others."""
    redis, database = bench.world.redis(), await asyncpg.connect(bench.world.database_url)
    costs: dict[str, float] = {}
    try:
        async with DivisionBell(bench.world).running(SERVER_CORE) as server:
            costing = Costing(bench, server, Meter(server, redis, database), redis, database, costs)
            quiet = await costing.alone()
            bench.say("    a process without streams is measured")
            await costing.following(quiet)
            bench.say(f"    {costing.streams} streams are")
            await costing.filtered(quiet)
            await costing.recovering(quiet)
            bench.say("    filters and replays are")
            await costing.asked(quiet)
            await costing.saved(quiet)
            await costing.sizes()
    finally:
        await redis.aclose()
        await database.close()
    if os.environ.get("COSTS_DOCS") and not bench.quick:
        write(costs)
        bench.say(f"    written to {DOCUMENT}")
        return []
    return [Row(name, "", f"{value:,.1f} {unit_of(name)}") for name, value in costs.items()]
