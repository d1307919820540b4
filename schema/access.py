"""Who may have what: every field has a decision, or the schema is not built.

A root field says which scope it needs, by `needs`; it is checked before its resolver, or its stream, starts. An object
type says which scopes may see it, by `open_to`; nothing is checked there at run time, because `enforce` proves that no
root field leads to a type that its scope does not open. `tests/schema/test_access.py` walks the schema once more.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_introspection_type,
)

from resolvers.identity import Scope

NEEDS = "needs"
OPEN_TO = "__open_to__"
ANYBODY = tuple(Scope)
"""For types that say nothing worth a scope of their own: whoever has any of them may be shown one."""

T = TypeVar("T", bound=type)
Resolver = Callable[..., Any]


class Undecided(TypeError):
    """A field or a type without a decision, or one that a scope reaches which it is not open to."""


def needs(scope: Scope) -> dict[str, Any]:
    """The `metadata` of a root field."""
    return {NEEDS: scope}


def open_to(*scopes: Scope) -> Callable[[T], T]:
    """Mark an object type: whoever has one of `scopes` may see all of it."""

    def mark(cls: T) -> T:
        setattr(cls, OPEN_TO, frozenset(scopes))
        return cls

    return mark


def decisions(schema: GraphQLSchema) -> Iterator[tuple[str, Scope, GraphQLField]]:
    """Each root field's name, scope and definition. Raises Undecided."""
    for root in (schema.query_type, schema.mutation_type, schema.subscription_type):
        for name, field in (root.fields if root else {}).items():
            scope = field.extensions["strawberry-definition"].metadata.get(NEEDS)
            if scope is None:
                raise Undecided(f"{root}.{name} does not say which scope it needs: add metadata=needs(…)")
            yield f"{root}.{name}", scope, field


def enforce(schema: GraphQLSchema) -> None:
    """Have every root field check its scope. Raises Undecided unless every field of the schema has its decision."""
    for name, scope, field in decisions(schema):
        for type_ in reachable(schema, field):
            _check_open(type_, scope, by=name)
    for name, scope, field in decisions(schema):
        if name.startswith(f"{schema.subscription_type}."):
            field.subscribe = _guarded(field.subscribe, scope)
        else:
            field.resolve = _guarded(field.resolve, scope)


def reachable(schema: GraphQLSchema, field: GraphQLField) -> Iterator[GraphQLObjectType]:
    """Every object type that a selection below `field` can come to."""
    seen: set[str] = set()
    left: list[Any] = [get_named_type(field.type)]
    while left:
        type_ = left.pop()
        if type_.name in seen:
            continue
        seen.add(type_.name)
        if isinstance(type_, GraphQLInterfaceType | GraphQLUnionType):
            left.extend(schema.get_possible_types(type_))
        if isinstance(type_, GraphQLInterfaceType | GraphQLObjectType):
            left.extend(get_named_type(below.type) for below in type_.fields.values())
        if isinstance(type_, GraphQLObjectType) and not is_introspection_type(type_):
            yield type_


def opened(type_: GraphQLObjectType) -> frozenset[Scope] | None:
    """The scopes that may see `type_`; None if nobody decided."""
    origin = type_.extensions["strawberry-definition"].origin
    scopes: frozenset[Scope] | None = origin.__dict__.get(OPEN_TO)  # a base's decision is not a subclass's
    return scopes


def _check_open(type_: GraphQLObjectType, scope: Scope, *, by: str) -> None:
    scopes = opened(type_)
    if scopes is None:
        raise Undecided(f"{type_} does not say who may see it: mark it with open_to(…)")
    if scope not in scopes:
        raise Undecided(f"{by} needs only '{scope}' and leads to {type_}, which is open to {sorted(scopes)}")


def _guarded(resolver: Resolver | None, scope: Scope) -> Resolver:
    if resolver is None:
        raise Undecided("a root field without a resolver cannot be guarded")

    def guarded(root: object, info: GraphQLResolveInfo[Any], /, **arguments: Any) -> Any:  # noqa: ANN401 - the resolver's
        info.context.viewer.require(scope)
        return resolver(root, info, **arguments)

    return guarded
