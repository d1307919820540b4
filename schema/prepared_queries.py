"""A query that has been answered before, kept ready: answering it once more needs its variables and its resolvers.

Strawberry and graphql-core look at each request as if nobody had sent its document before: contexts and runners for
extensions that there are none of, an executor, the fields and arguments of the document. For the page of a feed whose
edges are in memory that was two thirds of its execution (ADR 21).
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from graphql import DocumentNode, GraphQLError, GraphQLObjectType, Node, Visitor, visit
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields
from graphql.execution.executor import CollectedErrors
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values
from graphql.language import DirectiveNode
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from schema.executable import ExecutableSchema
from schema.prepared import MOST_MISTAKES, Root
from schema.requests import Operation

MOST_QUERIES = 512
"""About 20 KB each, with the fields that graphql-core collects in a document once."""
NO_VARIABLES = VariableValues({}, {})


@dataclass(frozen=True, slots=True)
class PreparedQuery:
    """What all who send the query share: `prototype` has neither variables nor a context of theirs.

    `fields` are those of the root, and `root` the only one of them, if there is one; `arguments` are its, unless a
    variable is among them.
    """

    prototype: Executor[Any]
    type: GraphQLObjectType
    fields: GroupedFieldSet
    root: Root | None
    arguments: Mapping[str, Any] | None

    @classmethod
    def of(cls, executor: Executor[Any]) -> Self | None:
        """From an executor of a valid query. None where a variable decides what is selected, by @skip or @include:
        what graphql-core has collected of such a document holds for one request only.
        """
        document = DocumentNode(definitions=(executor.operation, *executor.fragment_definitions.values()))
        type_ = executor.schema.query_type
        if type_ is None or _is_conditional(document):
            return None
        executor.variable_values, executor.context_value = NO_VARIABLES, None
        fields, _, _ = collect_fields(
            executor.schema, executor.fragments, NO_VARIABLES, type_, executor.operation, executor.hide_suggestions
        )
        root = Root.of(executor)
        arguments = None
        if root is not None and not _has_variables(root.node.arguments):
            arguments = get_argument_values(root.definition, root.node, NO_VARIABLES)
        return cls(executor, type_, fields, root, arguments)

    async def answer(self, operation: Operation, context: object) -> ExecutionResult:
        """Execute it for one who sends it. Errors are as graphql-core makes them."""
        prototype = self.prototype
        executor: Any = object.__new__(type(prototype))
        executor.__dict__ = prototype.__dict__.copy()  # as `copy` would, which takes 3 µs to find out how
        executor.collected_errors = CollectedErrors()
        executor.context_value = context
        executor.operation_extensions = operation.extensions
        if definitions := prototype.operation.variable_definitions:
            given = operation.variables or {}
            values = get_variable_values(prototype.schema, definitions, given, max_errors=MOST_MISTAKES)
            if isinstance(values, list):
                return ExecutionResult(data=None, errors=values)
            executor.variable_values = values
        try:
            data = await self._data(executor)
        except GraphQLError as error:  # of a field that is never null
            executor.collected_errors.add(error, None)
            data = None
        return ExecutionResult(data=data, errors=executor.collected_errors.errors or None)

    async def _data(self, executor: Any) -> dict[str, Any]:  # noqa: ANN401 - an Executor, some of whose types are wrong
        root = self.root
        if root is None:
            data = executor.execute_collected_root_fields(self.type, None, self.fields, False, ())
            fields: dict[str, Any] = await data if optimized_is_awaitable(data) else data
            return fields
        [(name, details)] = self.fields.items()
        try:
            return {name: await self._completed(executor, root, details)}
        except Exception as error:  # noqa: BLE001 - any: it belongs to the field, and is sorted by who asked
            executor.handle_field_error(error, root.definition.type, details, root.path)
            return {name: None}

    async def _completed(self, executor: Any, root: Root, details: FieldDetailsList) -> Any:  # noqa: ANN401 - as above
        """The value of the only field, as graphql-core's `execute_field` makes it."""
        definition, arguments = root.definition, self.arguments
        info = executor.build_resolve_info(definition, [root.node], root.type, root.path)
        if arguments is None:
            arguments = get_argument_values(definition, root.node, executor.variable_values)
        result = (definition.resolve or executor.field_resolver)(None, info, **arguments)
        if optimized_is_awaitable(result):
            result = await result
        value = executor.complete_value(definition.type, details, info, root.path, result, None)
        return await value if optimized_is_awaitable(value) else value


class Queries:
    """Those of one schema: answers them, and keeps ready up to `most` that it has answered."""

    def __init__(self, schema: ExecutableSchema, *, most: int = MOST_QUERIES) -> None:
        self._schema = schema
        self._most = most
        self._kept: OrderedDict[tuple[str, str | None], PreparedQuery] = OrderedDict()

    def __contains__(self, operation: Operation) -> bool:
        """Whether it is a query that is ready."""
        return (operation.query, operation.name) in self._kept

    async def answer(self, operation: Operation, context: object) -> ExecutionResult:
        """The result of a query or a mutation, with its errors sorted."""
        key = operation.query, operation.name
        prepared = self._kept.get(key)
        if prepared is None:
            result = await self._schema.execute(
                operation.query,
                variable_values=operation.variables,
                context_value=context,
                operation_name=operation.name,
                operation_extensions=operation.extensions,
                allowed_operation_types=(OperationType.QUERY, OperationType.MUTATION),
            )
            self._keep(operation)
            return result
        self._kept.move_to_end(key)
        self._schema.count_known()
        result = await prepared.answer(operation, context)
        if result.errors:
            name = prepared.prototype.operation.name
            self._schema.sort_errors(result.errors, during=name.value if name else None)
        return result

    def _keep(self, operation: Operation) -> None:
        executor = self._schema.settled(operation)
        prepared = PreparedQuery.of(executor) if executor is not None else None
        if prepared is not None:
            self._kept[operation.query, operation.name] = prepared
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)


def _has_variables(nodes: Iterable[Node] | None) -> bool:
    found = _Found()
    for node in nodes or ():
        visit(node, found)
    return found.variable


def _is_conditional(document: Node) -> bool:
    found = _Found()
    visit(document, found)
    return found.conditional


class _Found(Visitor):
    """What there is below a node: a `variable`; a directive that has one, which makes it `conditional`."""

    def __init__(self) -> None:
        super().__init__()
        self.variable = self.conditional = False

    def enter_variable(self, *_: object) -> None:
        self.variable = True

    def enter_directive(self, node: DirectiveNode, *_: object) -> None:
        self.conditional = self.conditional or _has_variables(node.arguments)
