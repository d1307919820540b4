"""How large an operation may be. Whatever depends on its document alone is checked once for each kept document.

The checks come before validation, which compares fields with each other and is what a hostile document makes slow; so
they take fields that do not exist and fragments that go in circles as they come, and leave it to validation to say so.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

from schema.refusals import ExpectedError

COSTS = "costs"
TOO_DEEP, TOO_LONG, TOO_EXPENSIVE = "QUERY_TOO_DEEP", "QUERY_TOO_LONG", "QUERY_TOO_EXPENSIVE"
INTROSPECTION_OFF = "INTROSPECTION_DISABLED"
USUAL_LIST = 10
"""Entries that a list without a size argument is taken to have."""
INTROSPECTION = 1_000
"""What `__schema` and `__type` cost: what is below them is bounded by graphql-core, but large."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What a root field costs by itself, in completed fields, and how long the lists below it are.

    Their length is the value of the argument `sized_by`, or its length if it is a list; `most` at most.
    """

    weight: int
    sized_by: str | None = None
    most: int = 1

    def size(self, field: FieldNode, definition: GraphQLField, variables: Mapping[str, Any] | None) -> int | None:
        """None: no argument says. Without `variables`, a variable is taken to be as large as it may be."""
        if self.sized_by is None:
            return None
        given = next((one.value for one in field.arguments or () if one.name.value == self.sized_by), None)
        if isinstance(given, VariableNode):
            if variables is None:
                return self.most
            return self._bounded(variables.get(given.name.value))
        if isinstance(given, IntValueNode):
            return self._bounded(int(given.value[:9]))
        if isinstance(given, ListValueNode):
            return self._bounded(given.values)
        argument = definition.args.get(self.sized_by)
        return self._bounded(argument.default_value if argument else None)

    def _bounded(self, value: object) -> int:
        if isinstance(value, list | tuple):
            value = len(value)
        return min(max(value, 1), self.most) if isinstance(value, int) else self.most


def costs(weight: int, *, sized_by: str | None = None, most: int = 1) -> dict[str, Any]:
    """The `metadata` of a root field; see `Costs`."""
    return {COSTS: Costs(weight, sized_by, most)}


@dataclass(frozen=True, slots=True)
class Limits:
    """`fields` and `aliases` count what is written in a document, `depth` and `cost` what it means once spread out.

    `cost` is in completed fields, roughly: 10,000 take 40 ms of a core when nothing is memoised.
    """

    tokens: int = 2_000
    fields: int = 300
    aliases: int = 30
    depth: int = 10
    cost: int = 10_000
    introspection: bool = True

    def check(self, document: DocumentNode, schema: GraphQLSchema) -> GraphQLError | None:
        """What is wrong with a document, whatever its variables are."""
        found = list(_fields(document))
        aliases = sum(field.alias is not None for field in found)
        if len(found) > self.fields or aliases > self.aliases:
            return _refusal(
                TOO_LONG,
                f"This document has {len(found)} fields and {aliases} aliases; {self.fields} and {self.aliases} are"
                " answered at most. Send several operations.",
            )
        if not self.introspection and any(field.name.value in {"__schema", "__type"} for field in found):
            return _refusal(INTROSPECTION_OFF, "This server does not describe its schema; it is published elsewhere.")
        depth = max((Walk(document, schema).depth(one.selection_set) for one in _operations(document)), default=0)
        if depth > self.depth:
            return _refusal(TOO_DEEP, f"This operation is {depth} levels deep; {self.depth} are answered at most.")
        return None

    def worst(self, document: DocumentNode, schema: GraphQLSchema) -> int:
        """The cost of the most expensive operation of a document, with whatever variables."""
        return max((_cost(document, schema, one, None) for one in _operations(document)), default=0)

    def too_expensive(
        self, document: DocumentNode, schema: GraphQLSchema, name: str | None, variables: Mapping[str, Any]
    ) -> GraphQLError | None:
        """Whether the operation costs too much with these variables."""
        operations = list(_operations(document))
        chosen = [one for one in operations if len(operations) == 1 or (one.name and one.name.value == name)]
        cost = max((_cost(document, schema, one, variables) for one in chosen), default=0)
        if cost <= self.cost:
            return None
        return _refusal(
            TOO_EXPENSIVE,
            f"This operation costs {cost}; {self.cost} is answered at most. Ask for fewer entries, or less of each.",
            cost=min(cost, 2**31 - 1),
            most=self.cost,
        )


class Walk:
    """Measures selections of one document, each fragment once, however often it is spread."""

    def __init__(
        self, document: DocumentNode, schema: GraphQLSchema, variables: Mapping[str, Any] | None = None
    ) -> None:
        self._schema = schema
        self._variables = variables
        self._fragments = {
            one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)
        }
        self._depths: dict[str, int] = {}
        self._costs: dict[tuple[str, int | None], int] = {}

    def depth(self, selections: SelectionSetNode | None) -> int:
        """Levels of fields. What the schema says of itself has no depth of its own: graphql-core bounds it."""
        deepest = 0
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                introspective = selection.name.value.startswith("__")
                below = 0 if introspective else self.depth(selection.selection_set)
                deepest = max(deepest, 1 + below)
            elif isinstance(selection, InlineFragmentNode):
                deepest = max(deepest, self.depth(selection.selection_set))
            elif isinstance(selection, FragmentSpreadNode):
                deepest = max(deepest, self._depth_of(selection.name.value))
        return deepest

    def _depth_of(self, name: str) -> int:
        if name not in self._depths:
            self._depths[name] = 0  # a fragment that leads back to itself: validation refuses it
            fragment = self._fragments.get(name)
            self._depths[name] = self.depth(fragment.selection_set) if fragment else 0
        return self._depths[name]

    def cost(self, selections: SelectionSetNode | None, parent: Any, size: int | None) -> int:  # noqa: ANN401 - a type
        """Completed fields of one object of type `parent`; lists below it have `size` entries, if that is known."""
        total = 0
        for selection in selections.selections if selections else ():
            if isinstance(selection, FieldNode):
                total += self._cost_of_field(selection, parent, size)
            elif isinstance(selection, InlineFragmentNode):
                narrowed = selection.type_condition
                type_ = self._schema.type_map.get(narrowed.name.value) if narrowed else parent
                total += self.cost(selection.selection_set, type_, size)
            elif isinstance(selection, FragmentSpreadNode):
                total += self._cost_of_fragment(selection.name.value, size)
        return total

    def _cost_of_field(self, field: FieldNode, parent: Any, size: int | None) -> int:  # noqa: ANN401 - a type
        name = field.name.value
        if name in {"__schema", "__type"}:
            return INTROSPECTION
        definition = getattr(parent, "fields", {}).get(name)
        if definition is None:
            return 1 + self.cost(field.selection_set, None, size)
        weight = 0
        strawberry = definition.extensions.get("strawberry-definition")
        known = strawberry.metadata.get(COSTS) if strawberry else None
        if known is not None:
            weight, size = known.weight, known.size(field, definition, self._variables)
        times = 1
        if _is_list(definition.type):
            times, size = USUAL_LIST if size is None else size, None
        return weight + times * (1 + self.cost(field.selection_set, get_named_type(definition.type), size))

    def _cost_of_fragment(self, name: str, size: int | None) -> int:
        key = name, size
        if key not in self._costs:
            self._costs[key] = 0
            fragment = self._fragments.get(name)
            if fragment is not None:
                type_ = self._schema.type_map.get(fragment.type_condition.name.value)
                self._costs[key] = self.cost(fragment.selection_set, type_, size)
        return self._costs[key]


def _cost(
    document: DocumentNode,
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any] | None,
) -> int:
    if variables is not None:
        variables = {**_defaults(operation), **variables}
    return Walk(document, schema, variables).cost(
        operation.selection_set, schema.get_root_type(operation.operation), None
    )


def _defaults(operation: OperationDefinitionNode) -> dict[str, Any]:
    """The numbers that variables have if they are not given."""
    return {
        one.variable.name.value: int(one.default_value.value[:9])
        for one in operation.variable_definitions or ()
        if isinstance(one.default_value, IntValueNode)
    }


def _fields(document: DocumentNode) -> Iterator[FieldNode]:
    """Every field that is written in a document."""
    left = [getattr(one, "selection_set", None) for one in document.definitions]
    while left:
        for selection in getattr(left.pop(), "selections", ()):
            if isinstance(selection, FieldNode):
                yield selection
            if not isinstance(selection, FragmentSpreadNode):
                left.append(selection.selection_set)


def _operations(document: DocumentNode) -> Iterator[OperationDefinitionNode]:
    return (one for one in document.definitions if isinstance(one, OperationDefinitionNode))


def _is_list(type_: object) -> bool:
    if isinstance(type_, GraphQLNonNull):
        type_ = type_.of_type
    return isinstance(type_, GraphQLList)


def _refusal(code: str, message: str, **details: int) -> GraphQLError:
    return GraphQLError(message, original_error=ExpectedError(code, message, extensions=details))
