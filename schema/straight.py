"""Root resolvers called without Strawberry's way to them, where its way changes nothing.

For each call Strawberry looks through the resolver's parameters, converts the arguments into its input types and builds
a chain of extensions: a third of what the page of a feed costs. Texts, numbers, truth values and null come out as they
went in, so what has no other arguments is called as it is written.
"""

from collections.abc import Callable
from types import NoneType
from typing import Any

import strawberry
from graphql import GraphQLField, GraphQLResolveInfo, GraphQLSchema
from strawberry.schema.config import StrawberryConfig
from strawberry.types import Info
from strawberry.types.base import StrawberryMaybe, StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField

PLAIN = frozenset({str, int, float, bool})

Resolver = Callable[..., Any]


def straighten(schema: GraphQLSchema, config: StrawberryConfig) -> None:
    """Have root fields call their resolvers straight: `resolve` gives a value, `subscribe` a source of events.

    Guards come after it.
    """
    for root in (schema.query_type, schema.mutation_type):
        for field in root.fields.values() if root else ():
            field.resolve = _straight(field, field.resolve, config)
    for field in schema.subscription_type.fields.values() if schema.subscription_type else ():
        field.subscribe = _straight(field, field.subscribe, config)


def _straight(of: GraphQLField, otherwise: Resolver | None, config: StrawberryConfig) -> Resolver | None:
    """`otherwise` is Strawberry's resolver, which any call with an argument that it would convert goes to."""
    field = of.extensions.get("strawberry-definition")
    if otherwise is None or not isinstance(field, StrawberryField):
        return otherwise
    resolver: Any = field.base_resolver  # a StrawberryResolver, whose own types say that it takes texts only
    if resolver is None or field.extensions or resolver.root_parameter or resolver.parent_parameter:
        return otherwise
    accepted = {
        config.name_converter.from_argument(argument): (argument.python_name, _as_they_are(argument.type, config))
        for argument in field.arguments
    }
    takes_source = resolver.self_parameter is not None
    info_name = resolver.info_parameter.name if resolver.info_parameter else None

    def straight(source: object, info: GraphQLResolveInfo[Any], /, **arguments: Any) -> Any:  # noqa: ANN401 - the resolver's
        given = {}
        for name, value in arguments.items():
            python_name, unconverted = accepted[name]
            if type(value) not in unconverted:
                return otherwise(source, info, **arguments)
            given[python_name] = value
        if info_name is not None:
            given[info_name] = Info(_raw_info=info, _field=field)
        return resolver(source, **given) if takes_source else resolver(**given)

    return straight


def _as_they_are(type_: object, config: StrawberryConfig) -> frozenset[type]:
    """Of which classes a value of an argument is not converted: plain types, enums, our scalars, and null."""
    if isinstance(type_, StrawberryMaybe):  # is wrapped, null too
        return frozenset()
    if isinstance(type_, StrawberryOptional):
        return _as_they_are(type_.of_type, config) | {NoneType}
    if type_ is strawberry.ID or type_ in PLAIN:
        return PLAIN
    if isinstance(enum := getattr(type_, "__strawberry_definition__", type_), StrawberryEnumDefinition):
        return frozenset({enum.wrapped_cls})
    return frozenset({type_}) if isinstance(type_, type) and type_ in config.scalar_map else frozenset()
