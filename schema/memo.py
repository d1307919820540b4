"""Completed values of objects that never change, kept from one query to the next.

Sound by construction (ADR 15): a type is marked with `memoised`, and `check_memoised` refuses a schema in which
anything below a marked type could look at a viewer, an argument or the clock. A selection with a variable or a
directive in it is never kept, nor is a value whose completion had an error.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    Node,
    OperationType,
    get_named_type,
    is_leaf_type,
)
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.base import get_object_definition

from telemetry.metrics import Metrics

MOST_VALUES = 20_000
"""About 2 KB each: the window's 5,000 activities in four shapes, in 40 MB."""
MOST_SELECTIONS = 2_000
KEY = "__memo_key__"

T = TypeVar("T", bound=type)


def memoised(key: Callable[[Any], Hashable | None]) -> Callable[[T], T]:
    """Mark a Strawberry type: objects with the same `key` are equal, now and later. None: do not keep this one."""

    def mark(cls: T) -> T:
        setattr(cls, KEY, staticmethod(key))
        return cls

    return mark


class NotMemoisable(TypeError):
    """A marked type has a field that could differ between viewers or moments."""


def check_memoised(schema: GraphQLSchema) -> dict[str, Callable[[Any], Hashable | None]]:
    """The keys of all marked types, by name. Raises NotMemoisable if what is below one of them is not fixed."""
    keys = {
        name: key
        for name, type_ in schema.type_map.items()
        if isinstance(type_, GraphQLObjectType) and (key := getattr(_origin(type_), KEY, None)) is not None
    }
    for name in keys:
        type_ = schema.type_map[name]
        if not isinstance(type_, GraphQLObjectType) or type_.is_type_of is not None:
            raise NotMemoisable(f"{name} is part of an interface or a union of its own kind")
        if any(field.base_resolver for field in get_object_definition(_origin(type_), strict=True).fields):
            raise NotMemoisable(f"{name} has a field with a resolver")
        for field_name, field in type_.fields.items():
            below = get_named_type(field.type)
            if field.args or not (is_leaf_type(below) or below.name in keys):
                raise NotMemoisable(f"{name}.{field_name} is not fixed: mark {below.name} too, or do without arguments")
    return keys


def _origin(type_: GraphQLObjectType) -> Any:  # noqa: ANN401 - a class of ours
    definition = type_.extensions.get("strawberry-definition")
    return getattr(definition, "origin", None)


class Memo:
    """Completed values by selection and object; the least recently used go first."""

    def __init__(
        self,
        keys: dict[str, Callable[[Any], Hashable | None]],
        *,
        metrics: Metrics | None = None,
        most_values: int = MOST_VALUES,
        most_selections: int = MOST_SELECTIONS,
    ) -> None:
        self.keys = keys
        self._most_values = most_values
        self._most_selections = most_selections
        self._values: OrderedDict[Hashable, tuple[tuple[FieldNode, ...], dict[str, Any]]] = OrderedDict()
        # A syntax node is known by its id; it is kept beside, which keeps the id from being given to another.
        self._fixed: OrderedDict[int, tuple[FieldNode, bool]] = OrderedDict()
        counter = metrics.execution_cache_total if metrics else None
        self._hit = counter.labels(cache="memo", result="hit") if counter else None
        self._miss = counter.labels(cache="memo", result="miss") if counter else None

    def __len__(self) -> int:
        return len(self._values)

    def is_fixed(self, node: FieldNode, fragments: Mapping[str, Any]) -> bool:
        """Whether the field selects the same whatever the variables are."""
        known = self._fixed.get(id(node))
        if known is None:
            known = (node, all(_is_plain(part) for part in _below(node, fragments)))
            self._fixed[id(node)] = known
            if len(self._fixed) > self._most_selections:
                self._fixed.popitem(last=False)
        return known[1]

    def get(self, key: Hashable) -> dict[str, Any] | None:
        """The value kept under `key`."""
        kept = self._values.get(key)
        if kept is not None:
            self._values.move_to_end(key)
        counter = self._miss if kept is None else self._hit
        if counter is not None:
            counter.inc()
        return None if kept is None else kept[1]

    def put(self, key: Hashable, nodes: tuple[FieldNode, ...], value: dict[str, Any]) -> None:
        """Keep a value whose key has the ids of `nodes`."""
        self._values[key] = (nodes, value)
        if len(self._values) > self._most_values:
            self._values.popitem(last=False)


def _below(node: FieldNode, fragments: Mapping[str, Any]) -> Iterator[Node]:
    """What is selected below a field. Each fragment once, or a document of nested fragments would take for ever."""
    waiting: list[Node] = [node]
    entered: set[str] = set()
    while waiting:
        selection: Any = waiting.pop()
        if selection is not node:
            yield selection
        if isinstance(selection, FragmentSpreadNode):
            if selection.name.value in entered:
                continue
            entered.add(selection.name.value)
            selection = fragments[selection.name.value].definition
        waiting += selection.selection_set.selections if selection.selection_set else ()


def _is_plain(node: Node) -> bool:
    """No directive, no argument: nothing that a variable could change."""
    return not getattr(node, "directives", ()) and not getattr(node, "arguments", ())


class Known:
    """The texts that were added last, up to `most` of them."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._texts: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, text: object) -> bool:
        if text not in self._texts:
            return False
        self._texts.move_to_end(str(text))
        return True

    def add(self, text: str) -> None:
        """Add a text; the one that was not looked up for longest goes."""
        self._texts[text] = None
        if len(self._texts) > self._most:
            self._texts.popitem(last=False)


class MemoisingExecution(StrawberryGraphQLCoreExecutionContext):
    """Execution that completes an object of a marked type once. Subclass with the `memo` of a schema."""

    memo: ClassVar[Memo]

    def complete_object_value(  # noqa: PLR0917 - graphql-core's signature
        self,
        return_type: GraphQLObjectType,
        field_details_list: Any,  # noqa: ANN401 - graphql-core's own list of nodes
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,  # noqa: ANN401 - an object of the schema
        position_context: Any,  # noqa: ANN401 - handed on
    ) -> Any:  # noqa: ANN401 - a value, or what awaits one
        """See `GraphQLCoreExecutor.complete_object_value`."""
        memo = self.memo
        key_of = memo.keys.get(return_type.name)
        own = key_of(result) if key_of and self.operation.operation is OperationType.QUERY else None
        if own is None or not all(
            details.defer_usage is None
            and details.fragment_variable_values is None
            and memo.is_fixed(details.node, self.fragments)
            for details in field_details_list
        ):
            return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)
        key = (return_type.name, tuple(id(details.node) for details in field_details_list), own)
        if (kept := memo.get(key)) is not None:
            return kept
        errors = len(self.collected_errors.errors)
        value = super().complete_object_value(return_type, field_details_list, info, path, result, position_context)
        if isinstance(value, dict) and len(self.collected_errors.errors) == errors:
            memo.put(key, tuple(details.node for details in field_details_list), value)
        return value
