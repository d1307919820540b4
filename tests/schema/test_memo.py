"""Completed values that are kept: the same answers as without, and never one viewer's for another."""

import base64
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import strawberry
from graphql import FieldNode, FragmentDefinitionNode, OperationDefinitionNode, parse
from strawberry.types import Info

from resolvers import activities as domain
from resolvers.database.feed import FeedItem
from schema.executable import ExecutableSchema
from schema.memo import Known, Memo, NotMemoisable, memoised
from schema.objects import Activity, FeedEdge
from schema.scalars import configuration
from telemetry.metrics import Metrics

MP = domain.Mp(domain.MpId(3), "Ada Byron", "Ind.", "Ealing", 1)
SPEECH = domain.Activity(
    id=domain.ActivityId(7),
    n=7,
    type=domain.ActivityType.SPEECH,
    title="On engines",
    summary=None,
    url=None,
    occurred_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
    created_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
    metadata={"a": 1},
    mp=MP,
    bill=None,
)


@strawberry.type
class Query:
    """Shows the activity in the context."""

    @strawberry.field
    def activity(self, info: Info[Any, None]) -> Activity:
        return Activity.of(info.context)


@pytest.fixture
def metrics() -> Metrics:
    """Instruments of this test alone."""
    return Metrics()


@pytest.fixture
def schema(metrics: Metrics) -> ExecutableSchema:
    """One field, and a memo."""
    return ExecutableSchema(query=Query, config=configuration(), metrics=metrics)


async def ask(schema: ExecutableSchema, query: str, activity: domain.Activity = SPEECH, **variables: object) -> Any:
    """The activity as the query shows it."""
    result = await schema.execute(query, variable_values=variables, context_value=activity)
    assert not result.errors
    assert result.data is not None
    return result.data["activity"]


def looked_up(metrics: Metrics, cache: str) -> tuple[float, float]:
    """Hits and misses."""
    hit, miss = (
        metrics.registry.get_sample_value("execution_cache_total", {"cache": cache, "result": result}) or 0
        for result in ("hit", "miss")
    )
    return hit, miss


async def test_second_query_finds_what_the_first_completed(schema: ExecutableSchema, metrics: Metrics) -> None:
    """Same bytes, and neither parsed, validated nor completed again."""
    query = "{ activity { id title mp { name party } metadata } }"

    assert await ask(schema, query) == await ask(schema, query)

    assert looked_up(metrics, "memo") == (1, 2)
    assert looked_up(metrics, "validation") == (1, 1)
    assert looked_up(metrics, "document") == (1, 1)


async def test_other_selections_and_versions_are_other_values(schema: ExecutableSchema) -> None:
    """Aliases, fields and a new version of the MP: each shows what it asks for."""
    first = await ask(schema, "{ activity { title mp { party } } }")
    renamed = replace(SPEECH, mp=replace(MP, party="Lib.", version=2))

    assert first == {"title": "On engines", "mp": {"party": "Ind."}}
    assert await ask(schema, "{ activity { t: title } }") == {"t": "On engines"}
    assert await ask(schema, "{ activity { title mp { party } } }", renamed) == {
        "title": "On engines",
        "mp": {"party": "Lib."},
    }


@pytest.mark.parametrize(
    "query",
    [
        "query ($yes: Boolean!) { activity { title url @include(if: $yes) } }",
        "query ($yes: Boolean!) { activity { title ...more @include(if: $yes) } } fragment more on Activity { url }",
        "query ($yes: Boolean!) { activity { title ...more } } fragment more on Activity { url @include(if: $yes) }",
    ],
)
async def test_what_depends_on_a_variable_is_not_kept(schema: ExecutableSchema, query: str) -> None:
    """The same document with another variable shows another selection."""
    shown = [set(await ask(schema, query, yes=yes)) for yes in (True, False, True)]

    assert shown == [{"title", "url"}, {"title"}, {"title", "url"}]
    assert len(schema.memo) == 0


async def test_variable_beside_the_object_keeps_selections_apart(schema: ExecutableSchema) -> None:
    """The nodes that a query merges are part of the key: a field that is included as a whole changes it."""
    query = "query ($yes: Boolean!) { activity { title } activity @include(if: $yes) { url } }"

    shown = [set(await ask(schema, query, yes=yes)) for yes in (False, True, False)]

    assert shown == [{"title"}, {"title", "url"}, {"title"}]


async def test_activity_that_is_not_in_the_log_is_not_kept(schema: ExecutableSchema) -> None:
    """It may still change."""
    waiting = replace(SPEECH, n=0)

    assert await ask(schema, "{ activity { title } }", waiting) == {"title": "On engines"}
    assert await ask(schema, "{ activity { title } }", replace(waiting, title="new")) == {"title": "new"}


@strawberry.type
class Edges:
    """Shows the edges in the context."""

    @strawberry.field
    def edges(self, info: Info[Any, None]) -> list[FeedEdge]:
        return list(info.context)


EDGES = [
    "{ edges { id cursor isRead node { title } } }",
    "{ edges { cursor isRead mine: id __typename } }",
    "{ edges { ...of node { id } } } fragment of on FeedEdge { isRead id }",
    "{ edges { isRead } edges { ... on FeedEdge { id cursor } } }",
]


@pytest.mark.parametrize("query", EDGES)
async def test_edges_are_shared_but_for_what_is_the_viewers(query: str) -> None:
    """Whoever asks, in whatever order, each gets what a schema that keeps nothing shows, fields in the same order."""
    schema = ExecutableSchema(query=Edges, config=configuration())
    second = replace(SPEECH, id=domain.ActivityId(8), n=8)

    for user, read in [("ada", False), ("bob", False), ("bob", True), ("ada", True), ("ada", False)]:
        edges = [FeedEdge.of(FeedItem(one, read), user=user) for one in (second, SPEECH)]
        plain = ExecutableSchema(query=Edges, config=configuration())
        shown = await schema.execute(query, context_value=edges)
        expected = await plain.execute(query, context_value=edges)
        assert not shown.errors
        assert orjson.dumps(shown.data) == orjson.dumps(expected.data)

    names = [base64.b64encode(f"{id_}:{user}".encode()).decode()[:6] for id_ in (7, 8) for user in ("ada", "bob")]
    assert not any(name in str(kept) for kept in schema.memo._values.values() for name in names)


async def test_list_that_was_completed_is_put_together_at_once(metrics: Metrics) -> None:
    """The second viewer's edges are looked up, with the objects below them left alone."""
    schema = ExecutableSchema(query=Edges, config=configuration(), metrics=metrics)
    for user in ("ada", "bob"):
        await schema.execute(EDGES[0], context_value=[FeedEdge.of(FeedItem(SPEECH, is_read=False), user=user)])

    assert looked_up(metrics, "memo") == (1, 2)


def test_varying_field_must_be_a_text() -> None:
    """What is put in afterwards is not completed: anything but a text that is always there would be shown raw."""

    @memoised(lambda _: (1,), varying=["count"])
    @strawberry.type
    class Thing:
        count: int

    with pytest.raises(NotMemoisable, match="cannot vary"):
        ExecutableSchema(query=strawberry.type(type("Query", (), {"__annotations__": {"it": Thing}})))


async def test_invalid_document_is_refused_each_time(schema: ExecutableSchema) -> None:
    """Only documents that passed are remembered as validated."""
    for _ in range(2):
        result = await schema.execute("{ activity { nothing } }", context_value=SPEECH)
        assert [error.extensions for error in result.errors or ()] == [{"code": "GRAPHQL_VALIDATION_FAILED"}]


def test_nested_fragments_are_looked_at_once() -> None:
    """A document whose fragments double at each level is no work."""
    levels = "".join(f"fragment f{k} on Activity {{ ...f{k + 1} ...f{k + 1} }} " for k in range(40))
    document = parse("{ activity { ...f0 } } " + levels + "fragment f40 on Activity { title }")
    [operation] = [part for part in document.definitions if isinstance(part, OperationDefinitionNode)]
    [field] = operation.selection_set.selections
    assert isinstance(field, FieldNode)

    class Details:
        """As the executor has it."""

        def __init__(self, definition: object) -> None:
            self.definition = definition

    fragments = {
        part.name.value: Details(part) for part in document.definitions if isinstance(part, FragmentDefinitionNode)
    }

    assert Memo({}).selection("Activity", (field,), fragments).holes is not None


async def test_memo_is_bounded(metrics: Metrics) -> None:
    """The least recently used values go, and with them their syntax."""
    schema = ExecutableSchema(query=Query, config=configuration(), metrics=metrics)
    schema.memo._most_values = schema.memo._most_selections = 3

    for k in range(10):
        await ask(schema, f"{{ activity {{ t{k}: title }} }}")

    assert (len(schema.memo), len(schema.memo._selections)) == (3, 3)


def test_known_texts_are_bounded() -> None:
    """The one that was not asked for longest goes."""
    known = Known(most=2)
    known.add("a")
    known.add("b")

    assert "a" in known
    known.add("c")

    assert ("a" in known, "b" in known, "c" in known) == (True, False, True)


def test_marked_type_must_be_fixed() -> None:
    """A field with arguments, a resolver or a type that is not marked stops the start of the server."""

    @strawberry.type
    class Loose:
        name: str

    @memoised(lambda thing: thing.loose.name)
    @strawberry.type
    class Thing:
        loose: Loose

    @memoised(lambda _: (1,))
    @strawberry.type
    class Other:
        @strawberry.field
        def viewer(self, info: Info) -> str:
            return str(info.context)

    for type_ in (Thing, Other):
        query = strawberry.type(type("Query", (), {"__annotations__": {"it": type_}}))
        with pytest.raises(NotMemoisable):
            ExecutableSchema(query=query)
