"""What the doctor finds: on servers that are well, and for each thing that can be wrong."""

from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from app import configured, examine
from resolvers.database.engine import migrate
from resolvers.database.examination import examine as examine_database
from resolvers.database.examination import of_version, of_waiting
from settings import Settings
from streams.cursor import START, Cursor
from streams.examination import of_pending, of_server, of_stream
from streams.keys import Keys
from telemetry.findings import Finding, Grade, rules, skew, versions
from telemetry.health import Pel
from tests.support.floor import ProcessFloor
from tests.support.parliament import insert_activities
from tests.support.server import SECRET

WELL, CARE, WRONG = Grade
INFO = {"redis_version": "7.2.4", "role": "master", "used_memory": 1, "maxmemory": 0, "aof_enabled": 1}
AT = Cursor(5)


def grades(findings: object) -> dict[str, Grade]:
    """What was found, by what it is about."""
    return {one.about: one.grade for one in findings}  # type: ignore[attr-defined]


async def found(database_url: str, redis_url: str, **more: object) -> dict[str, Finding]:
    """The findings on two servers, by what they are about."""
    given = {"database_url": database_url, "redis_url": redis_url, "auth_secret": SECRET, **more}
    findings = await examine(Settings.model_validate(given))
    for one in findings:
        assert (one.grade is WELL) == (not one.remedy), f"{one.about}: what is not well has a remedy"
    assert len({one.about for one in findings}) == len(findings)
    return {one.about: one for one in findings}


async def test_all_is_well_where_it_is(database_url: str, redis_url: str, database: AsyncEngine, redis: Redis) -> None:
    """Every check that could be wrong is made, and none is, on servers with a log, a stream and a subscriber."""
    floor = ProcessFloor(database, redis)
    await floor.publish(3)
    await floor.processes.beat()

    findings = await found(database_url, redis_url)

    assert not [one for one in findings.values() if one.grade is WRONG]
    assert findings["stream"].found.startswith("3 entries")
    assert findings["log"].found.startswith("3 activities")
    assert findings["processes"].found.startswith("1 of ours")
    assert {"Python", "packages", "tokens", "traces", "schema", "connections", "sequencer", "pending"} < set(findings)


async def test_servers_that_do_not_answer_are_told_and_the_rest_is_looked_at(redis_url: str) -> None:
    """One that is away keeps nobody from hearing of the other."""
    findings = await found("postgresql://127.0.0.1:1/nowhere", redis_url)
    assert (findings["PostgreSQL"].grade, findings["PostgreSQL"].remedy) == (WRONG, "start it, or correct DATABASE_URL")
    assert findings["eviction"].grade is WELL
    assert "not compared" in findings["stream"].found

    findings = await found("postgresql://127.0.0.1:1/nowhere", "redis://127.0.0.1:1/0")
    assert findings["Redis"].grade is WRONG
    assert "REDIS_URL" in findings["Redis"].remedy


async def test_schema_of_another_version_is_told_with_the_command(database: AsyncEngine) -> None:
    """Before the server would refuse to start."""
    await migrate(database, target="base")

    examined = await examine_database(database, connections=1)

    schema = examined.findings[-1]
    assert (schema.about, schema.grade, schema.remedy) == ("schema", WRONG, "run `python -m cli migrate`")
    assert not examined.has_log


async def test_stream_behind_the_log_and_one_ahead_of_it_are_told(
    database_url: str, redis_url: str, database: AsyncEngine, redis: Redis
) -> None:
    """The first heals by itself once a server runs; the second means that PostgreSQL has lost something."""
    floor = ProcessFloor(database, redis)
    await floor.publish(1)
    await redis.delete(Keys().stream)
    assert (await found(database_url, redis_url))["stream"].grade is CARE

    ahead = Cursor((await floor.log.head()).cursor + 10)
    await redis.xadd(Keys().stream, {"activity_id": 1}, id=str(ahead))
    assert (await found(database_url, redis_url))["stream"].grade is WRONG


async def test_rows_that_nobody_sequences_are_told(database: AsyncEngine) -> None:
    """Once they have waited for longer than any sequencer takes."""
    await insert_activities(database, 2)
    waiting = grades((await examine_database(database, connections=1)).findings)
    assert waiting["sequencer"] is WELL

    assert of_waiting(2, timedelta(minutes=1)).grade is CARE
    assert "2 activities" in of_waiting(2, timedelta(minutes=1)).found


async def test_more_connections_than_there_are_is_wrong(database_url: str, redis_url: str) -> None:
    """PostgreSQL would refuse them one by one, under load."""
    findings = await found(database_url, redis_url, workers=64, database_pool=200)

    assert findings["connections"].grade is WRONG


@pytest.mark.parametrize(
    ("info", "policy", "about", "grade"),
    [
        ({}, "noeviction", "Redis", WELL),
        ({"redis_version": "6.2.14"}, "noeviction", "Redis", WRONG),
        ({"role": "slave"}, "noeviction", "Redis' role", WRONG),
        ({}, "allkeys-lru", "eviction", WRONG),
        ({}, "volatile-ttl", "eviction", CARE),
        ({}, "unknown", "eviction", CARE),
        ({"used_memory": 90, "maxmemory": 100}, "noeviction", "memory", CARE),
        ({"used_memory": 70, "maxmemory": 100}, "noeviction", "memory", WELL),
        ({"aof_enabled": 0}, "noeviction", "persistence", CARE),
    ],
)
def test_each_thing_about_redis_is_graded(info: dict[str, object], policy: str, about: str, grade: Grade) -> None:
    """Version, role, eviction, memory and persistence."""
    findings = grades(of_server({**INFO, **info}, policy))

    assert findings[about] is grade
    assert [one for one, other in findings.items() if other is not WELL] in ([], [about])


def test_ends_of_stream_and_log_are_compared_while_servers_are_at_work() -> None:
    """The log was read before and after: a stream in between is where it should be."""
    later = Cursor(AT + 3)

    assert of_stream(AT, "", before=AT, after=later).grade is WELL
    assert of_stream(Cursor(AT + 1), "", before=AT, after=later).grade is WELL
    assert of_stream(Cursor(AT - 1), "", before=AT, after=later).grade is CARE
    assert of_stream(Cursor(later + 1), "", before=AT, after=later).grade is WRONG
    assert of_stream(START, "", before=START, after=START).found == "empty, as the log is"


def test_versions_clocks_and_pending_entries_are_graded() -> None:
    """By the numbers of the design."""
    assert [of_version(major, str(major)).grade for major in (14, 15, 18)] == [WRONG, WELL, WELL]
    assert [skew("clock", 100 + off, 100).grade for off in (-2, -0.5, 0, 0.5, 2)] == [CARE, WELL, WELL, WELL, CARE]
    assert of_pending(Pel(total=10_000, oldest=timedelta(hours=1))).grade is WELL
    assert of_pending(Pel(total=10_001)).grade is CARE
    assert of_pending(Pel(total=1, oldest=timedelta(hours=2))).grade is CARE


def test_settings_that_cannot_be_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that is too short, an origin that is none, an exporter that is not here."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")

    found = grades(configured(Settings.model_validate({"auth_secret": "short", "cors_origins": "no origin"})))

    assert found == {"tokens": WRONG, "origins and proxies": WRONG, "traces": WRONG}


def test_packages_that_are_not_the_locked_ones_are_told(tmp_path: Path) -> None:
    """By name, with both versions."""
    lock = tmp_path / "requirements.lock"
    lock.write_text("redis==0.1 \\\n    --hash=sha256:0\nnot-installed==1\n")

    packages = list(versions(lock))[1]

    assert packages.grade is CARE
    assert packages.found.endswith("in place of 0.1")
    assert list(versions(tmp_path / "none.lock"))[1].grade is CARE


def test_rules_are_looked_for_and_checked_where_promtool_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No rules need care; rules that promtool refuses are wrong; without promtool it says so."""
    assert [one.grade for one in rules(tmp_path)] == [CARE]
    (tmp_path / "alerts.yml").write_text("groups: []\n")
    (tmp_path / "prometheus.yml").write_text("scrape_configs: []\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [one.found for one in rules(tmp_path)] == ["alerts.yml, not checked: promtool is not installed"]

    promtool = tmp_path / "promtool"
    promtool.write_text('#!/bin/sh\necho "no good: $3"; exit 1\n')
    promtool.chmod(0o755)
    [checked] = rules(tmp_path)
    assert checked.grade is WRONG
    assert "no good" in checked.found
    promtool.write_text("#!/bin/sh\nexit 0\n")
    assert [one.grade for one in rules(tmp_path)] == [WELL]
