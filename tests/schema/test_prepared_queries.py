"""A query that is answered once more is answered as Strawberry answers it from the beginning."""

from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import parse, validate
from hypothesis import given
from hypothesis import strategies as st
from strawberry.types import ExecutionResult, Info

from schema.executable import ExecutableSchema
from schema.prepared_queries import Queries
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
class Painting:
    name: str
    broken: float | None = strawberry.field(resolver=lambda: 1 / 0)

    @strawberry.field
    async def hung(self, where: str = "here") -> str:
        return f"{self.name} {where}"


@strawberry.type
class Query:
    hello: str = "world"

    @strawberry.field
    async def painting(
        self,
        info: Info[Any, None],
        number: int,
        wanted: Wanted | None = None,
        colour: Colour = Colour.RED,
        id: strawberry.ID | None = None,  # noqa: A002 - a GraphQL argument
    ) -> Painting:
        info.context.append((number, wanted, colour, id, info.field_name, info.path, info.variable_values))
        if number == 7:
            raise ExpectedError("SEVEN", "not seven")
        return Painting(name=str(number))

    @strawberry.field
    def maybe(self, number: int = 1) -> Painting | None:
        if number == 8:
            raise RuntimeError("a fault")
        return Painting(name="maybe") if number == 1 else None


DOCUMENTS = [
    "{ hello }",
    "{ hello __typename }",
    "{ __schema { queryType { name } } }",
    "{ painting(number: 1) { name hung } }",
    "{ of: painting(number: 7) { name } }",
    "{ maybe(number: 8) { name } }",
    "{ maybe(number: 2) { name } hello }",
    "{ maybe { name broken } }",
    '{ painting(number: 1, colour: BLUE, wanted: {colours: RED}) { at: hung(where: "there") hung } }',
    "query ($number: Int!) { painting(number: $number) { name ...of } } fragment of on Painting { hung }",
    "query ($number: Int! = 4, $wanted: Wanted, $colour: Colour! = BLUE, $id: ID)"
    " { of: painting(number: $number, wanted: $wanted, colour: $colour, id: $id) { name } }",
    "query ($number: Int!) { ...Root } fragment Root on Query { painting(number: $number) { name } maybe { name } }",
    'query ($number: Int!, $where: String! = "w") { painting(number: $number) { hung(where: $where) } }',
    "query ($number: Int!, $shown: Boolean! = true)"
    " { painting(number: $number) { name hung @include(if: $shown) } maybe @skip(if: $shown) { name } }",
    "{ painting(number: 1) { name @skip(if: true) hung } }",
    "query A { hello } query B { maybe { name } }",
]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "number": st.sampled_from([1, 7, 8, None, "1", 2**40]),
    "wanted": st.sampled_from([None, {}, {"colours": ["BLUE"]}, {"most": "many"}, {"odd": 1}, [], {"colours": None}]),
    "colour": st.sampled_from(["RED", None, "GREEN"]),
    "id": st.sampled_from(["x", 5, None, 1.5]),
    "where": st.sampled_from(["there", None, 1]),
    "shown": st.booleans(),
    "unheard": st.just(1),
}
VARIABLES = st.fixed_dictionaries({}, optional=VALUES)


def told(result: ExecutionResult) -> tuple[Any, ...]:
    """All that a client sees of a result, but for the ID of a fault."""
    errors = [
        (error.message.rstrip("0123456789abcdef."), error.path, error.locations, (error.extensions or {}).get("code"))
        for error in result.errors or ()
    ]
    return result.data, errors


def build() -> ExecutableSchema:
    """A schema whose root fields are called straight, as ours are."""
    schema = ExecutableSchema(query=Query)
    straighten(schema._schema, schema.config)
    return schema


STOCK, SCHEMA = ExecutableSchema(query=Query), build()


@given(query=st.sampled_from(DOCUMENTS), variables=VARIABLES, before=VARIABLES)
async def test_query_sent_once_more_is_answered_as_the_first_time(
    query: str, variables: dict[str, Any], before: dict[str, Any]
) -> None:
    """Resolvers are called with the same arguments and info, and data and errors are the same, whoever asked before."""
    assert not validate(STOCK._schema, parse(query))
    name = "B" if "query B" in query else None
    expected: list[Any] = []
    seen: list[Any] = []
    queries = Queries(SCHEMA)
    await queries.answer(Operation(query, name, before), [])

    again = await queries.answer(Operation(query, name, variables), seen)

    stock = await STOCK.execute(query, variables, context_value=expected, operation_name=name)
    assert told(again) == told(stock)
    assert seen == expected


@pytest.mark.parametrize("query", DOCUMENTS)
async def test_query_is_ready_unless_a_variable_selects(query: str) -> None:
    """What @include and @skip say with a variable holds for one request; such a document is looked at each time."""
    queries = Queries(SCHEMA)
    operation = Operation(query, "A" if "query A" in query else None, {"number": 1})

    await queries.answer(operation, [])

    assert (operation in queries) is ("$shown" not in query)


async def test_nothing_of_who_sent_it_first_is_kept() -> None:
    """What all share has neither a context nor variables, and does not grow with what is asked."""
    queries = Queries(SCHEMA)
    operation = Operation(DOCUMENTS[9], None, {"number": 41})
    sizes = []
    for _ in range(3):
        await queries.answer(operation, ["mine"])
        sizes.append(len(queries._kept[operation.query, None].prototype._relevant_sub_fields))

    kept = queries._kept[operation.query, None]
    assert kept.prototype.context_value is None
    assert kept.prototype.variable_values.coerced == kept.prototype.variable_values.sources == {}
    assert kept.prototype.collected_errors.errors == []
    assert sizes[1] == sizes[2]


async def test_only_so_many_are_kept() -> None:
    """The one that was not sent for longest goes."""
    queries = Queries(SCHEMA, most=2)
    first, second, third = (Operation(f"{{ hello {'_' * k}: hello }}") for k in (1, 2, 3))
    for operation in (first, second, first, third):
        await queries.answer(operation, [])

    assert [operation in queries for operation in (first, second, third)] == [True, False, True]


async def test_what_is_not_valid_is_never_ready() -> None:
    """A document that was refused is refused again, by whoever looks at documents."""
    queries = Queries(SCHEMA)
    for query in ("{ nothing }", "{ hello", "mutation { hello }"):
        for _ in range(2):
            result = await queries.answer(Operation(query), [])

            assert result.errors
            assert Operation(query) not in queries
