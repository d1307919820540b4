"""Enough of PromQL, and of the files around it, to say which metrics an expression is about."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from telemetry.metrics import Metrics, WorkerMetrics, process_metrics

TELEMETRY = Path(__file__).parents[2] / "telemetry"
PROMETHEUS, DASHBOARDS = TELEMETRY / "prometheus", TELEMETRY / "grafana" / "dashboards"
RUNBOOKS = TELEMETRY.parent / "docs" / "runbooks"

_EXPRESSION = re.compile(r"^(?P<indent> +)expr: (?:\|\n(?P<block>(?:(?P=indent)  .*\n)+)|(?P<line>.*)\n)", re.MULTILINE)
_RULE = re.compile(r"^ +- (?P<kind>alert|record): (?P<name>\S+)$", re.MULTILINE)
_NOT_NAMES = re.compile(r"\{[^}]*\}|\"[^\"]*\"|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left)\s*\([^)]*\)")
_NAME = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_WORDS = frozenset({"and", "or", "unless", "bool", "by", "on", "inf", "nan"})
OF_PROMETHEUS = frozenset({"up", "ALERTS"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a file: `kind` is alert or record."""

    kind: str
    name: str
    expression: str


def rules(file: str) -> list[Rule]:
    """The rules of a file in telemetry/prometheus, in order."""
    text = (PROMETHEUS / file).read_text(encoding="utf-8")
    heads, bodies = list(_RULE.finditer(text)), list(_EXPRESSION.finditer(text))
    return [
        Rule(head["kind"], head["name"], (body["block"] or body["line"]).strip())
        for head, body in zip(heads, bodies, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Panel:
    """One query of a dashboard."""

    dashboard: str
    title: str
    expression: str
    instant: bool


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard by the name of its file."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels() -> Iterator[Panel]:
    """Every query of every dashboard."""
    for name, board in dashboards().items():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                yield Panel(name, panel["title"], target["expr"], target.get("instant", False))


def names(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    bare = _NOT_NAMES.sub(" ", expression)
    return {name for name in _NAME.findall(bare) if name.lower() not in _WORDS and not name[0].isdigit()}


def defined() -> dict[str, str]:
    """The names under which Prometheus shows what the product defines, each with the metric that it belongs to."""
    found: dict[str, str] = {}
    for family in [*Metrics().registry.collect(), *WorkerMetrics().registry.collect()]:
        shown = {
            "counter": [f"{family.name}_total"],
            "histogram": [f"{family.name}_{part}" for part in ("bucket", "count", "sum")],
        }.get(family.type, [family.name])
        found |= dict.fromkeys(shown, family.name)
    return found


def of_the_process() -> set[str]:
    """Names that the Prometheus client brings along."""
    metrics = Metrics()
    ours = {family.name for family in metrics.registry.collect()}
    process_metrics(metrics.registry)
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in metrics.registry.collect()
        if family.name not in ours
    }
