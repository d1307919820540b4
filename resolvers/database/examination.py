"""What the doctor looks at in PostgreSQL."""

import time
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import connection_limit, known_revisions, misfit, schema_of
from resolvers.database.letters import LetterState
from resolvers.database.tables import activities, dead_letters, log_head
from streams.cursor import Cursor
from telemetry.findings import Finding, Grade, care, judge, skew, well, wrong

OLDEST = 15
LONG_WAIT = timedelta(seconds=5)
MOST_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Examined:
    """The findings, and whether there is a log to compare others with."""

    findings: list[Finding]
    has_log: bool = False


async def examine(engine: AsyncEngine, *, connections: int) -> Examined:
    """Server, schema, log and dead letters. `connections`: how many our processes may open."""
    try:
        findings = [*await _of_server(engine), *await _of_connections(engine, connections)]
        schema, known = await schema_of(engine), known_revisions()
        if problem := misfit(schema, known):
            return Examined([*findings, wrong("schema", *problem)])
        later = "" if schema.at in known else f", later than this version's {known[-1]}, which still runs on it"
        findings.append(well("schema", f"revision {schema.at}{later}"))
        return Examined([*findings, *await _of_log(engine)], has_log=True)
    except Exception as error:  # noqa: BLE001 - that it does not answer, and how, is the finding
        return Examined([wrong("PostgreSQL", f"does not answer: {error}", "start it, or correct DATABASE_URL")])


async def head(engine: AsyncEngine) -> Cursor:
    """Where the log ends."""
    async with engine.connect() as connection:
        return Cursor(await connection.scalar(sa.select(log_head.c.cursor)) or 0)


async def _of_server(engine: AsyncEngine) -> list[Finding]:
    async with engine.connect() as connection:
        row = (
            await connection.execute(
                sa.text(
                    "SELECT current_setting('server_version_num')::int / 10000 AS major,"
                    " current_setting('server_version') AS version, pg_is_in_recovery() AS replica,"
                    " current_setting('fsync') AS fsync, current_setting('synchronous_commit') AS synchronous_commit,"
                    " extract(epoch FROM clock_timestamp())::float8 AS clock"
                )
            )
        ).one()
    findings = [of_version(row.major, row.version), skew("PostgreSQL's clock", row.clock, time.time())]
    if row.replica:
        findings.append(wrong("PostgreSQL's role", "a replica", "name the primary in DATABASE_URL"))
    unsafe = [f"{name} is off" for name in ("fsync", "synchronous_commit") if getattr(row, name) == "off"]
    remedy = "set it to on: a crash of PostgreSQL may take back what clients have been shown"
    findings.append(judge(bad=bool(unsafe), about="durability", found=" and ".join(unsafe) or "on", remedy=remedy))
    return findings


def of_version(major: int, version: str) -> Finding:
    """The server's version."""
    remedy = f"take {OLDEST} or newer"
    return judge(bad=major < OLDEST, about="PostgreSQL", found=version, remedy=remedy, grade=Grade.WRONG)


async def _of_connections(engine: AsyncEngine, needed: int) -> list[Finding]:
    allowed = await connection_limit(engine)
    return [
        judge(
            bad=needed > allowed,
            about="connections",
            found=f"all workers may open {needed} connections, PostgreSQL allows {allowed}",
            remedy="raise its max_connections, or lower WORKERS or DATABASE_POOL",
            grade=Grade.WRONG,
        )
    ]


async def _of_log(engine: AsyncEngine) -> list[Finding]:
    waits = sa.select(activities.c.created_at).where(activities.c.cursor.is_(None)).limit(MOST_COUNTED).subquery()
    dead = sa.select(sa.func.count()).where(dead_letters.c.state == LetterState.DEAD.value).scalar_subquery()
    oldest = sa.func.clock_timestamp() - sa.func.min(waits.c.created_at)
    async with engine.connect() as connection:
        end = (await connection.execute(sa.select(log_head.c.cursor, log_head.c.n))).one()
        waiting = (await connection.execute(sa.select(sa.func.count().label("number"), oldest.label("oldest")))).one()
        letters = int(await connection.scalar(sa.select(dead)) or 0)
    return [
        well("log", f"{end.n} activities, to {Cursor(end.cursor)}"),
        of_waiting(waiting.number, waiting.oldest or timedelta(0)),
        judge(
            bad=letters > 0,
            about="dead letters",
            found=f"{letters} wait for somebody",
            remedy="python -m cli dead-letters list, then redrive or discard them",
        ),
    ]


def of_waiting(count: int, oldest: timedelta) -> Finding:
    """Committed activities without a place in the log."""
    if not count or oldest < LONG_WAIT:
        return well("sequencer", f"{count} activities wait for their place")
    number = f"{count} or more" if count == MOST_COUNTED else str(count)
    return care(
        "sequencer",
        f"{number} activities wait for their place, the oldest for {timedelta(seconds=round(oldest.total_seconds()))}",
        "start a server; if one runs, look for `leading: sequencer` in its log",
    )
