"""The command line: `python -m cli --help`."""

import asyncio
import contextlib
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from asyncpg import PostgresError
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

import app as composition
from resolvers.activities import Activity, ActivityFilter, ActivityType
from resolvers.database.engine import connect, migrate, revision
from resolvers.database.letters import LetterState, StoredLetter
from resolvers.dead_letters import LetterProblem, LettersPage, Settlements, in_columns
from resolvers.demo import life
from resolvers.embedded import EmbeddedServers, ServerMissing, StartFailed, StateInUse, note, running_servers
from resolvers.errors import Refusal
from resolvers.following import follow, shown, shown_as_json
from resolvers.identity import Scope, Tokens
from resolvers.importing import hansard, jsonl
from resolvers.importing.bringing import bring_in
from resolvers.importing.fetching import fetch
from resolvers.importing.records import ActivityRecord, ImportProblem, ImportRefused
from schema.chaos import Means
from schema.demo import is_loopback
from schema.pages import Identities, Identity
from schema.workers import run_workers
from settings import Settings
from streams.entries import Entry
from telemetry import logs
from telemetry.findings import Grade
from telemetry.metrics import Metrics

commands = typer.Typer(
    help="Division Bell: a real-time feed of what MPs and bills do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
importing = typer.Typer(help="Bring activities in. Doing it again adds nothing twice.", no_args_is_help=True)
commands.add_typer(importing, name="import")
dead_letters = typer.Typer(help="Activities that could not be delivered.", no_args_is_help=True)
commands.add_typer(dead_letters, name="dead-letters")
console = Console(stderr=True, highlight=False)
T = TypeVar("T")
DEMO_RHYTHM = {"heartbeat": timedelta(seconds=2.5), "bookmark_every": timedelta(seconds=5)}
"""Unless set otherwise: the demo's page calls a stream stalled that says nothing for 5 s."""

Source = Annotated[
    str, typer.Argument(metavar="FILE_OR_URL", help="A file, an http(s) address, or - for standard input.")
]
LetterIds = Annotated[list[int], typer.Argument(help="IDs, as `dead-letters list` shows them.")]
Speed = Annotated[
    float | None, typer.Option(min=0.001, help="Publish one by one, at this many times real speed, instead of at once.")
]


def fail(message: object) -> NoReturn:
    """Say what is wrong and end with status 1."""
    console.print(f"[bold red]error:[/] {message}", soft_wrap=True)
    raise typer.Exit(1)


def load_settings(*, needs: Sequence[str] = ()) -> Settings:
    """Settings from the environment, completed from a running demo. Ends the command if one of `needs` is missing."""
    settings = _given_settings()
    demo = running_servers(settings.state_dir) or {}
    found: dict[str, object] = {
        name: demo[name] for name in ("database_url", "redis_url") if name in demo and not getattr(settings, name)
    }
    if "auth_secret" in demo and not (settings.auth_secret or settings.auth_jwks_url):
        found["auth_secret"] = SecretStr(demo["auth_secret"])
    settings = settings.model_copy(update=found)
    if settings.auth_jwks_url:
        needs = [name for name in needs if name != "auth_secret"]
    missing = [name.upper() for name in needs if not getattr(settings, name)]
    if missing:
        fail(f"set {' and '.join(missing)}, or start the demo (`make demo`) with the same STATE_DIR")
    return settings


def _given_settings(**arguments: object) -> Settings:
    try:
        return Settings.model_validate({name: value for name, value in arguments.items() if value is not None})
    except ValidationError as error:
        fail("; ".join(f"{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()))


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """An engine for one command."""
    engine = connect(settings.database_url or "", pool_size=2, application_name="divisionbell-cli")
    try:
        yield engine
    finally:
        await engine.dispose()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; what it cannot do is told in a sentence."""
    try:
        return asyncio.run(work)
    except (ImportRefused, Refusal, ValueError, OSError, PostgresError, SQLAlchemyError) as error:
        fail(error)


@commands.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; HOST if left out.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="0 takes a free one; PORT if left out.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Processes; WORKERS if left out.")] = None,
) -> None:
    """Serve the API on HOST and PORT until SIGTERM; docs/settings.md has what can be set."""
    settings = load_settings(needs=["database_url", "redis_url", "auth_secret"])
    given = {"host": host, "port": port, "workers": workers}
    settings = settings.model_copy(update={name: value for name, value in given.items() if value is not None})
    logs.configure(level=settings.log_level)
    raise typer.Exit(_serve(settings, started=lambda url: console.print(f"serving on {url}")))


def _serve(
    settings: Settings,
    *,
    started: Callable[[str], None],
    identities: Identities = tuple,
    beside: composition.Work | None = None,
    means: Means | None = None,
) -> int:
    try:
        asyncio.run(composition.check(settings))
        if settings.workers == 1:
            return composition.serve(settings, identities=identities, beside=beside, means=means, started=started)
        return run_workers(
            partial(composition.work, settings=settings, identities=identities, beside=beside),
            count=settings.workers,
            host=settings.host,
            port=settings.port,
            drain_within=timedelta(seconds=settings.drain_seconds),
            started=started,
        )
    except composition.NotReady as error:
        fail(error)
    except OSError as error:
        fail(f"cannot listen on {settings.host}:{settings.port} ({error.strerror}): set PORT to another port")


@commands.command("migrate")
def migrate_command() -> None:
    """Bring the database's schema up to date."""
    settings = load_settings(needs=["database_url"])

    async def work() -> str | None:
        async with database(settings) as engine:
            await migrate(engine)
            return await revision(engine)

    console.print(f"the database is at revision {run(work())}")


@commands.command()
def token(
    user: Annotated[str, typer.Option(help="Whom the token names.")],
    scope: Annotated[list[Scope] | None, typer.Option(help="Repeat for several; read if left out.")] = None,
    hours: Annotated[float, typer.Option(min=0.001, help="How long it counts.")] = 24,
) -> None:
    """Print a bearer token signed with AUTH_SECRET."""
    settings = load_settings(needs=["auth_secret"])
    try:
        tokens = _signer(settings)
        print(tokens.issue(user=user, scopes=frozenset(scope or [Scope.READ]), lasts=timedelta(hours=hours)))  # noqa: T201 - the token is the output
    except ValueError as error:
        fail(error)


def _signer(settings: Settings) -> Tokens:
    """Raises ValueError where nobody but an identity provider signs."""
    tokens = composition.token_reader(settings, Metrics())
    if not isinstance(tokens, Tokens):
        raise ValueError("with AUTH_JWKS_URL the identity provider signs tokens: get one there")  # noqa: TRY004 - the setting's value is wrong, no type is
    return tokens


@commands.command()
def doctor() -> None:
    """Look at configuration, versions, both servers, schema, log, stream, groups and rules; say what to do.

    Ends with status 1 if anything is wrong; what needs care alone does not change it.
    """
    settings = load_settings(needs=["database_url", "redis_url", "auth_secret"])
    logs.configure(level="ERROR")
    findings = run(composition.examine(settings))
    for one in findings:
        colour = {Grade.WELL: "green", Grade.CARE: "yellow", Grade.WRONG: "bold red"}[one.grade]
        console.print(f"[{colour}]{one.grade:5}[/] {escape(str(one))}", soft_wrap=True)
    raise typer.Exit(int(any(one.grade is Grade.WRONG for one in findings)))


@commands.command()
def tail(
    back: Annotated[int, typer.Option("-n", "--back", min=0, max=100_000, help="Begin with so many of the last.")] = 10,
    type_: Annotated[list[ActivityType] | None, typer.Option("--type", help="Only these; repeat for several.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Follow the log, as a server's stream shows it, until Ctrl-C."""
    settings = load_settings(needs=["database_url", "redis_url"])
    settings = settings.model_copy(update={"ring_size": max(10, back)})
    logs.configure(level="WARNING")
    chosen = ActivityFilter(types=frozenset(type_ or ()))
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        run(_follow(settings, chosen, back=back, show=shown_as_json if as_json else shown))


async def _follow(
    settings: Settings, chosen: ActivityFilter, *, back: int, show: Callable[[Entry[Activity]], str]
) -> None:
    async with composition.idle_floor(settings) as floor, aclosing(follow(floor.tail, back=back)) as entries:
        async for entry in entries:
            if chosen.matches(entry.item):
                print(show(entry), flush=True)  # noqa: T201 - what was asked for


@importing.command("hansard")
def import_hansard(source: Source, replay: Speed = None) -> None:
    """Import a sitting of the House of Commons from its Hansard XML: one activity for each intervention."""
    _import(source, hansard.read, speed=replay)


@importing.command("jsonl")
def import_jsonl(source: Source, replay: Speed = None) -> None:
    """Import JSON lines; docs/import-format.md describes them."""
    _import(source, jsonl.read, speed=replay)


def _import(
    source: str,
    read: Callable[[bytes], tuple[list[ActivityRecord], list[ImportProblem]]],
    *,
    speed: float | None,
) -> None:
    settings = load_settings(needs=["database_url"])
    try:
        records, problems = read(fetch(source))
    except ImportRefused as error:
        fail(error)
    with _progress() as progress:
        task = progress.add_task("importing", total=len(records))

        async def work() -> str:
            async with database(settings) as engine:
                return await bring_in(engine, records, speed=speed, progress=partial(progress.advance, task))

        outcome = run(work())
    for problem in problems[:20]:
        console.print(f"skipped {problem.where}: {problem.what}")
    console.print(f"{len(records)} read, {outcome}, {len(problems)} skipped", soft_wrap=True)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


@dead_letters.command("list")
def list_dead_letters(
    first: Annotated[int, typer.Option(min=1, max=1_000, help="How many, newest first.")] = 50,
    state: Annotated[LetterState | None, typer.Option(help="Only these.")] = LetterState.DEAD,
    all_states: Annotated[bool, typer.Option("--all", help="Redriven and discarded ones too.")] = False,
) -> None:
    """Show activities that could not be delivered: for whom, why, and how often it was tried."""

    async def work(settlements: Settlements) -> LettersPage:
        return await settlements.page(first=first, before=None, state=None if all_states else state)

    page = _with_settlements(work)
    table = Table("ID", "state", "cursor", "activity", "subscriber", "attempts", "last tried", "error")
    for stored in page.letters:
        table.add_row(*map(escape, in_columns(stored)))
    Console(highlight=False).print(table if page.letters else "no dead letters")
    if page.has_next:
        console.print(f"there are more: --first {first * 2}")


@dead_letters.command("redrive")
def redrive_dead_letters(
    ids: LetterIds,
) -> None:
    """Deliver dead letters after all: at once to devices that are connected, else when they come back."""
    _settle(ids, "redriven", lambda settlements, letter_id: settlements.redrive(letter_id))


@dead_letters.command("discard")
def discard_dead_letters(
    ids: LetterIds,
) -> None:
    """Leave dead letters undelivered for good. The activities stay readable in the feed."""
    _settle(ids, "discarded", lambda settlements, letter_id: settlements.discard(letter_id))


def _settle(
    ids: Sequence[int],
    done: str,
    settle: Callable[[Settlements, int], Coroutine[Any, Any, StoredLetter | LetterProblem]],
) -> None:
    async def work(settlements: Settlements) -> list[StoredLetter | LetterProblem]:
        return [await settle(settlements, letter_id) for letter_id in ids]

    problems = 0
    for letter_id, outcome in zip(ids, _with_settlements(work), strict=True):
        problems += isinstance(outcome, LetterProblem)
        console.print(outcome.message if isinstance(outcome, LetterProblem) else f"{letter_id} {done}")
    raise typer.Exit(int(problems > 0))


def _with_settlements(work: Callable[[Settlements], Coroutine[Any, Any, T]]) -> T:
    settings = load_settings(needs=["database_url", "redis_url"])

    async def run_it() -> T:
        async with composition.settlements(settings) as settlements:
            return await work(settlements)

    return run(run_it())


@commands.command()
def demo() -> None:
    """Run everything on servers of our own: PostgreSQL, Valkey, a made-up parliament, the API and its explorer."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until the server takes over, SIGTERM is an orderly end too
    given = _given_settings()
    if given.auth_jwks_url:
        fail("the demo signs tokens of its own: unset AUTH_JWKS_URL")
    logs.configure(level=given.log_level)
    try:
        with EmbeddedServers(
            state_dir=given.state_dir,
            report=_say,
            given_database_url=given.database_url,
            given_redis_url=given.redis_url,
        ) as servers:
            secret = given.auth_secret.get_secret_value() if given.auth_secret else life.kept_secret(given.state_dir)
            note(given.state_dir, {"auth_secret": secret})
            settings = given.model_copy(
                update={
                    "database_url": servers.database_url,
                    "redis_url": servers.redis_url,
                    "auth_secret": SecretStr(secret),
                    **{name: span for name, span in DEMO_RHYTHM.items() if name not in given.model_fields_set},
                }
            )
            run(_prepare(settings))
            status = _serve(
                settings,
                identities=partial(_identities, settings),
                started=lambda url: _welcome(url, settings),
                beside=None if settings.demo_activity == "off" else partial(_keep_lively, settings),
                means=_means(settings, servers),
            )
            _say("stopping the servers")
    except (StateInUse, ServerMissing, StartFailed) as error:
        fail(error)
    except KeyboardInterrupt:
        status = 0
    raise typer.Exit(status)


def _say(what: str) -> None:
    console.print(f"[dim]{datetime.now(UTC).astimezone():%H:%M:%S}[/] {what}", soft_wrap=True)


async def _prepare(settings: Settings) -> None:
    _say("bringing the schema up to date")
    async with database(settings) as engine:
        await migrate(engine)
        with _progress() as progress:
            task = progress.add_task("a made-up parliament", total=None, visible=False)
            await life.fill(
                engine,
                started=lambda total: progress.update(task, total=total, visible=True),
                progress=lambda count: progress.advance(task, count),
            )


async def _keep_lively(settings: Settings) -> None:
    async with database(settings) as engine:
        await life.go_on(engine)


def _means(settings: Settings, servers: EmbeddedServers) -> Means | None:
    """What faults are made with; None where others than this machine's users could order them, or one process of many
    would be the only one to know of them.
    """
    if settings.workers > 1 or not is_loopback(settings.host):
        return None

    async def flood(count: int) -> None:
        async with database(settings) as engine:
            await life.flood(engine, count)

    return Means(redis=servers if servers.own_redis else None, flood=flood)


def _identities(settings: Settings) -> list[Identity]:
    people = [
        ("alice", "Alice", "reads the feed", [Scope.READ]),
        ("bob", "Bob", "another reader, to see that marks are one's own", [Scope.READ]),
        ("press-office", "Press office", "reads and publishes", [Scope.READ, Scope.PUBLISH]),
        ("operator", "Operator", "reads, publishes and operates", list(Scope)),
    ]
    tokens = _signer(settings)
    # No two tokens are alike: who is given a new one has a new one.
    lasts = timedelta(days=30, seconds=random.randrange(86_400))  # noqa: S311 - not secrecy
    return [
        Identity(name, about, tokens.issue(user=user, scopes=frozenset(scopes), lasts=lasts))
        for user, name, about, scopes in people
    ]


WELCOME = """
[bold]Division Bell is ringing.[/]  Stop it with Ctrl-C.

  the feed       {url}/
  API explorer   {url}/graphql
  dead letters   {url}/ops/
  health         {url}/health/sse
  metrics        {url}/metrics

  In another terminal, in this folder:
    export TOKEN=$(.venv/bin/python -m cli token --user alice --scope read)
    curl -N {url}/graphql -H "Authorization: Bearer $TOKEN" \\
      -H 'Content-Type: application/json' -H 'Accept: text/event-stream' \\
      -d '{{"query":"subscription {{ activityAdded {{ cursor ... on ActivityAdded {{ activity {{ title }} }} }} }}"}}'
    .venv/bin/python -m cli import hansard FILE --replay 60
"""


def _welcome(url: str, settings: Settings) -> None:
    note(settings.state_dir, {"server_url": url})
    console.print(WELCOME.format(url=url), soft_wrap=True)


if __name__ == "__main__":
    commands(prog_name="python -m cli")
