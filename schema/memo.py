"""Completed values of objects that never change, kept from one query to the next.

Sound by construction (ADR 15): a type is marked with `memoised`, and `check_memoised` refuses a schema in which
anything below a marked type could look at a viewer, an argument or the clock. A selection with a variable or a
directive in it is never kept, nor is a value whose completion had an error.
"""

from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from graphql import (
    FieldNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    Node,
    OperationType,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
)
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.base import get_object_definition

from telemetry.metrics import Metrics

MOST_VALUES = 20_000
"""About 2 KB each, in 40 MB: 5,000 activities in a feed, with their edges, read and unread, their MPs and bills."""
MOST_SELECTIONS = 2_000
KEY = "__memo_kind__"
NO_KEY = (-1,)
"""Of what is never kept: no selection has this number."""
TEXTS = frozenset({"ID!", "String!"})

T = TypeVar("T", bound=type)


Key = tuple[Hashable, ...]
"""What tells an object from all others of its type."""


class Kind(NamedTuple):
    """What is known of a marked type: its `key`, and the fields that differ between viewers."""

    key: Callable[[Any], Key | None]
    varying: frozenset[str]


def memoised(key: Callable[[Any], Key | None], *, varying: Collection[str] = ()) -> Callable[[T], T]:
    """Mark a Strawberry type: objects with the same `key` are equal, now and later. None: do not keep this one.

    All but the `varying` fields, texts whose names are the same in Python: those are read from the object every time.
    """

    def mark(cls: T) -> T:
        setattr(cls, KEY, Kind(key, frozenset(varying)))
        return cls

    return mark


class NotMemoisable(TypeError):
    """A marked type has a field that could differ between viewers or moments."""


def check_memoised(schema: GraphQLSchema) -> dict[str, Kind]:
    """All marked types, by name. Raises NotMemoisable if what is below one of them is not fixed."""
    kinds = {
        name: kind
        for name, type_ in schema.type_map.items()
        if isinstance(type_, GraphQLObjectType) and (kind := getattr(_origin(type_), KEY, None)) is not None
    }
    for name, kind in kinds.items():
        type_ = schema.type_map[name]
        if not isinstance(type_, GraphQLObjectType) or type_.is_type_of is not None:
            raise NotMemoisable(f"{name} is part of an interface or a union of its own kind")
        if any(field.base_resolver for field in get_object_definition(_origin(type_), strict=True).fields):
            raise NotMemoisable(f"{name} has a field with a resolver")
        for field_name, field in type_.fields.items():
            below = get_named_type(field.type)
            if field.args or not (is_leaf_type(below) or below.name in kinds):
                raise NotMemoisable(f"{name}.{field_name} is not fixed: mark {below.name} too, or do without arguments")
            if field_name in kind.varying and str(field.type) not in TEXTS:
                raise NotMemoisable(f"{name}.{field_name} cannot vary: it is no text that is always there")
    return kinds


def _origin(type_: GraphQLObjectType) -> Any:  # noqa: ANN401 - a class of ours
    definition = type_.extensions.get("strawberry-definition")
    return getattr(definition, "origin", None)


class Selection(NamedTuple):
    """What is selected of an object. `holes`: varying fields by their names in the response; None: nothing is kept.

    `number` begins the keys of its values, and no other selection ever has it.
    """

    number: int
    nodes: tuple[FieldNode, ...]
    holes: Mapping[str, str] | None


class Memo:
    """Completed values by selection and object; the least recently used go first."""

    def __init__(
        self,
        kinds: dict[str, Kind],
        *,
        metrics: Metrics | None = None,
        most_values: int = MOST_VALUES,
        most_selections: int = MOST_SELECTIONS,
    ) -> None:
        self.kinds = kinds
        self._most_values = most_values
        self._most_selections = most_selections
        self._values: OrderedDict[Key, dict[str, Any]] = OrderedDict()
        # A syntax node is known by its id; it is kept beside, which keeps the id from being given to another.
        self._selections: OrderedDict[Hashable, Selection] = OrderedDict()
        self._numbers = count()
        counter = metrics.execution_cache_total if metrics else None
        self._hit = counter.labels(cache="memo", result="hit") if counter else None
        self._miss = counter.labels(cache="memo", result="miss") if counter else None

    def __len__(self) -> int:
        return len(self._values)

    def selection(self, of: str, nodes: tuple[FieldNode, ...], fragments: Mapping[str, Any]) -> Selection:
        """What the nodes select of an object of the type named `of`; kept if it is the same whatever the variables."""
        key = (of, *map(id, nodes))
        known = self._selections.get(key)
        if known is None:
            fixed = all(_is_plain(part) for node in nodes for part in _below(node, fragments, deep=True))
            varying = self.kinds[of].varying if of in self.kinds else ()
            own = (part for node in nodes for part in _below(node, fragments, deep=False))
            fields = [part for part in own if isinstance(part, FieldNode) and part.name.value in varying]
            holes = {(part.alias or part.name).value: part.name.value for part in fields}
            known = self._selections[key] = Selection(next(self._numbers), nodes, holes if fixed else None)
            if len(self._selections) > self._most_selections:
                self._selections.popitem(last=False)
        return known

    def get(self, selection: Selection, key: Key, own: object) -> dict[str, Any] | None:
        """The value kept of the object with that `key`, as it is for the object `own`."""
        full = (selection.number, *key)
        kept = self._values.get(full)
        counter = self._miss if kept is None else self._hit
        if counter is not None:
            counter.inc()
        if kept is None:
            return None
        self._values.move_to_end(full)
        return _filled(kept, selection.holes, own)

    def get_all(
        self, selection: Selection, keys: Iterable[Key | None], owns: Sequence[object]
    ) -> list[dict[str, Any]] | None:
        """As `get` for many; None unless all are here."""
        number, values = selection.number, self._values
        full = [(number, *key) if key is not None else NO_KEY for key in keys]
        kept = [values.get(key) for key in full]
        if None in kept:
            return None
        if self._hit is not None:
            self._hit.inc(len(full))
        for key in full:
            values.move_to_end(key)
        found = cast("list[dict[str, Any]]", kept)
        if not selection.holes:
            return found
        return [_filled(one, selection.holes, own) for one, own in zip(found, owns, strict=True)]

    def put(self, selection: Selection, key: Key, value: dict[str, Any]) -> None:
        """Keep the value of the object with that `key`, without what differs between viewers."""
        holes = selection.holes
        self._values[selection.number, *key] = value | dict.fromkeys(holes) if holes else value
        if len(self._values) > self._most_values:
            self._values.popitem(last=False)


def _filled(kept: dict[str, Any], holes: Mapping[str, str] | None, own: object) -> dict[str, Any]:
    return kept | {name: getattr(own, field) for name, field in holes.items()} if holes else kept


def _below(node: FieldNode, fragments: Mapping[str, Any], *, deep: bool) -> Iterator[Node]:
    """What is selected below a field, `deep` or of its own object only.

    Each fragment once, or a document of nested fragments would take for ever.
    """
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
        if selection is not node and not deep and isinstance(selection, FieldNode):
            continue
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
        if (found := self._selection(return_type, field_details_list)) is None:
            return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)
        kind, selection = found
        key = kind.key(result)
        if key is not None and (kept := self.memo.get(selection, key, result)) is not None:
            return kept
        errors = len(self.collected_errors.errors)
        value = super().complete_object_value(return_type, field_details_list, info, path, result, position_context)
        if key is not None and isinstance(value, dict) and len(self.collected_errors.errors) == errors:
            self.memo.put(selection, key, value)
        return value

    def complete_iterable_value(  # noqa: PLR0917 - graphql-core's signature
        self,
        item_type: Any,  # noqa: ANN401 - graphql-core's types
        field_details_list: Any,  # noqa: ANN401 - graphql-core's own list of nodes
        info: GraphQLResolveInfo[Any],
        path: Path,
        items: Iterable[Any],
        position_context: Any,  # noqa: ANN401 - handed on
    ) -> Any:  # noqa: ANN401 - a list, or what awaits one
        """See `GraphQLCoreExecutor.complete_iterable_value`. What has been completed before is put together at once."""
        type_ = get_nullable_type(item_type)
        if isinstance(items, list) and isinstance(type_, GraphQLObjectType):
            streamed = any(details.node.directives for details in field_details_list)
            found = None if streamed else self._selection(type_, field_details_list)
            if found is not None:
                kind, selection = found
                if (kept := self.memo.get_all(selection, map(kind.key, items), items)) is not None:
                    return kept
        return super().complete_iterable_value(item_type, field_details_list, info, path, items, position_context)

    def _selection(
        self,
        type_: GraphQLObjectType,
        field_details_list: Any,  # noqa: ANN401 - graphql-core's own list of nodes
    ) -> tuple[Kind, Selection] | None:
        """The kind of a marked type and what is selected of it; None if nothing is kept."""
        kind = self.memo.kinds.get(type_.name)
        if kind is None or self.operation.operation is not OperationType.QUERY:
            return None
        if any(
            details.defer_usage is not None or details.fragment_variable_values is not None
            for details in field_details_list
        ):
            return None
        nodes = tuple(details.node for details in field_details_list)
        selection = self.memo.selection(type_.name, nodes, self.fragments)
        return None if selection.holes is None else (kind, selection)
