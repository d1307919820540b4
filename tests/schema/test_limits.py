"""How large an operation may be: each limit has its code, and what is legitimate stays below all of them."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import OperationDefinitionNode, get_introspection_query, parse
from hypothesis import given
from hypothesis import strategies as st

from resolvers.identity import Scope
from schema.context import Context
from schema.executable import ExecutableSchema
from schema.limits import COSTS, Limits, Walk
from schema.root import build_schema
from telemetry.metrics import Metrics
from tests.support.composed import composed, viewer

SCHEMA = build_schema()
CLOSED = build_schema(limits=Limits(introspection=False))
ROW = "id type title summary url occurredAt createdAt metadata mp { id name party riding } bill { id number title }"
PAGE = f"edges {{ cursor isRead node {{ {ROW} }} }} unreadCount head pageInfo {{ hasNextPage endCursor }}"


def nested(levels: int) -> str:
    """A document of so many levels."""
    return "{ " + "feed { " * (levels - 1) + "head" + " }" * levels


async def codes(schema: ExecutableSchema, document: str, **variables: Any) -> list[str]:
    """The codes of what is wrong with a query; it is not executed as far as it can be told before."""
    result = await schema.execute(document, variable_values=variables, context_value=None)
    return [str((error.extensions or {})["code"]) for error in result.errors or ()]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{ " + "health { redis } " * 700 + "}", "QUERY_TOO_LONG"),
        ("{ " + "health { redis database } " * 101 + "}", "QUERY_TOO_LONG"),
        ("{ " + " ".join(f"a{n}: health {{ redis }}" for n in range(31)) + " }", "QUERY_TOO_LONG"),
        (nested(11), "QUERY_TOO_DEEP"),
        ("{ ...f0 } " + " ".join(f"fragment f{n} on Query {{ feed {{ ...f{n + 1} }} }}" for n in range(12)),
         "QUERY_TOO_DEEP"),
        ("{" + "a{" * 900 + "a" + "}" * 901, "GRAPHQL_PARSE_FAILED"),
        ("{ " + " ".join(f"p{n}: feed(first: 100) {{ {PAGE} }}" for n in range(5)) + " }", "QUERY_TOO_EXPENSIVE"),
        ("{ ...f0 } " + " ".join(f"fragment f{n} on Query {{ ...f{n + 1} ... {{ ...f{n + 1} }} }}" for n in range(40))
         + " fragment f40 on Query { health { redis } }", "QUERY_TOO_EXPENSIVE"),
        ("{ " + " ".join(f"a{n}: __schema {{ types {{ name }} }}" for n in range(12)) + " }", "QUERY_TOO_EXPENSIVE"),
        ("{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }",
         "GRAPHQL_VALIDATION_FAILED"),
        ("{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ ...nowhere }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)  # fmt: skip
async def test_what_is_too_large_is_refused_before_it_is_validated(document: str, code: str) -> None:
    """Each excess has its code, at once: validating some of these takes half a second, or does not end."""
    started = time.process_time()
    found = await codes(build_schema(), document)

    assert found == [code]
    assert time.process_time() - started < 2


async def test_usual_documents_are_within_all_limits() -> None:
    """A page of a hundred with everything, GraphiQL's question for the schema, and ten roots at once."""
    for document in (
        f"{{ feed(first: 100) {{ {PAGE} nodes {{ id }} }} health {{ healthy }} }}",
        get_introspection_query(input_value_deprecation=True),
        "{ " + " ".join(f"a{n}: activity(id: 1) {{ {ROW} }}" for n in range(10)) + " }",
    ):
        found = await codes(build_schema(), document)

        assert not {code for code in found if code.startswith(("QUERY_", "GRAPHQL_"))}, document


@pytest.fixture
async def context(database_url: str, redis_url: str) -> AsyncIterator[Any]:
    """A reader's context on a running floor."""
    async with composed(database_url, redis_url) as floor:
        yield Context(viewer=viewer("ada", Scope.READ), services=floor.services)


async def test_variables_count_as_what_they_are(context: Any) -> None:
    """The same document is answered for a few entries and refused for many, the second time too."""
    metrics = Metrics()
    schema = build_schema(metrics)
    pages = " ".join(f"p{n}: feed(first: $first) {{ {PAGE} }}" for n in range(5))
    document = f"query ($first: Int! = 100) {{ {pages} }}"

    async def told(**variables: Any) -> list[str]:
        result = await schema.execute(document, variable_values=variables, context_value=context)
        return [str((error.extensions or {})["code"]) for error in result.errors or ()]

    assert [await told(first=5), await told(first=100), await told(), await told(first=5)] == [
        [],
        ["QUERY_TOO_EXPENSIVE"],
        ["QUERY_TOO_EXPENSIVE"],
        [],
    ]
    get = metrics.registry.get_sample_value
    assert get("refusals_total", {"code": "QUERY_TOO_EXPENSIVE"}) == 2
    assert (
        get("execution_cache_total", {"cache": "validation", "result": "hit"}) == 1
    )  # the refused ones did not come so far
    assert get("execution_cache_total", {"cache": "document", "result": "hit"}) == 3


async def test_limits_leave_the_caches_their_hits(context: Any) -> None:
    """A document that was checked is neither parsed, measured nor validated again."""
    metrics = Metrics()
    schema = build_schema(metrics)
    for _ in range(10):
        result = await schema.execute("{ health { redis } }", context_value=context)
        assert not result.errors
    get = metrics.registry.get_sample_value

    assert get("execution_cache_total", {"cache": "validation", "result": "hit"}) == 9
    assert get("execution_cache_total", {"cache": "document", "result": "hit"}) == 9


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("{ __schema { types { name } } }", "INTROSPECTION_DISABLED"),
        ('{ health { ... on Health { redis } } __type(name: "Query") { name } }', "INTROSPECTION_DISABLED"),
        ("{ ...a } fragment a on Query { __schema { types { name } } }", "INTROSPECTION_DISABLED"),
        ("{ helth { redis } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ feed(filter: {types: [SPEACH]}) { head } }", "GRAPHQL_VALIDATION_FAILED"),
    ],
)
async def test_closed_schema_tells_no_names(document: str, code: str) -> None:
    """With introspection off there are no suggestions either: they would tell it name by name."""
    result = await CLOSED.execute(document, context_value=None)

    assert result.errors
    assert (result.errors[0].extensions or {})["code"] == code
    assert "Did you mean" not in result.errors[0].message


def test_every_root_field_has_its_costs() -> None:
    """A root field that nobody weighed would count as a leaf."""
    inner = SCHEMA._schema
    roots = [root for root in (inner.query_type, inner.mutation_type, inner.subscription_type) if root]

    assert [
        name
        for root in roots
        for name, field in root.fields.items()
        if COSTS not in field.extensions["strawberry-definition"].metadata
    ] == []


@given(first=st.integers(1, 100), pages=st.integers(1, 4))
def test_cost_is_what_is_completed(first: int, pages: int) -> None:
    """Twenty for the root field, one for each completed field; a fragment counts wherever it is spread."""
    written = " ".join(f"p{n}: feed(first: {first}) {{ edges {{ node {{ id title }} }} head }}" for n in range(pages))
    spread = " ".join(f"p{n}: feed(first: {first}) {{ ...f }}" for n in range(pages))
    fragment = "fragment f on FeedConnection { edges { node { ...g } } head } fragment g on Activity { id title }"
    expected = pages * (20 + 1 + 1 + first * (1 + 1 + 2))

    for text in (f"{{ {written} }}", f"{{ {spread} }} {fragment}"):
        document = parse(text)
        operation = document.definitions[0]
        assert isinstance(operation, OperationDefinitionNode)
        walk = Walk(document, SCHEMA._schema)
        assert expected == walk.cost(operation.selection_set, SCHEMA._schema.query_type, None)
