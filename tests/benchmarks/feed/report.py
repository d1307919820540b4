"""What was measured, as targets and as a document."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.feed.dataset import FEW, GROUPS, MEASURED
from tests.benchmarks.feed.measuring import Figure
from tests.benchmarks.feed.paths import AT_ONCE

FLAT = 1_000_000 // 8
METHOD = Path(__file__).parent / "method.md"


@dataclass(frozen=True, slots=True)
class Target:
    """A line of the issue's table: a ratio, and what it must reach; None where it is only told."""

    name: str
    ratio: float
    least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether it was reached."""
        return None if self.least is None else self.ratio >= self.least


def best(figures: Sequence[Figure]) -> Figure:
    """The round that was disturbed least."""
    return min(figures, key=lambda figure: figure.p95)


def targets(rows: Mapping[str, Sequence[Figure]], bytes_of_user: float) -> list[Target]:
    """The ratios."""
    p95 = {name: best(figures).p95 for name, figures in rows.items()}
    rate = {name: best(figures).per_second for name, figures in rows.items()}
    bitmap = {missed: p95[f"bitmap, {missed} % left out"] for missed in GROUPS.values()}
    usual = {missed: p95[f"usual LEFT JOIN, {missed} % left out"] for missed in GROUPS.values()}
    measured = GROUPS[MEASURED]
    stopped, over_http = p95["usual LEFT JOIN, Redis stopped"], rate["Division Bell"]
    others = [missed for missed in GROUPS.values() if missed != measured]
    view = p95["view, Redis stopped"]
    found = [
        Target("bitmap path, p95, against the usual LEFT JOIN", usual[measured] / bitmap[measured], 30),
        *(Target(f"the same where {missed} % were left out", usual[missed] / bitmap[missed]) for missed in others),
        Target("the same, the usual one by bare asyncpg", p95["usual LEFT JOIN, bare asyncpg"] / bitmap[measured]),
        Target("the same with the count, which bitmaps give", p95["usual LEFT JOIN and count"] / bitmap[measured]),
        Target("view path with Redis stopped, p95, against the usual LEFT JOIN", stopped / view, 5),
        Target("our LEFT JOIN, p95, against the usual one", stopped / p95["our LEFT JOIN"]),
        Target("feed of 20 over HTTP a second, against stock Strawberry", over_http / rate["stock Strawberry"], 4),
    ]
    if "PostGraphile 5" in rate:
        peer = rate["PostGraphile 5"]
        found.append(Target("feed of 20 over HTTP a second, against PostGraphile 5", over_http / peer, 2))
    return [*found, Target("a flat bitmap of 1,000,000 IDs against the memory of a user", FLAT / bytes_of_user, 5)]


def document(
    rows: Mapping[str, Sequence[Figure]],
    bytes_of_user: float,
    arguments: argparse.Namespace,
    *,
    cores: int,
    notes: Sequence[str],
) -> str:
    """docs/benchmarks-feed.md."""
    lines = ["# Benchmarks of the feed", "", "Written by `make bench` (`ROWS=feed` for these rows alone).", ""]
    lines += ["| | must reach | reached | met |", "|---|---|---|---|"]
    for target in targets(rows, bytes_of_user):
        least = "" if target.least is None else f"≥ {target.least:g} ×"
        met = {True: "yes", False: "**no**", None: ""}[target.met]
        lines.append(f"| {target.name} | {least} | {target.ratio:.1f} × | {met} |")
    lines += ["", "| | a second | p50 ms | p95 ms |", "|---|---|---|---|"]
    for name, figures in rows.items():
        figure = best(figures)
        lines.append(f"| {name} | {figure.per_second:,.0f} | {figure.p50:.2f} | {figure.p95:.2f} |")
    lines += ["", f"Memory of a user in Redis: {bytes_of_user:,.0f} bytes.", *(f"\n{note}" for note in notes)]
    method = METHOD.read_text(encoding="utf-8").format(
        activities=arguments.activities,
        users=arguments.users,
        reads=arguments.reads,
        few=min(FEW, arguments.users),
        at_once=AT_ONCE,
        cores=cores,
        rounds=arguments.rounds,
    )
    return "\n".join([*lines, "", "## Method", "", method])
