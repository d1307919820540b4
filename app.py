"""Composition: every object of the server is made here, and every background task has its owner here."""

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Self

from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import STARTUP_FAILURE

from cache.reads import ReadBits
from cache.scripts import LUA
from cache.sweeper import Sweeper
from resolvers.activities import Activity, ActivityType, decode, topics, type_of
from resolvers.database import examination
from resolvers.database.engine import connect as connect_database
from resolvers.database.engine import known_revisions, misfit, schema_of
from resolvers.database.feed import JoinedFeed, StoredActivities
from resolvers.database.leadership import Leadership
from resolvers.database.letters import Letters
from resolvers.database.log import PostgresLog
from resolvers.database.positions import Positions
from resolvers.database.queries import Database
from resolvers.database.reads import ReadMarks
from resolvers.database.recent import Parliament, ViewedFeed
from resolvers.dead_letters import Settlements
from resolvers.events import ReadChange
from resolvers.feed import Feed
from resolvers.frames import Deliveries
from resolvers.gaps import Continuations
from resolvers.identity import Expected, Tokens, Verified, Viewer
from resolvers.live import LiveFeed, to_detail
from resolvers.monitoring import watch, watch_polls
from resolvers.rates import CONNECTS_OF_ADDRESS, MARKS, OPERATIONS, OPERATIONS_OF_ADDRESS
from resolvers.reading import Reading
from resolvers.recent import Recent
from resolvers.refresher import Refresher
from resolvers.signing_keys import SigningKeys
from resolvers.stream import StreamParts
from resolvers.updates import Updates
from schema.admission import Admission
from schema.authentication import Authentication
from schema.chaos import Chaos, Means
from schema.connection import USUAL, Bounds
from schema.console import Console
from schema.context import Context, Services
from schema.demo import chaos_routes, from_this_machine
from schema.documents import NONE, TrustedDocuments
from schema.entrance import Entrance
from schema.events import closing_notice, everybodys, to_object
from schema.http_metrics import HttpMetrics
from schema.limits import Limits as QueryLimits
from schema.origins import ALLOWED_HEADERS, EXPOSED_HEADERS, PREFLIGHT_LASTS, parse_origins, parse_proxies
from schema.pages import Explorer, FeedPage, Identities
from schema.probes import Readiness, probes
from schema.refusals import HttpRefusal
from schema.root import build_schema
from schema.safety import SafetyHeaders
from schema.serving import run_server
from schema.streams import OpenStreams
from schema.throttle import Throttle
from schema.view import GraphQLView
from schema.worker import Place, until_parent_dies
from settings import Settings
from streams.checkpoints import Checkpoints
from streams.connection import Client, EverywhereScript, Script, SharedScript, eviction_policy, in_slots
from streams.connection import connect as connect_redis
from streams.connections import Connections, Limits
from streams.dead_letters import DeadLetters
from streams.errors import StreamsUnavailable
from streams.examination import examine as examine_redis
from streams.fanout import Fanout
from streams.history import History
from streams.janitor import Janitor
from streams.keys import shard_of
from streams.ledger import Ledger
from streams.ledgers import Ledgers, Receiving
from streams.marker import RenderMarker, condemn_what_kills
from streams.pending import answering, read_pending
from streams.processes import Processes, process_name
from streams.publisher import Publisher
from streams.rates import Rates
from streams.sequencer import Sequencer
from streams.shared import Shared
from streams.signals import Signal, SignalKind, Signals
from streams.steps import Closed
from streams.subscribers import Subscribers
from streams.tail import Tail
from telemetry import logs
from telemetry.findings import Finding, rules, versions, well, wrong
from telemetry.health import HealthSampler
from telemetry.metrics import Metrics, process_metrics
from telemetry.shared import SharedMetrics
from telemetry.tasks import AGAIN_AFTER, end
from telemetry.tracing import OFF, Tracing, current, from_environment, valid

log = logging.getLogger("divisionbell.app")

HERE = Path(__file__).parent
BUILT = HERE / "client-example" / "dist"
CONSOLE = HERE / "client-example" / "src" / "ops"
GRAPHQL = "/graphql"
START_WITHIN = timedelta(seconds=30)
LAST_SPANS_WITHIN = timedelta(seconds=2)
DEMO_SPEED = 6
"""How much faster than elsewhere the demo's page gives up and tries again: nobody watches a demo for three minutes."""

Work = Callable[[], Awaitable[None]]


class NotReady(Exception):
    """The server cannot start; the message says what to do."""


@dataclass
class Server:
    """What `cli` runs: the application, what to await before it stops, and `stopping`, set when a task failed."""

    app: ASGIApp
    drain: Work
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    failures: list[Exception] = field(default_factory=list)
    bounds: Bounds = USUAL
    proxies: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Floor:
    """Everything below the schema. `tasks` are its background work, by name."""

    engine: AsyncEngine
    redis: Client
    database: Database
    metrics: Metrics
    tail: Tail[Activity]
    ledger: Receiving
    checkpoints: Checkpoints
    connections: Connections
    processes: Processes
    dead_letters: DeadLetters
    marker: RenderMarker
    health: HealthSampler
    services: Services
    tasks: Mapping[str, Work]


def build_floor(
    settings: Settings, *, database_url: str, redis_url: str, metrics: Metrics, tracing: Tracing = OFF
) -> Floor:
    """Make everything below the schema. Connects to nothing yet. Raises ValueError for a URL that is none."""
    metrics.flow.expect(ActivityType)
    engine = connect_database(database_url, pool_size=settings.database_pool)
    redis, shards = connect_redis(redis_url), settings.stream_shards
    database = Database(engine=engine, metrics=metrics)
    log_of_record = PostgresLog(database=database)
    letters = Letters(database=database)
    process = process_name()
    processes = Processes(redis=redis, name=process, shards=shards)
    dead_letters = DeadLetters(redis=redis, store=letters, flow=metrics.flow, now=time.monotonic, shards=shards)
    tail = Tail(
        redis=redis,
        log_of_record=log_of_record,
        decode=decode,
        metrics=metrics,
        dead_letters=dead_letters,
        shard=shard_of(process, shards),
        shards=shards,
        ring_size=settings.ring_size,
        tracing=tracing,
    )
    checkpoints = Checkpoints(store=Positions(database=database), metrics=metrics)
    ledgers = [
        Ledger(redis=redis, process=process, checkpoints=checkpoints, metrics=metrics, shard=shard)
        for shard in range(shards)
    ]
    shared = Shared(
        tail=tail,
        history=History(tail=tail, redis=redis, log_of_record=log_of_record, decode=decode),
        ledger=ledgers[0] if shards == 1 else Ledgers(ledgers),
        subscribers=Subscribers(redis=redis, process=process, checkpoints=checkpoints, shards=shards),
        processes=processes,
        dead_letters=dead_letters,
        flow=metrics.flow,
        most_attempts=settings.max_delivery_attempts,
        type_of=type_of,
    )
    health = watch(
        answering=lambda: answering(redis, shards=shards),
        shards=shards,
        pel=lambda: read_pending(redis, shards=shards),
        lag=log_of_record.lag,
        shared=shared,
        metrics=metrics,
    )
    continuations = Continuations(tail=tail, log_of_record=log_of_record, most_replayed=settings.replay_cap)
    marker = RenderMarker(settings.state_dir)
    deliveries = Deliveries(metrics=metrics, health=health, dead_letters=dead_letters)
    fanout = Fanout(
        tail=tail,
        ledger=shared.ledger,
        flow=metrics.flow,
        poison=dead_letters.poison,
        topics=topics,
        observer=deliveries,
        give_up=deliveries.give_up,
        type_of=type_of,
        tracing=tracing,
        bookmark_every=settings.bookmark_every,
    )
    recent = Recent(source=tail, parliament=Parliament(database=database), metrics=metrics, size=settings.feed_window)
    marks, viewed = ReadMarks(database=database), ViewedFeed(database=database, known=recent.known)
    bits = ReadBits(load=partial(load_script, redis), scattered=in_slots(redis))

    async def told(user: str, change: ReadChange) -> None:
        try:
            await signals[shard_of(user, shards)].say(Signal(SignalKind.READ, user, to_detail(change)))
        except StreamsUnavailable:
            live.tell_read(user, change)  # the streams of this process at least

    reading = Reading(marks=marks, bits=bits, metrics=metrics, told=told, clock=time.monotonic)
    parts = StreamParts(
        shared=shared,
        fanout=fanout,
        health=health,
        metrics=metrics,
        marker=marker,
        longest=settings.max_stream_age,
        bookmark_every=settings.bookmark_every,
        read_state=lambda user: reading.glance(user, head=recent.window.high),
    )
    live = LiveFeed(parts=parts, continuations=continuations)
    health.streams = live.open_streams
    signals = [Signals(redis=redis, heard=live.heard, shard=shard) for shard in range(shards)]
    connections = Connections(redis=redis, process=process, limits=_limits(settings))
    publisher = Publisher(
        redis=redis,
        log_of_record=log_of_record,
        shards=shards,
        retention=settings.stream_retention,
        longest=settings.stream_max_length,
        tracing=tracing,
    )
    sequencer = Sequencer(
        log_of_record=log_of_record,
        publisher=publisher,
        leadership=Leadership(url=database_url, role="sequencer", notify_on="activities_inserted"),
        metrics=metrics,
    )
    janitor = Janitor(
        redis=redis,
        publisher=publisher,
        dead_letters=dead_letters,
        letters=letters,
        leadership=Leadership(url=database_url, role="janitor"),
        metrics=metrics,
        shards=shards,
    )
    rates = Rates(
        redis=redis,
        metrics=metrics,
        shards=shards,
        most={
            OPERATIONS: settings.max_operations_per_minute,
            OPERATIONS_OF_ADDRESS: settings.max_operations_per_minute_per_address,
            CONNECTS_OF_ADDRESS: settings.max_connects_per_minute_per_address,
            MARKS: settings.max_marks_per_minute,
        },
    )
    services = Services(
        feed=Feed(
            recent=recent,
            reading=reading,
            viewed=viewed,
            joined=JoinedFeed(database=database, known=recent.known),
            metrics=metrics,
        ),
        stored=StoredActivities(database=database),
        reading=reading,
        recent=recent,
        settlements=Settlements(letters=letters, dead_letters=dead_letters),
        updates=Updates(tail=tail, history=shared.history, continuations=continuations, poison=dead_letters.poison),
        live=live,
        health=health,
        log_of_record=log_of_record,
        pollers=watch_polls(health, metrics),
        rates=rates,
    )
    tasks: dict[str, Work] = {
        "tail": tail.run,
        "fanout": fanout.run,
        "lifetimes": live.run,
        **{_of_shard("ledger", k): ledger.run for k, ledger in enumerate(ledgers)},
        "checkpoints": checkpoints.run,
        "connections": connections.run,
        "heartbeat": processes.run,
        **{_of_shard("signals", k): one.run for k, one in enumerate(signals)},
        "rates": rates.run,
        "sequencer": sequencer.run,
        "janitor": janitor.run,
        "health": health.run,
        "window": recent.run,
        "read-marks": Sweeper(
            bits=bits,
            versions=marks,
            leadership=Leadership(url=database_url, role="read-marks"),
            metrics=metrics,
        ).run,
        "view": Refresher(
            view=viewed,
            leadership=Leadership(url=database_url, role="view"),
            metrics=metrics,
            every=settings.view_refresh,
        ).run,
    }
    return Floor(
        engine=engine,
        redis=redis,
        database=database,
        metrics=metrics,
        tail=tail,
        ledger=shared.ledger,
        checkpoints=checkpoints,
        connections=connections,
        processes=processes,
        dead_letters=dead_letters,
        marker=marker,
        health=health,
        services=services,
        tasks=tasks,
    )


def load_script(redis: Client, name: str) -> SharedScript | EverywhereScript:
    """A script of the read marks."""
    script = Script(redis, name, folder=LUA)
    return EverywhereScript(script) if name == "identity" else SharedScript(script, name=f"read-marks-{name}")


def _of_shard(task: str, shard: int) -> str:
    return f"{task}-{shard}" if shard else task


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """`/graphql` past Starlette's router and middlewares, which the view does not need and every stream would pay."""

    view: ASGIApp
    pages: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Anything but a request for the view is the pages'."""
        wanted = self.view if scope["type"] == "http" and scope["path"] == GRAPHQL else self.pages
        await wanted(scope, receive, send)


def token_reader(settings: Settings, metrics: Metrics) -> Tokens | SigningKeys:
    """What reads tokens. Raises ValueError, with a sentence that says what to set."""
    expected = Expected(
        issuer=settings.auth_issuer,
        audience=settings.auth_audience,
        leeway=settings.auth_leeway,
        scope_claim=settings.auth_scope_claim,
    )
    if settings.auth_secret and settings.auth_jwks_url:
        raise ValueError("Set AUTH_SECRET or AUTH_JWKS_URL, not both: one of the two could sign for anybody.")
    if settings.auth_jwks_url:
        url, algorithm = settings.auth_jwks_url, settings.auth_algorithm
        return SigningKeys(url, algorithm=algorithm, expected=expected, metrics=metrics)
    if settings.auth_secret:
        return Tokens(secret=settings.auth_secret.get_secret_value(), expected=expected)
    raise ValueError(
        "Set AUTH_SECRET (tokens signed with HS256), or AUTH_JWKS_URL, AUTH_ISSUER and AUTH_AUDIENCE (tokens of an"
        " identity provider)."
    )


@dataclass(frozen=True, slots=True)
class Door:
    """What settings say about who comes in how, checked before anything starts."""

    origins: Sequence[str]
    proxies: Sequence[str]
    documents: TrustedDocuments

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Raises ValueError, with a sentence that says what to set."""
        if settings.trusted_documents_only and settings.trusted_documents is None:
            raise ValueError("TRUSTED_DOCUMENTS_ONLY needs TRUSTED_DOCUMENTS, the file with the documents.")
        path, only = settings.trusted_documents, settings.trusted_documents_only
        return cls(
            origins=parse_origins(settings.cors_origins),
            proxies=parse_proxies(settings.trusted_proxies),
            documents=TrustedDocuments.load(path, only=only) if path else NONE,
        )

    def cors(self, app: ASGIApp, *, cookies: bool) -> ASGIApp:
        """`app` behind CORS, if any other origin may use it."""
        if not self.origins:
            return app
        return CORSMiddleware(
            app,
            allow_origins=self.origins,
            allow_methods=["GET", "POST"],
            allow_headers=ALLOWED_HEADERS,
            allow_credentials=cookies,
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_LASTS,
        )


def _limits(settings: Settings) -> Limits:
    return Limits(
        per_user=settings.max_streams_per_user,
        all_users=settings.max_streams_all,
        connects=settings.max_connects_per_minute,
        window=timedelta(minutes=1),
    )


def build(
    settings: Settings,
    *,
    identities: Identities = tuple,
    beside: Work | None = None,
    place: Place | None = None,
    means: Means | None = None,
) -> Server:
    """Compose the server. `beside` is one more background task, such as the demo's activity; `place` a worker's.

    `means`: what faults are made with, on a server that lets its visitors order them.
    Raises NotReady for settings that are missing or cannot be.
    """
    if not (settings.database_url and settings.redis_url):
        raise NotReady("Set DATABASE_URL and REDIS_URL; or run `make demo`, which brings servers of its own.")
    metrics = Metrics()
    process_metrics(metrics.registry)
    try:
        tokens = token_reader(settings, metrics)
        door = Door.of(settings)
        tracing = from_environment(os.environ, instance=f"{socket.gethostname()}:{os.getpid()}")
        floor = build_floor(
            settings,
            database_url=settings.database_url,
            redis_url=settings.redis_url,
            metrics=metrics,
            tracing=tracing,
        )
    except ValueError as error:
        raise NotReady(str(error)) from error
    streams = OpenStreams(heartbeat=settings.heartbeat)
    readiness = Readiness(health=floor.health, draining=streams.draining)
    more = {} if beside is None else {"beside": beside}
    expire = partial(floor.services.live.close_streams_of, reason=Closed.EXPIRED)
    chaos = Chaos(means, expire=expire) if means is not None else None
    if chaos is not None:
        more |= {"chaos": chaos.run}
    if isinstance(tokens, SigningKeys):
        more |= {"signing keys": tokens.run}
        readiness.can_check_tokens = tokens.known
    shown = metrics.registry
    if place is not None:
        shared = SharedMetrics(metrics.registry, directory=place.metrics, name=str(place.number))
        shown = shared.registry
        more |= {"shared metrics": shared.run, "parent": partial(until_parent_dies, place)}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with running(floor, readiness=readiness, more=more, failed=failed):
            yield
        await _close(tracing)

    throttle = Throttle(floor.services.rates)
    authentication = Authentication(
        read=Verified(tokens.read).read, failed=throttle.stranger, cookie=settings.auth_cookie, origins=door.origins
    )
    admission = Admission(
        connections=floor.connections,
        metrics=metrics,
        per_process=settings.max_streams,
        per_user=settings.max_streams_per_user,
        per_second=settings.max_connects_per_second,
    )
    explorer = Explorer(BUILT / "explorer", identities)
    view = _view(
        floor,
        settings=settings,
        entrance=Entrance(authentication=authentication, throttle=throttle, admission=admission, chaos=chaos),
        streams=streams,
        explorer=explorer,
        door=door,
        metrics=metrics,
        tracing=tracing,
        chaos=chaos,
    )
    routes = [*_pages(explorer, identities, chaos, authentication), *probes(readiness=readiness, registry=shown)]
    pages = SafetyHeaders(Starlette(routes=routes, lifespan=lifespan))
    app = HttpMetrics(door.cors(FrontDoor(view, pages), cookies=settings.auth_cookie is not None), metrics=metrics)

    async def drain() -> None:
        within = timedelta(seconds=settings.drain_seconds * 0.7)
        streams.draining.set()
        await floor.services.live.close_all(Closed.DRAINING, within=within / 2)
        await streams.drain(within / 2)

    bounds = Bounds(
        head_within=settings.headers_within,
        body_within=settings.body_within,
        cut=lambda reason: metrics.connections_cut_total.labels(reason=reason).inc(),
    )
    server = Server(app, drain, bounds=bounds, proxies=door.proxies)

    def failed(error: Exception) -> None:
        server.failures.append(error)
        server.stopping.set()

    return server


def serve(
    settings: Settings,
    *,
    identities: Identities = tuple,
    beside: Work | None = None,
    place: Place | None = None,
    means: Means | None = None,
    started: Callable[[str], None],
) -> int:
    """Compose and serve until the end; return the exit status. Raises NotReady, or OSError if it cannot listen."""
    server = build(settings, identities=identities, beside=beside, place=place, means=means)
    status = run_server(
        server.app,
        host=settings.host,
        port=settings.port,
        drain=server.drain,
        drain_within=timedelta(seconds=settings.drain_seconds),
        stopping=server.stopping,
        started=started,
        listener=place.listener() if place else None,
        bounds=server.bounds,
        proxies=server.proxies,
    )
    return status or int(bool(server.failures))


def work(
    place: Place, ready: Callable[[], None], *, settings: Settings, identities: Identities, beside: Work | None
) -> int:
    """Serve as one of several processes; only the first has what is `beside`. Returns the exit status."""
    logs.configure(level=settings.log_level, worker=place.number)
    first = beside if place.number == 0 else None
    try:
        return serve(settings, identities=identities, beside=first, place=place, started=lambda _: ready())
    except (NotReady, OSError) as error:
        log.error("cannot serve", extra={"error": str(error)})
        return STARTUP_FAILURE


def _pages(
    explorer: Explorer, identities: Identities, chaos: Chaos | None, authentication: Authentication
) -> list[BaseRoute]:
    front = FeedPage(BUILT / "page", identities, partial(_demo, chaos))
    console = Console(CONSOLE, config=explorer.config)
    ordering = chaos_routes(chaos, authenticate=authentication) if chaos is not None else []
    return [*front.routes(), *explorer.routes(), *console.routes(), *ordering]


def _demo(chaos: Chaos | None, request: Request) -> Mapping[str, Any]:
    """What the feed's page may know: faults are for visitors at this machine only."""
    if chaos is None or not from_this_machine(request):
        return {}
    return {"speed": DEMO_SPEED, "faults": [fault.value for fault in chaos.available()]}


def _view(
    floor: Floor,
    *,
    settings: Settings,
    entrance: Entrance,
    streams: OpenStreams,
    explorer: Explorer,
    door: Door,
    metrics: Metrics,
    tracing: Tracing,
    chaos: Chaos | None,
) -> GraphQLView[Viewer, Context]:
    async def make_context(request: Request, viewer: Viewer) -> Context:
        if chaos is not None:
            chaos.watch(request.scope, viewer)
        return Context(
            viewer=viewer,
            services=floor.services,
            traceparent=span.traceparent if (span := current()) else valid(request.headers.get("traceparent")),
            last_event_id=request.headers.get("last-event-id"),
        )

    def closing(refusal: HttpRefusal) -> Mapping[str, Any]:
        return {"data": {"activityAdded": closing_notice(floor.health.now.advice, refusal.retry_after)}}

    limits = query_limits(settings)
    return GraphQLView(
        build_schema(metrics, limits=limits, kept_values=settings.kept_values),
        authenticate=entrance.authenticate,
        make_context=make_context,
        explorer=explorer.page,
        admit=entrance.admit,
        streams=streams,
        closing=closing,
        share=everybodys,
        tracing=tracing,
        present=to_object,
        kept_frames=settings.kept_frames,
        body_limit=settings.max_body_bytes,
        documents=door.documents,
        longest=settings.operation_within,
        refused=lambda code: metrics.refusals_total.labels(code=code).inc(),
    )


def query_limits(settings: Settings) -> QueryLimits:
    """How large an operation may be."""
    return QueryLimits(
        tokens=settings.max_query_tokens,
        fields=settings.max_query_fields,
        aliases=settings.max_query_aliases,
        depth=settings.max_query_depth,
        cost=settings.max_query_cost,
        introspection=settings.introspection,
    )


async def _close(tracing: Tracing) -> None:
    """Send the last spans; a collector that is away is not waited for."""
    closing = threading.Thread(target=tracing.close, name="last spans", daemon=True)
    closing.start()
    await asyncio.to_thread(closing.join, LAST_SPANS_WITHIN.total_seconds())


@asynccontextmanager
async def running(
    floor: Floor, *, readiness: Readiness, more: Mapping[str, Work], failed: Callable[[Exception], None]
) -> AsyncIterator[None]:
    """Run the background tasks beside the block; afterwards write the last receipts and close all connections.

    Redis may be away: clients then poll. Raises TimeoutError if PostgreSQL does not let the ring be filled.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(floor.engine.dispose)
        stack.push_async_callback(floor.redis.aclose)
        with contextlib.suppress(Exception):  # Redis is away; clients poll until it is back
            readiness.eviction_policy = await eviction_policy(floor.redis)
        stack.push_async_callback(_last_words, floor)
        floor.marker.open()
        stack.callback(floor.marker.close)
        with contextlib.suppress(StreamsUnavailable):
            await floor.processes.beat()
        await floor.dead_letters.load()
        with contextlib.suppress(StreamsUnavailable):
            await condemn_what_kills(floor.marker, redis=floor.redis, dead_letters=floor.dead_letters)
        tasks = [
            asyncio.create_task(run_or_stop(name, work, failed), name=name)
            for name, work in {**floor.tasks, **more}.items()
        ]
        stack.push_async_callback(end, tasks, again_after=5 * AGAIN_AFTER)
        async with asyncio.timeout(START_WITHIN.total_seconds()):
            await floor.tail.ready.wait()
        await floor.health.sample()
        yield


async def run_or_stop(name: str, work: Callable[[], Awaitable[None]], failed: Callable[[Exception], None]) -> None:
    """Run `work` until cancelled; hand any failure to `failed`, which ends the server.

    An end that nobody asked for is a failure too, a cancellation that leaked out of a library included.
    """
    try:
        await work()
    except Exception as error:
        log.exception("background task failed", extra={"task": name})
        failed(error)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        log.error("background task was cancelled by nobody", extra={"task": name})
        failed(RuntimeError(f"{name} was cancelled by nobody"))


async def _last_words(floor: Floor) -> None:
    """Write down what only this process knows. What fails costs duplicates, or the janitor a little work."""
    for what, work in {
        "receipts": floor.ledger.flush,
        "positions": floor.checkpoints.save,
        "connections": floor.connections.resign,
        "sign of life": floor.processes.resign,
    }.items():
        try:
            async with asyncio.timeout(2):
                await work()
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends
            log.warning("not written at the end", extra={"what": what, "error": repr(error)})


@asynccontextmanager
async def idle_floor(settings: Settings) -> AsyncIterator[Floor]:
    """The floor for a command, without background work. Raises ValueError as `build_floor`."""
    floor = build_floor(
        settings, database_url=settings.database_url or "", redis_url=settings.redis_url or "", metrics=Metrics()
    )
    try:
        yield floor
    finally:
        await floor.redis.aclose()
        await floor.engine.dispose()


@asynccontextmanager
async def settlements(settings: Settings) -> AsyncIterator[Settlements]:
    """What an operator's command needs of the floor. Raises ValueError as `build_floor`."""
    async with idle_floor(settings) as floor:
        yield floor.services.settlements


def most_connections(settings: Settings) -> int:
    """Of PostgreSQL: each worker has a pool that may double, and one for each role it leads or waits for."""
    return settings.workers * (2 * settings.database_pool + 2)


def configured(settings: Settings) -> Iterator[Finding]:
    """What can be said of the settings without asking anybody."""
    try:
        ours = isinstance(token_reader(settings, Metrics()), Tokens)
        yield well("tokens", "signed with AUTH_SECRET" if ours else "signed by the keys at AUTH_JWKS_URL")
    except ValueError as error:
        yield wrong("tokens", str(error), "set what the sentence names")
    try:
        Door.of(settings)
        yield well("origins and proxies", "readable")
    except ValueError as error:
        yield wrong("origins and proxies", str(error), "correct what the sentence names")
    try:
        tracing = from_environment(os.environ, instance="doctor")
        yield well("traces", "sent as OTEL_* say" if tracing.on else "off: no OTEL_* variable asks for them")
    except ValueError as error:
        yield wrong("traces", str(error), "correct the variable, or unset it")


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything the server needs. Raises ValueError for URLs that are none."""
    engine = connect_database(settings.database_url or "", pool_size=2, application_name="divisionbell-doctor")
    redis = connect_redis(settings.redis_url or "")
    try:
        examined = await examination.examine(engine, connections=most_connections(settings))
        head = partial(examination.head, engine) if examined.has_log else None
        of_redis = await examine_redis(redis, head=head, shards=settings.stream_shards)
    finally:
        await redis.aclose()
        await engine.dispose()
    return [
        *versions(HERE / "requirements.lock"),
        *configured(settings),
        *examined.findings,
        *of_redis,
        *rules(HERE / "telemetry" / "prometheus"),
    ]


async def check(settings: Settings) -> None:
    """Raise NotReady when PostgreSQL does not answer, or this code cannot run on its schema."""
    try:
        engine = connect_database(settings.database_url or "", pool_size=1)
        try:
            schema = await schema_of(engine)
        finally:
            await engine.dispose()
    except Exception as error:
        raise NotReady(f"PostgreSQL does not answer at DATABASE_URL: {error}") from error
    if problem := misfit(schema, known_revisions()):
        found, remedy = problem
        raise NotReady(f"The database is {found}: {remedy}.")
