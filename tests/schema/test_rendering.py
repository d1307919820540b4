"""I6 and render-once: what is shared is the same for everybody, and nothing of a viewer can get into it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import strawberry
from graphql import GraphQLInterfaceType, GraphQLNamedType, GraphQLObjectType, get_named_type
from strawberry.types import Info
from strawberry.types.execution import PreExecutionError

from resolvers import events as domain
from resolvers.activities import Activity, ActivityId, ActivityType, Bill, BillId, Mp, MpId
from resolvers.events import Unshowable
from schema.context import EverybodysContext, ForEverybody
from schema.events import everybodys, to_object
from schema.executable import ExecutableSchema
from schema.opening import Subscriptions
from schema.rendering import FrameCache, Rendering
from schema.requests import Operation
from schema.root import build_schema
from streams.cursor import Cursor
from telemetry.advice import Transport, advise

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
TOMORROW = NOW + timedelta(days=1)
ACTIVITY = Activity(
    id=ActivityId(7),
    n=7,
    type=ActivityType.VOTE,
    title="Division 41",
    summary=None,
    url=None,
    occurred_at=NOW,
    created_at=NOW,
    metadata={"ayes": 302},
    mp=Mp(MpId(1), "Ada Byron", None, "Ealing", 1),
    bill=Bill(BillId(2), "C-7", "An Act", 1),
)
ADDED = domain.Added(Cursor(7), ACTIVITY, NOW, 1)
EVENTS: list[domain.Event] = [
    ADDED,
    domain.Gap(Cursor(9), Cursor(7), Cursor(9), 2, domain.GapReason.TRIMMED, domain.GapRecovery.NONE),
    domain.Healed(Cursor(9), Cursor(6), Cursor(7), (ACTIVITY,)),
    domain.Notice(Cursor(9), domain.NoticeKind.BOOKMARK, Cursor(9), NOW, advise(mode=Transport.SSE)),
    domain.ReadChanged(Cursor(9), domain.ReadChange((ACTIVITY.id,), domain.ReadState(3, 4))),
]


class Asking:
    """A subscriber: `viewer` must not get into anything that is shared."""

    def __init__(self, viewer: str) -> None:
        self.viewer = viewer

    def without_viewer(self) -> EverybodysContext:
        """See `SubscriberContext`."""
        return EverybodysContext()


def stream(of: list[Any]) -> Any:
    """A resolver that yields these, whoever asks."""

    async def resolve() -> AsyncIterator[Any]:
        for one in of:
            yield one

    return resolve


async def rendering(schema: Subscriptions, query: str, viewer: str = "ada", **variables: Any) -> Rendering:
    """How the operation of a viewer is rendered."""
    opened = await schema.open(Operation(query, None, variables), Asking(viewer))
    assert not isinstance(opened, PreExecutionError), opened.errors
    return opened.rendering


@pytest.fixture
def schema(monkeypatch: pytest.MonkeyPatch) -> Subscriptions:
    """Subscriptions of our own schema, which open without a server behind them."""
    schema = build_schema()
    root = schema._schema.subscription_type
    assert root is not None
    monkeypatch.setattr(root.fields["activityAdded"], "subscribe", lambda *_, **__: stream([])())
    return Subscriptions(schema, share=everybodys, present=to_object)


def whole_selection(type_: GraphQLNamedType, within: tuple[str, ...] = ()) -> str:
    """Every field of a type, and of those it leads to; its own under names that no other event type uses."""
    assert isinstance(type_, GraphQLObjectType | GraphQLInterfaceType)
    parts = ["__typename"]
    for name, field in type_.fields.items():
        of = get_named_type(field.type)
        shown = name if within else f"{name}Of{type_.name}: {name}"
        if not isinstance(of, GraphQLObjectType | GraphQLInterfaceType):
            parts.append(shown)
        elif of.name not in within:
            parts.append(f"{shown} {{ {whole_selection(of, (*within, type_.name, of.name))} }}")
    return " ".join(parts)


async def test_every_field_of_every_event_is_rendered_without_a_viewer(schema: Subscriptions) -> None:
    """By construction: a field that touches the viewer makes this fail, as it would dead-letter the event."""
    types = schema.schema._schema.get_possible_types(schema.schema._schema.type_map["FeedEvent"])  # type: ignore[arg-type]
    parts = [f"... on {one.name} {{ {whole_selection(one)} }}" for one in types]
    shared = await rendering(schema, f"subscription {{ activityAdded {{ cursor {' '.join(parts)} }} }}")

    for event in EVENTS:
        data = ForEverybody(shared, chunked=False)(event)
        assert b'"errors"' not in data
        assert b"id: %s\n" % str(event.cursor).encode() in data


async def test_shared_execution_that_touches_the_viewer_fails_instead_of_leaking() -> None:
    """I6: the context of a shared execution has no viewer; who looks for one gets an error, and nobody the bytes."""

    @strawberry.type
    class Query:
        hello: str = "world"

    @strawberry.type
    class Secret:
        @strawberry.field
        def whose(self, info: Info[Any, None]) -> str:
            return str(info.context.viewer)

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def secrets(self) -> AsyncIterator[Secret]:
            yield Secret()

    leaky = Subscriptions(ExecutableSchema(query=Query, subscription=Subscription))
    shared = await rendering(leaky, "subscription { secrets { whose } }", "ada")

    frame, error = shared.frame(Secret(), "1-0")

    assert b"ada" not in frame
    assert isinstance(error, RuntimeError)
    assert "must not depend on a viewer" in str(error)


async def test_equal_operations_share_a_rendering_wherever_they_start(schema: Subscriptions) -> None:
    """Cursor, device and filter are everybody's own; they say what a stream gets, not how it looks."""
    query = """subscription ($since: Cursor, $filter: ActivityFilter, $subscriber: ID) {
      activityAdded(since: $since, filter: $filter, subscriber: $subscriber) { cursor } }"""

    one = await rendering(schema, query, "ada", since="5-0", subscriber="phone")
    other = await rendering(schema, query, "bob", since=None, subscriber="tablet", filter={"types": ["VOTE"]})

    assert one is other
    assert b"ada" not in repr(one._executor.variable_values).encode()
    assert one._executor.variable_values.coerced == {}


@pytest.mark.parametrize(
    "query",
    [
        "subscription ($x: Boolean! = false) { activityAdded { cursor @skip(if: $x) __typename } }",
        "subscription ($x: Boolean! = false) { ...Whole } fragment Whole on Subscription"
        " { activityAdded { __typename ... @include(if: $x) { cursor } } }",
        "subscription ($x: Boolean! = false) { activityAdded { ...Part __typename } } fragment Part on FeedEvent"
        " { cursor @skip(if: $x) }",
    ],
)
async def test_variables_of_the_selection_tell_renderings_apart(schema: Subscriptions, query: str) -> None:
    """Wherever in the document they are; a variable that is left out has its default, which null has not."""
    left_out = await rendering(schema, query)
    true, false, again = [await rendering(schema, query, x=x) for x in (True, False, True)]

    assert true is again
    assert len({id(one) for one in (left_out, true, false)}) == 3
    shown = [b'"cursor"' in one.frame(ADDED, "7-0")[0] for one in (left_out, true, false)]
    assert shown[0] is shown[2] is not shown[1]


async def test_frame_is_made_once_for_all_and_again_for_a_redelivery(schema: Subscriptions) -> None:
    """First attempts share bytes; a redelivery says its own attempt."""
    shared = await rendering(schema, "subscription { activityAdded { ... on ActivityAdded { deliveryAttempt } } }")
    show = ForEverybody(shared, chunked=False)

    first, second = show(ADDED), show(ADDED)
    again = show(domain.Added(ADDED.cursor, ACTIVITY, NOW, 2))

    assert first == second
    assert (schema.frames.hits, schema.frames.misses) == (1, 1)
    assert orjson.loads(again.split(b"data: ")[1])["data"]["activityAdded"]["deliveryAttempt"] == 2
    assert ForEverybody(shared, chunked=True)(ADDED).endswith(first + b"\r\n")


def hello(*, user: int = 1, at: datetime = NOW, cursor: int = 9) -> domain.Notice:
    """The first event of a stream; its token and its read state are its user's."""
    return domain.Notice(
        cursor=Cursor(cursor),
        kind=domain.NoticeKind.HELLO,
        head=Cursor(9),
        at=at,
        advice=advise(mode=Transport.SSE),
        reauthenticate_by=NOW + timedelta(minutes=user),
        read_state=domain.ReadState(user, user),
    )


async def test_those_who_open_together_get_one_hello(schema: Subscriptions) -> None:
    """It is rendered once for a place in the log; who starts at another place, or gets other advice, has their own."""
    shared = await rendering(schema, "subscription { activityAdded { cursor ... on StreamNotice { kind head } } }")

    first, later = (shared.frame(hello(user=user, at=at), "9-0")[0] for user, at in ((1, NOW), (2, TOMORROW)))
    elsewhere, _ = shared.frame(hello(cursor=8), "8-0")

    assert first == later
    assert b'"cursor":"0-8"' in elsewhere
    assert (schema.frames.hits, schema.frames.misses) == (1, 2)


@pytest.mark.parametrize(
    "selection",
    [
        "... on StreamNotice { reauthenticateBy }",
        "... on StreamNotice { by: reauthenticateBy }",
        "... on StreamNotice { readState { version } }",
        "... on StreamNotice { at }",
        "...Notice } } fragment Notice on StreamNotice { ...Deeper } fragment Deeper on StreamNotice { kind readState "
        "{ unreadCount",
    ],
)
async def test_hello_that_says_something_of_one_client_is_its_own(schema: Subscriptions, selection: str) -> None:
    """I6: wherever in the document, and under whatever name, such a field is selected."""
    shared = await rendering(schema, f"subscription {{ activityAdded {{ cursor {selection} }} }}")

    ada, bob = (shared.frame(hello(user=user, at=at), "9-0")[0] for user, at in ((1, NOW), (2, TOMORROW)))

    assert ada != bob
    assert b'"errors"' not in ada + bob


async def test_operations_that_differ_do_not_share_frames(schema: Subscriptions) -> None:
    """The same event, two selections, two frames."""
    titles = await rendering(schema, "subscription { activityAdded { ... on ActivityAdded { activity { title } } } }")
    cursors = await rendering(schema, "subscription { activityAdded { cursor } }")

    assert b"Division 41" in ForEverybody(titles, chunked=False)(ADDED)
    assert b"Division 41" not in ForEverybody(cursors, chunked=False)(ADDED)


async def test_event_that_cannot_be_rendered_is_never_kept(schema: Subscriptions) -> None:
    """It is tried again each time, and what went wrong is said to the operator, not to clients."""
    shared = await rendering(schema, "subscription { activityAdded { ... on ActivityAdded { publishedAt } } }")
    broken = domain.Added(Cursor(8), ACTIVITY, "not a time", 1)  # type: ignore[arg-type]  # what a bug would leave

    for _ in range(2):
        with pytest.raises(Unshowable):
            ForEverybody(shared, chunked=False)(broken)
    assert schema.frames.misses == 2


async def test_rendering_does_not_grow_with_its_events(schema: Subscriptions) -> None:
    """What graphql-core notes of one event goes with it."""
    query = "subscription { activityAdded { cursor ... on ActivityAdded { activity { id } } } }"
    shown = await rendering(schema, query)
    for k in range(20):
        shown.frame(replace(ADDED, cursor=Cursor(100 + k)), None)

    assert not shown._executor._relevant_sub_fields


def test_frames_are_forgotten_oldest_first_when_there_are_too_many() -> None:
    """The cache is bounded in bytes."""
    cache = FrameCache(limit=100)
    for number in range(5):
        cache.put("one", number, b"x" * 30)

    assert [cache.get("one", number) is not None for number in range(5)] == [False, False, True, True, True]


@pytest.mark.filterwarnings(  # what was begun is dropped: nobody may wait for it
    "ignore:coroutine:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
async def test_resolver_that_awaits_below_an_event_is_refused() -> None:
    """A fan-out waits for nobody: such a field is a fault of ours, found when it is first rendered."""

    @strawberry.type
    class Query:
        hello: str = "world"

    @strawberry.type
    class Slow:
        @strawberry.field
        async def name(self) -> str:
            return "slow"

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def slow(self) -> AsyncIterator[Slow]:
            yield Slow()

    slow = Subscriptions(ExecutableSchema(query=Query, subscription=Subscription))
    shared = await rendering(slow, "subscription { slow { name } }")

    frame, error = shared.frame(Slow(), None)

    assert frame == b""
    assert isinstance(error, TypeError)
