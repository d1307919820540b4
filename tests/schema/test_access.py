"""Every field has a decision on who may have it, and nobody comes past it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import strawberry
from graphql import GraphQLObjectType, GraphQLSchema, is_introspection_type

from resolvers.identity import Scope
from schema.access import ANYBODY, Undecided, decisions, enforce, needs, open_to, opened, reachable
from schema.context import Context
from schema.root import build_schema
from tests.support.composed import composed, viewer

SCHEMA: GraphQLSchema = build_schema()._schema
ROOTS = {"Query", "Mutation", "Subscription"}
CURSOR = '"1-0"'
ARGUMENTS = {
    "updates": f"(since: {CURSOR})",
    "activity": '(id: "1")',
    "markRead": '(activityIds: ["1"])',
    "markAllRead": f"(through: {CURSOR})",
    "publishActivity": '(input: {type: VOTE, title: "x"})',
    "acknowledge": f'(through: {CURSOR}, subscriber: "phone")',
    "redriveDeadLetter": '(id: "1")',
    "discardDeadLetter": '(id: "1")',
}


def test_every_field_has_a_decision() -> None:
    """Each root field says which scope it needs, each object type who may see it; a new one without fails here."""
    objects = [
        type_
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not is_introspection_type(type_) and type_.name not in ROOTS
    ]
    roots = [root for root in map(SCHEMA.type_map.get, sorted(ROOTS)) if isinstance(root, GraphQLObjectType)]

    assert {name for name, _, _ in decisions(SCHEMA)} == {f"{root}.{name}" for root in roots for name in root.fields}
    assert [type_.name for type_ in objects if not opened(type_)] == []


def test_no_field_leads_to_what_its_scope_may_not_see() -> None:
    """Whatever is selected below a root field, its scope is enough for it."""
    closed = [
        (name, type_.name)
        for name, scope, field in decisions(SCHEMA)
        for type_ in reachable(SCHEMA, field)
        if scope not in (opened(type_) or ())
    ]

    assert closed == []


@pytest.fixture
async def context(database_url: str, redis_url: str) -> AsyncIterator[Any]:
    """Makes contexts of viewers on a running floor."""
    async with composed(database_url, redis_url) as floor:
        yield lambda *scopes: Context(viewer=viewer("ada", *scopes), services=floor.services)


async def test_every_root_field_refuses_all_scopes_but_its_own(context: Any) -> None:
    """The two scopes that a field does not need are not enough together; the refusal names the one it needs."""
    schema = build_schema()
    for name, needed, field in decisions(schema._schema):
        root, _, short = name.partition(".")
        others = [scope for scope in Scope if scope is not needed]
        below = "{ __typename }"
        document = f"{root.lower()} {{ {short}{ARGUMENTS.get(short, '')} {below} }}"

        if root == "Subscription":
            info = type("Info", (), {"context": context(*others)})()
            with pytest.raises(Exception, match=f"'{needed}'"):
                field.subscribe(None, info)  # type: ignore[misc]
            continue
        result = await schema.execute(document, context_value=context(*others))

        assert result.errors, name
        assert [(error.extensions or {})["code"] for error in result.errors] == ["FORBIDDEN"], name
        assert f"'{needed}'" in result.errors[0].message


def made(*, of: Any = None, metadata: Any = None) -> GraphQLSchema:
    """A schema of one root field, which returns `of` and has `metadata`."""

    @strawberry.type
    class Thing:
        name: str = "x"

    shown = of(Thing) if of else Thing

    class Query:
        @strawberry.field(metadata=metadata)
        def thing(self) -> shown:  # type: ignore[valid-type]
            return shown()

    return strawberry.Schema(query=strawberry.type(Query))._schema


@pytest.mark.parametrize(
    ("of", "metadata", "sentence"),
    [
        (open_to(*ANYBODY), None, "Query.thing does not say which scope"),
        (None, needs(Scope.READ), "Thing does not say who may see it"),
        (open_to(Scope.OPS), needs(Scope.READ), "needs only 'read' and leads to Thing"),
    ],
)
def test_schema_without_a_decision_is_not_built(of: Any, metadata: Any, sentence: str) -> None:
    """The server does not start with a field that nobody decided on."""
    with pytest.raises(Undecided, match=sentence):
        enforce(made(of=of, metadata=metadata))


def test_decision_of_a_base_is_not_its_subclass_decision() -> None:
    """A type that inherits from an open one is decided on for itself."""

    @open_to(*ANYBODY)
    class Base:
        pass

    def below(cls: Any) -> Any:
        return strawberry.type(type("Thing", (Base,), {"__annotations__": {"name": str}, "name": "x"}))

    with pytest.raises(Undecided, match="does not say who"):
        enforce(made(of=below, metadata=needs(Scope.READ)))
