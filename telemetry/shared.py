"""One view of the metrics of several processes: each notes its own in files, any of them shows the sum of all files.

The files are those of prometheus-client's multi-process mode, and so is the merging. What is not is the moment of
writing: there at every increment (2.4 to 2.9 times the cost, and only for its own kinds of metrics), here once a second
and before every scrape, from whatever the registry collects, so that nothing on the way of a delivery gets dearer.
"""

import asyncio
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

WRITE_EVERY = timedelta(seconds=1)

ALIKE = {
    "redis_streams_pel_total": "livemax",
    "redis_streams_pel_age_seconds": "livemax",
    "redis_streams_memory_bytes": "livemax",
    "redis_streams_length": "livemax",
    "redis_memory_used_bytes": "livemax",
    "redis_memory_limit_bytes": "livemax",
    "sse_pel_total_pending": "livemax",
    "sse_pel_oldest_age_seconds": "livemax",
    "sse_pel_growth_rate": "livemax",
    "sse_transport_advised": "livemax",
    "sequencer_lag_seconds": "livemax",
    "tail_lagging": "livemax",
    "dead_letters": "livemax",
    "dead_letters_halted": "livemax",
    "feed_view_age_seconds": "livemax",
    "repairs_waiting_seconds": "livemax",
    "dependency_up": "livemin",
    "dependency_answer_seconds": "livemax",
    "python_info": "livemax",
    "process_start_time_seconds": "livemin",
}
"""Gauges of which every process shows the same thing, or nearly, or only its leader: the one that says most counts.

All others are added up over the living.
"""


class SharedMetrics(Collector):
    """Notes what `registry` collects under `name` in `directory`, and collects what all have noted there.

    A successor with the same name goes on counting where its predecessor was killed, so the files are as many as the
    processes, and no total ever goes back: what was shown once had been written before.
    """

    def __init__(self, registry: CollectorRegistry, *, directory: Path, name: str) -> None:
        """`name` must hold no underscore; at any time one process has it."""
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self._own = registry
        self._directory = directory
        self._name = name
        self._files: dict[str, _File] = {}
        self._closed = False

    async def run(self) -> None:
        """Note everything once a second until cancelled, then once more, and no more after that."""
        try:
            while True:
                self.write()
                await asyncio.sleep(WRITE_EVERY.total_seconds())
        finally:
            self.write()
            self.close()

    def close(self) -> None:
        """Leave what is noted as it is, from now on."""
        self._closed = True
        for file in self._files.values():
            file.close()

    def write(self) -> None:
        """Note everything as it stands."""
        if self._closed:
            return
        now = time.time()
        for metric in self._own.collect():
            kind = metric.type if metric.type != "gauge" else f"gauge_{ALIKE.get(metric.name, 'livesum')}"
            self._file(kind).note(metric, now)

    def _file(self, kind: str) -> "_File":
        if kind not in self._files:
            self._files[kind] = _File(self._directory / f"{kind}_{self._name}.db")
        return self._files[kind]

    def collect(self) -> Iterable[Metric]:
        """What all processes have noted, this one up to now, the others up to WRITE_EVERY ago."""
        self.write()
        files = sorted(str(path) for path in self._directory.glob("*.db"))
        # Each file has its histograms as they are shown, with buckets that hold the smaller ones.
        merged: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=False)  # type: ignore[no-untyped-call]
        return merged


def forget_gauges(directory: Path, name: str) -> None:
    """The process of this name is dead: it has no streams and no memory any more. What it counted stays."""
    mark_process_dead(name, str(directory))  # type: ignore[no-untyped-call]


class _File:
    """The values of one kind of metric of one process. What is found there at the start is added to all that counts."""

    def __init__(self, path: Path) -> None:
        # Made under another name: a reader that met it empty would fail on its missing head.
        made = path if path.exists() else path.with_suffix(".new")
        self._values = MmapedDict(str(made))  # type: ignore[no-untyped-call]
        made.rename(path)
        counts = not path.name.startswith("gauge_")
        found = self._values.read_all_values() if counts else ()  # type: ignore[no-untyped-call]
        self._before: dict[str, float] = {key: value for key, value, _ in found}
        self._keys: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}

    def close(self) -> None:
        self._values.close()  # type: ignore[no-untyped-call]

    def note(self, metric: Metric, now: float) -> None:
        for sample in metric.samples:
            if sample.name == f"{metric.name}_created":
                continue  # of a process, of no use in a sum
            series = (sample.name, tuple(sample.labels.items()))
            key = self._keys.get(series)
            if key is None:
                names, values = list(sample.labels), list(sample.labels.values())
                key = self._keys[series] = mmap_key(metric.name, sample.name, names, values, metric.documentation)
            self._values.write_value(key, sample.value + self._before.get(key, 0), now)  # type: ignore[no-untyped-call]
