"""An operation that is opened once more does what it does when graphql-core executes it from the beginning."""

from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import ExecutionResult, GraphQLError, GraphQLSchema, create_source_event_stream, parse, validate
from hypothesis import given
from hypothesis import strategies as st
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import Info

from schema.executable import ExecutableSchema
from schema.prepared import Prepared
from schema.refusals import ExpectedError
from schema.requests import Operation
from schema.straight import straighten


@strawberry.enum
class Colour(Enum):
    RED = 1
    BLUE = 2


@strawberry.input
class Wanted:
    colours: list[Colour] | None = None
    most: int = 3


@strawberry.type
class Query:
    hello: str = "world"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def paints(
        self, info: Info[Any, None], since: int, wanted: Wanted | None = None, colour: Colour = Colour.RED
    ) -> AsyncIterator[str]:
        if since == 7:
            raise ExpectedError("SEVEN", "not seven")
        if since == 8:
            raise GraphQLError("a plain one", extensions={"of": "eight"})
        info.context.append((since, wanted, colour, info.field_name, info.path, info.variable_values))
        return _nothing()

    @strawberry.subscription
    async def broken(self) -> AsyncIterator[str]:
        return 7  # type: ignore[return-value]  # what a bug would do


async def _nothing() -> AsyncIterator[str]:
    yield "nothing"


SCHEMA = ExecutableSchema(query=Query, subscription=Subscription)
CORE = SCHEMA._schema
STRAIGHT = ExecutableSchema(query=Query, subscription=Subscription)._schema
straighten(STRAIGHT, SCHEMA.config)
DOCUMENTS = [
    "subscription { paints(since: 1) }",
    "subscription { of: paints(since: 7) }",
    "subscription { paints(since: 8) }",
    "subscription { broken }",
    "subscription ($since: Int!) { paints(since: $since) }",
    "subscription ($since: Int! = 4, $wanted: Wanted, $colour: Colour! = BLUE)"
    " { of: paints(since: $since, wanted: $wanted, colour: $colour) }",
    "subscription ($since: Int!, $most: Int! = 2) { paints(since: $since, wanted: {most: $most, colours: RED}) }",
    "subscription ($since: Int!) { ...Root } fragment Root on Subscription { paints(since: $since) }",
    "subscription ($since: Int!) { paints(since: $since) ... on Subscription { paints(since: $since) } }",
]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "since": st.sampled_from([1, 7, 8, None, "1", 2**40]),
    "wanted": st.sampled_from([None, {}, {"colours": ["BLUE"]}, {"most": "many"}, {"odd": 1}, [], {"colours": None}]),
    "colour": st.sampled_from(["RED", None, "GREEN"]),
    "most": st.sampled_from([1, None]),
    "unheard": st.just(1),
}
VARIABLES = st.fixed_dictionaries({}, optional=VALUES)


def told(error: GraphQLError) -> tuple[Any, ...]:
    """All that becomes of an error."""
    return error.message, error.path, error.locations, error.extensions, type(error.original_error)


async def from_the_beginning(operation: Operation, context: list[Any]) -> list[Any]:
    """What graphql-core makes of it: the errors, if there are any."""
    executor = StrawberryGraphQLCoreExecutionContext.build(
        CORE, parse(operation.query), context_value=context, raw_variable_values=operation.variables
    )
    if isinstance(executor, list):
        return [told(error) for error in executor]
    source: Any = create_source_event_stream(executor)
    if not isinstance(source, ExecutionResult | AsyncIterator):
        source = await source
    return [told(error) for error in source.errors or []] if isinstance(source, ExecutionResult) else []


async def once_more(core: GraphQLSchema, operation: Operation, earlier: Operation, context: list[Any]) -> list[Any]:
    """The same, of an operation that another has sent before."""
    prepared = Prepared.of(core, parse(operation.query), earlier)
    if isinstance(prepared, list):
        prepared = Prepared.of(core, parse(operation.query), operation)
    if isinstance(prepared, list):
        return [told(error) for error in prepared]
    executor = prepared.executor(operation, context)
    source = executor if isinstance(executor, list) else await prepared.source(executor)
    return [told(error) for error in source] if isinstance(source, list) else []


@given(query=st.sampled_from(DOCUMENTS), variables=VARIABLES, before=VARIABLES)
async def test_operation_sent_once_more_gives_what_it_gave(
    query: str, variables: dict[str, Any], before: dict[str, Any]
) -> None:
    """The resolver is asked with the same arguments and info, and errors have the same words, path and place.

    So it is where Strawberry's way to the resolver is taken only if there is something to convert.
    """
    assert not validate(CORE, parse(query))
    expected: list[Any] = []

    errors = await from_the_beginning(Operation(query, None, variables), expected)

    for core in (CORE, STRAIGHT):
        seen: list[Any] = []
        assert await once_more(core, Operation(query, None, variables), Operation(query, None, before), seen) == errors
        assert seen == expected


@pytest.mark.parametrize(("query", "plain"), [(DOCUMENTS[0], True), (DOCUMENTS[7], False), (DOCUMENTS[8], False)])
def test_root_field_is_known_only_where_it_is_written_plainly(query: str, plain: bool) -> None:
    """In a fragment, or said twice, it is collected each time."""
    prepared = Prepared.of(CORE, parse(query), Operation(query, None, {"since": 1}))

    assert isinstance(prepared, Prepared)
    assert (prepared.root is not None) is plain


async def test_nothing_of_who_sent_it_first_is_kept() -> None:
    """I6: what all share has neither a context nor variables."""
    query = DOCUMENTS[4]
    prepared = Prepared.of(CORE, parse(query), Operation(query, None, {"since": 41}))

    assert isinstance(prepared, Prepared)
    assert prepared.prototype.context_value is None
    assert prepared.prototype.variable_values.coerced == prepared.prototype.variable_values.sources == {}
