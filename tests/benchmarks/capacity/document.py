"""docs/capacity.md."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path

from tests.benchmarks.capacity.model import LIMITS, Costs, Demand, Need, full_at, need
from tests.benchmarks.capacity.predictions import Prediction, predictions
from tests.benchmarks.capacity.recorded import BOOK, Recorded

DOCUMENT = BOOK / "capacity.md"
HERE = Path(__file__).parent
SUBSCRIBERS = (100_000, 1_000_000, 10_000_000, 100_000_000)
SHARES = (1.0, 0.1, 0.01)
LINES: tuple[tuple[str, Callable[[Need], str]], ...] = (
    ("processes of the server", lambda of: f"{of.processes:,}"),
    ("cores that they use", lambda of: _cores(of.server_cores)),
    ("their memory", lambda of: _size(of.server_memory)),
    ("cores of Redis", lambda of: _cores(of.redis_cores)),
    ("Redis servers, a core of each", lambda of: f"{of.redis_servers:,}"),
    ("memory of Redis", lambda of: _size(of.redis_memory)),
    ("cores of PostgreSQL", lambda of: _cores(of.postgres_cores)),
    ("connections of PostgreSQL, at most", lambda of: f"{of.postgres_connections:,}"),
    ("PostgreSQL grows by, a day", lambda of: _size(of.postgres_a_day)),
    ("network, out", lambda of: _bits(of.network)),
    ("cores if everybody polls", lambda of: _cores(of.polling_cores)),
    ("all back after all were killed", lambda of: f"{of.back_after:,.0f} s"),
)


def document(recorded: Recorded) -> str:
    """The whole page."""
    costs = Costs.of(recorded)
    parts = [(HERE / "head.md").read_text(encoding="utf-8").rstrip()]
    for share in SHARES:
        parts += [f"## {share:.0%} want each activity", *table([Demand(n, share) for n in SUBSCRIBERS], costs)]
    parts += ["## Where the server's time goes", *_where(Demand(1_000_000, 0.1), costs)]
    parts += ["## What is full first", *_full(costs)]
    parts += [(HERE / "tail.md").read_text(encoding="utf-8").rstrip()]
    parts += ["## Whether to believe it", *_believed(predictions(recorded))]
    parts += ["## What one of each costs", *_costs(costs)]
    return "\n\n".join(parts) + "\n"


def table(demands: Sequence[Demand], costs: Costs) -> list[str]:
    """What each needs, a column each."""
    needs = [need(demand, costs) for demand in demands]
    head = "| subscribers | " + " | ".join(f"{demand.subscribers:,}" for demand in demands) + " |"
    rows = [f"| {name} | " + " | ".join(shown(one) for one in needs) + " |" for name, shown in LINES]
    return ["\n".join([head, "|---" * (len(demands) + 1) + "|", *rows])]


def _where(demand: Demand, costs: Costs) -> list[str]:
    spent = need(demand, costs)
    rows = [f"| {name} | {_cores(cores)} |" for name, cores in sorted(spent.parts.items(), key=lambda one: -one[1])]
    said = f"{demand.subscribers:,} subscribers, {demand.share:.0%} want each activity."
    return [said, "\n".join(["| what | cores |", "|---|---|", *rows])]


def _full(costs: Costs) -> list[str]:
    head = "| part | that holds | " + " | ".join(f"full at, {share:.0%} want it" for share in SHARES) + " | then |"
    rows = [
        f"| {limit.part} | {limit.holds} | "
        + " | ".join(_rounded(full_at(limit, share, costs)) for share in SHARES)
        + f" | {limit.then} |"
        for limit in LIMITS
    ]
    return ["In subscribers.", "\n".join([head, "|---" * (len(SHARES) + 3) + "|", *rows])]


def _believed(found: Sequence[Prediction]) -> list[str]:
    believed = (HERE / "believed.md").read_text(encoding="utf-8").rstrip()
    rows = [
        f"| {one.what} | {_three(one.predicted)} {one.unit} | {_three(one.recorded)} {one.unit}"
        f" | {one.ratio:.2f} | {one.within:g} |"
        for one in found
    ]
    head = ["| run | predicted | recorded | ratio | factor |", "|---|---|---|---|---|"]
    return [believed, "\n".join([*head, *rows])]


def _costs(costs: Costs) -> list[str]:
    figures = {getattr(costs, one.name) for one in fields(costs)}
    rows = [f"| {figure.row} | {figure.value:,.1f} |" for figure in sorted(figures, key=lambda one: one.row)]
    said = (
        "Microseconds of CPU, or bytes, by the row that they are from: of [benchmarks-costs.md](benchmarks-costs.md),\n"
        "[benchmarks.md](benchmarks.md) (memory) and [benchmarks-feed.md](benchmarks-feed.md) (memory of a user)."
    )
    return [said, "\n".join(["| row | |", "|---|---|", *rows])]


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _cores(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _rounded(value: int) -> str:
    """To two digits."""
    digits = max(0, len(str(value)) - 2)
    return f"{round(value, -digits):,}"


def _size(value: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e6:.0f} MB"


def _bits(value: float) -> str:
    for unit, size in (("Tbit/s", 1e12), ("Gbit/s", 1e9)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e6:.0f} Mbit/s"
