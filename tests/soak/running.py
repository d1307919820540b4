"""One soak: warm up, measure, judge."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import httpx
import psutil

from telemetry.tasks import end
from tests.soak.crowd import FAILURES, Crowd
from tests.soak.sampling import WATCHED, read_metrics, sample
from tests.soak.servers import serving
from tests.soak.slopes import Finding, judge

BEFORE = 2_000
"""Activities that are there at the start: the stream in Redis is as long as it may be."""
MOST_SAMPLES = 720
"""Every 5 s of an hour: all pairs of them are 260,000 slopes."""
SHOWN = (
    "memory of worker 1",
    "memory of worker 2",
    "tasks of the event loops",
    "keys in Redis that stay",
    "memory used in Redis",
)


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of it: `counts` of what the crowd did, CPU of the server in cores."""

    seconds: float
    warm_up: float
    samples: int
    findings: list[Finding]
    counts: Counter[str]
    unaccounted: float
    cores: float

    @property
    def problems(self) -> list[str]:
        """What is wrong, each a sentence; empty when all is well."""
        found = [
            f"{one.name} grew by {one.gained:,.2f} {one.unit}, {one.allowed:,.2f} are allowed".replace(" ,", ",")
            for one in self.findings
            if one.grows
        ]
        failed = {what: many for what, many in self.counts.items() if what.startswith("failed") or what in NEVER}
        found += [f"{what}: {many} times" for what, many in failed.items() if many]
        if self.unaccounted:
            found.append(f"{self.unaccounted:.0f} entries are unaccounted for")
        return found


NEVER = frozenset({"missing", "refused", "gaps"})


async def soak(
    seconds: float, *, say: Callable[[str], None] = lambda _: None, environment: Mapping[str, str] | None = None
) -> Soaked:
    """Keep a server busy for so long, a sixth of it (20 s at least) to warm up; on the main thread."""
    warm_up, every = max(20.0, seconds / 6), max(1.0, seconds / MOST_SAMPLES)
    async with serving(environment or {}) as servers:
        crowd = Crowd(servers)
        await crowd.fill(BEFORE)
        busy = asyncio.create_task(crowd.run(), name="crowd")
        try:
            async with httpx.AsyncClient(base_url=servers.server.url, timeout=20, trust_env=False) as http:

                async def look() -> dict[str, float] | None:
                    if busy.done():
                        busy.result()
                    try:
                        return await sample(servers, http)
                    except (*FAILURES, psutil.Error) as error:
                        crowd.counts[f"failed: sample, {type(error).__name__}"] += 1
                        return None

                samples = await _measured(look, warm_up=warm_up, seconds=seconds, every=every, say=say)
                metrics = read_metrics((await http.get("/metrics")).text)
        finally:
            await end([busy], again_after=10)
    return Soaked(
        seconds=seconds,
        warm_up=warm_up,
        samples=len(samples),
        findings=[
            judge(name, of.unit, list(samples), [one[name] for one in samples.values()], of.tolerance)
            for name, of in WATCHED.items()
        ],
        counts=crowd.counts,
        unaccounted=metrics["sse_entries_unaccounted"],
        cores=metrics["process_cpu_seconds_total"] / seconds,
    )


async def _measured(
    look: Callable[[], Awaitable[dict[str, float] | None]],
    *,
    warm_up: float,
    seconds: float,
    every: float,
    say: Callable[[str], None],
) -> dict[float, dict[str, float]]:
    """Samples by the second in which they were taken, without those of the warm-up; a line a minute."""
    started, minute = time.monotonic(), 0
    samples: dict[float, dict[str, float]] = {}
    while (passed := time.monotonic() - started) < seconds:
        found = await look()
        if found is not None:
            if passed >= warm_up:
                samples[passed] = found
            if passed >= 60 * minute:
                minute += 1
                say(f"{passed / 60:4.0f} min  " + "  ".join(f"{name} {_shown(name, found)}" for name in SHOWN))
        await asyncio.sleep(max(0, started + passed + every - time.monotonic()))
    return samples


def _shown(name: str, found: Mapping[str, float]) -> str:
    return f"{found[name]:,.1f} {WATCHED[name].unit}".replace(".0 ", "").strip()
