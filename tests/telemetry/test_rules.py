"""Rules, dashboards and runbooks against the metrics that there are, and the rules by Prometheus' own test runner."""

import os
import re
import shutil
import subprocess
from itertools import pairwise

import pytest

from telemetry.delivery import DeliveryStats
from telemetry.health import Facts, Pel, conditions
from tests.support.promql import (
    OF_PROMETHEUS,
    PROMETHEUS,
    RUNBOOKS,
    dashboards,
    defined,
    names,
    of_the_process,
    panels,
    rules,
)

OF_THE_SEED = {
    "HighPELCount": 2,
    "StalePELMessages": 2,
    "RapidPELGrowth": 1,
    "HighSSEDeliveryLatency": 1,
    "LowSSEDeliverySuccessRate": 1,
}

NO_METRICS = {
    "pending_total",
    "error_type",
    "log_head",
    "max_connections",
    "created_at",
    "read_marks",
    "recent_activities",
}
"""What else of this shape the runbooks name."""
SECTIONS = [
    "What it means for users",
    "How to see it",
    "What to do",
    "How to know that it is over",
    "Walked through",
]


@pytest.fixture
def promtool() -> str:
    """Debian's `prometheus` brings it."""
    found = shutil.which("promtool")
    if found is None:
        reason = "no promtool on PATH: apt-get install --no-install-recommends prometheus"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def test_rules_fire_when_they_should_and_not_when_they_should_not(promtool: str) -> None:
    """`make rules`: promtool finds no mistake, and every series of *_test.yml does what is written there."""
    files = sorted(path.name for path in PROMETHEUS.glob("*_test.yml"))
    for arguments in (["check", "rules", "recording.yml", "alerts.yml"], ["test", "rules", *files]):
        done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False)

        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_told_apart_from_silence() -> None:
    """*_test.yml names each alert."""
    told = "".join(path.read_text(encoding="utf-8") for path in PROMETHEUS.glob("*_test.yml"))

    untold = {rule.name for rule in rules("alerts.yml") if rule.name not in told and "BudgetBurn" not in rule.name}
    assert untold == set()


def test_the_seven_rules_of_the_contract_are_there() -> None:
    """Five names, two of them at two places, each with its own severity."""
    alerts = [rule.name for rule in rules("alerts.yml")]

    assert {name: alerts.count(name) for name in OF_THE_SEED} == OF_THE_SEED


def test_every_name_in_rules_and_dashboards_is_defined() -> None:
    """By telemetry/metrics.py, by a recording rule, or by Prometheus and its client."""
    recorded = {rule.name for rule in rules("recording.yml")}
    known = {*defined(), *recorded, *of_the_process(), *OF_PROMETHEUS}
    asked = {f"rule {rule.name}": rule.expression for file in ("recording.yml", "alerts.yml") for rule in rules(file)}
    asked |= {f"panel {panel.dashboard}: {panel.title} {at}": panel.expression for at, panel in enumerate(panels())}

    unknown = {where: missing for where, expression in asked.items() if (missing := names(expression) - known)}
    assert unknown == {}


def test_every_metric_and_every_recording_is_looked_at() -> None:
    """By a rule or a panel: what nobody looks at is not worth its counting."""
    expressions = [rule.expression for file in ("recording.yml", "alerts.yml") for rule in rules(file)]
    looked_at = set[str]().union(*map(names, [*expressions, *(panel.expression for panel in panels())]))
    known = defined()

    assert set(known.values()) - {known[name] for name in looked_at if name in known} == set()
    assert {rule.name for rule in rules("recording.yml")} - looked_at == set()


def test_dashboards_can_be_read_without_us() -> None:
    """Every panel asks a question, has a unit and a query that one can tell from its neighbours, and lies apart."""
    boards = dashboards()
    assert len(boards) == 6
    assert len({board["uid"] for board in boards.values()}) == 6
    for board in boards.values():
        shown = [panel for panel in board["panels"] if panel["type"] != "row"]
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        for panel in shown:
            assert re.search(r"\?( \(p95\))?$", panel["title"]), panel["title"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["datasource"]["uid"] == "divisionbell"
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        places = sorted((panel["gridPos"]["y"], panel["gridPos"]["x"], panel["gridPos"]["w"]) for panel in shown)
        assert all(x + w <= 24 for _, x, w in places)
        assert all(a[0] != b[0] or a[1] + a[2] <= b[1] for a, b in pairwise(places))


def test_dashboards_show_the_limits_that_wake_somebody() -> None:
    """The thresholds of the objectives are lines in the panels."""
    limits = {
        step["value"]
        for board in dashboards().values()
        for panel in board["panels"]
        for step in panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {}).get("steps", ())
    }

    assert {500, 10_000, 3_600, 100, 0.001, 14.4, 5, 300, 120} <= limits


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    """The page that the annotation names, listed in the order in which to look at them."""
    alerts = {rule.name for rule in rules("alerts.yml")}
    text = (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^\d+\. \[(\w+)\]", (RUNBOOKS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == alerts
    assert set(re.findall(r"runbook: docs/runbooks/(\w+)\.md", text)) == alerts
    assert len(listed) == len(alerts)
    assert set(listed) == alerts


def test_every_runbook_says_what_somebody_needs_at_night() -> None:
    """The same sections everywhere; its links, its tests and the metrics that it names are there."""
    facts = Facts(redis=True, tail=True, pel=Pel(), delivery=DeliveryStats())
    known = {*defined(), *defined().values(), *of_the_process(), *NO_METRICS}
    known |= {rule.name for rule in rules("recording.yml")} | {condition.name for condition in conditions(facts)}
    for path in RUNBOOKS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert all((RUNBOOKS / link).is_file() for link in re.findall(r"\]\((\w+\.md)\)", text)), path.name
        if path.stem == "README":
            continue
        assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS, path.name
        named = re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)(?:\{[^`]*\})?`", text)
        assert set(named) - known == set(), path.name
        walked = re.findall(r"-m pytest (\S+) -k (\w+)\n", text)
        assert walked or "Not yet on a real server" in text, path.name
        for file, chosen in walked:
            assert re.search(rf"^async def test_\w*{chosen}", (RUNBOOKS.parents[1] / file).read_text(), re.MULTILINE)
