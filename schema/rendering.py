"""Render once, send to all: an operation's events as bytes, shared by everybody who sent the same operation.

Stock execution costs 150 µs for a subscriber and an event. Here it is paid once for an operation and an event; what may
differ between two subscribers of one operation is only what their frames do not depend on.
"""

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Mapping, Sequence
from copy import copy
from typing import Any

import orjson
from graphql import (
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    Visitor,
    is_required_argument,
    visit,
)
from graphql.execution import Executor
from graphql.execution.values import VariableValues
from graphql.language import DocumentNode, VariableNode

from schema import incidents, sse
from schema.results import is_internal, underlying
from telemetry.tracing import child

ProcessErrors = Callable[[list[GraphQLError]], None]
ShareKey = Callable[[Any, frozenset[str]], Hashable | None]
"""What tells an event from all others, if it is the same for everybody; None if it is for one subscriber alone.

The second argument is the names of all fields that the document selects, anywhere in it.
"""
Present = Callable[[Any], object]
"""Makes the schema's object of an event that a source yields."""


def nobodys(_: object, __: frozenset[str]) -> None:
    """A ShareKey: nothing is shared."""


def as_it_is(event: object) -> object:
    """A Present: the event is the schema's object."""
    return event


MOST_BYTES = 64 * 1024 * 1024


class FrameCache:
    """Frames by rendering and event, up to `limit` bytes of them; the oldest go first."""

    def __init__(self, limit: int = MOST_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._frames: OrderedDict[tuple[object, Hashable], bytes] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, rendering: object, event: Hashable) -> bytes | None:
        """The frame, if it is known."""
        frame = self._frames.get((rendering, event))
        if frame is None:
            self.misses += 1
        else:
            self.hits += 1
        return frame

    def put(self, rendering: object, event: Hashable, frame: bytes) -> None:
        """Keep a frame."""
        self._frames[rendering, event] = frame
        self._size += len(frame)
        while self._size > self._limit:
            _, oldest = self._frames.popitem(last=False)
            self._size -= len(oldest)


class Rendering:
    """One operation with the variables that its selection uses. Executes without a viewer, and without awaiting.

    `executor` must have been built for the operation; of it only what all subscribers share is kept: `context` has no
    viewer, and `variables` are the only ones left. `fields` are the names of all that the document selects.
    """

    __slots__ = ("_cache", "_executor", "_fields", "_name", "_present", "_process_errors", "_share")

    def __init__(
        self,
        executor: Executor[Any],
        *,
        context: object,
        variables: Sequence[str],
        fields: frozenset[str],
        share: ShareKey,
        present: Present,
        process_errors: ProcessErrors,
        cache: FrameCache,
    ) -> None:
        self._name = executor.operation.name.value if executor.operation.name else ""
        self._executor = copy(executor)
        self._executor.context_value = context
        self._executor.variable_values = _only(executor.variable_values, variables)
        self._fields = fields
        self._share = share
        self._present = present
        self._process_errors = process_errors
        self._cache = cache

    def frame(self, event: Any, cursor: str | None) -> tuple[bytes, BaseException | None]:  # noqa: ANN401 - a source's
        """An event as SSE with `cursor` as its `id`, and what went wrong if a fault of ours is in it."""
        key = self._share(event, self._fields)
        if key is not None and (known := self._cache.get(self, key)) is not None:
            return known, None
        try:
            with child("render", graphql_operation_name=self._name):
                result = self._execute(self._present(event))
                frame = sse.encode_event(result, cursor)
        except Exception as error:  # noqa: BLE001 - recorded; whoever asked decides what becomes of the event
            incidents.record(error, during="rendering an event")
            return b"", error
        broken = next((underlying(error) for error in result.errors or () if is_internal(error)), None)
        if key is not None and broken is None:
            self._cache.put(self, key, frame)
        return frame, broken

    def _execute(self, event: object) -> ExecutionResult:
        executor = self._executor.build_per_event_executor(event)
        # Kept by the identity of a list that is made anew for each event, this would grow with every one of them.
        executor._relevant_sub_fields = {}  # noqa: SLF001 - graphql-core's, shared by the executors of all events
        result = executor.execute_operation(False)
        if not isinstance(result, ExecutionResult):
            if isinstance(result, Coroutine):
                result.close()
            raise TypeError("the fields of an event must not await: a fan-out waits for nobody")
        if result.errors:
            self._process_errors(result.errors)
        return result


def shared_variables(schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode) -> list[str]:
    """Names of the variables that an event's bytes may depend on.

    Arguments of the root field say where a stream starts and what it wants, which everybody may have to themselves; not
    so where the field could not be executed without them.
    """
    found = _Variables()
    if any(is_required_argument(argument) for field in _root_fields(schema, operation) for argument in field):
        visit(operation, found)
    else:
        for node in operation.selection_set.selections:
            if isinstance(node, FieldNode):
                for part in (*(node.directives or ()), node.selection_set):
                    if part is not None:
                        visit(part, found)
            else:
                visit(node, found)
        for directive in operation.directives or ():
            visit(directive, found)
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode):
            visit(definition, found)
    return sorted(found.names)


def selected_fields(document: DocumentNode) -> frozenset[str]:
    """Names of all fields that a document selects, wherever, and whatever it calls them."""
    found = _Fields()
    visit(document, found)
    return frozenset(found.names)


def variables_key(variables: Mapping[str, Any] | None, names: Sequence[str]) -> bytes:
    """Equal for equal values of the variables named."""
    given = variables or {}
    # Left out is not null: only the former has the variable's default.
    return orjson.dumps([[given[name]] if name in given else [] for name in names], option=orjson.OPT_SORT_KEYS)


def _root_fields(schema: GraphQLSchema, operation: OperationDefinitionNode) -> list[list[Any]]:
    root = schema.get_root_type(operation.operation)
    names = [node.name.value for node in operation.selection_set.selections if isinstance(node, FieldNode)]
    return [list(root.fields[name].args.values()) for name in names if root is not None and name in root.fields]


class _Variables(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_variable(self, node: VariableNode, *_: Node | object) -> None:
        self.names.add(node.name.value)


class _Fields(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def enter_field(self, node: FieldNode, *_: Node | object) -> None:
        self.names.add(node.name.value)


def _only(values: VariableValues, names: Sequence[str]) -> VariableValues:
    return VariableValues(
        sources={name: source for name, source in values.sources.items() if name in names},
        coerced={name: value for name, value in values.coerced.items() if name in names},
    )
