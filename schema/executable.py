"""The Strawberry schema as the transport needs it: documents parsed once, errors sorted into ours and theirs."""

import logging
from collections.abc import AsyncIterable, Awaitable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar, cast

import strawberry
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    ValueNode,
    VariableDefinitionNode,
    create_source_event_stream,
    get_operation_ast,
    parse,
)
from graphql import ExecutionResult as GraphQLExecutionResult
from graphql.execution import Executor
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from schema import incidents
from schema.memo import Known, Memo, MemoisingExecution, check_memoised
from schema.refusals import Explain, StreamEnded, explain_expected
from schema.rendering import FrameCache, ProcessErrors, Rendering, ShareKey, shared_variables, variables_key
from schema.requests import Operation
from schema.results import underlying
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.schema")

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_USER_INPUT = "BAD_USER_INPUT"

CACHEABLE = 16 * 1024
"""Characters of the longest document that is kept: a syntax tree takes about fifty times its text."""


MOST_OPERATIONS = 1_000
"""Subscriptions of which is known that they are valid, and how they are rendered."""

K = TypeVar("K")
V = TypeVar("V")


class SubscriberContext(Protocol):
    """What the schema needs of the context of one that subscribes."""

    def without_viewer(self) -> object:
        """The context in which what everybody is shown is executed."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """A source of events, and how each becomes bytes."""

    source: AsyncIterable[Any]
    rendering: Rendering


class ExecutableSchema(strawberry.Schema):
    """A schema whose errors are safe to show: every error of every result has a code, and faults of ours only an ID.

    `explain` names the exceptions clients may be told about. `max_tokens` bounds a document, `documents` how many
    parsed ones are kept (up to CACHEABLE characters each). `share` tells which events of subscriptions are the same for
    everybody. All other arguments are those of `strawberry.Schema`.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - handed on
        explain: Explain = explain_expected,
        share: ShareKey = lambda _: None,
        max_tokens: int = 10_000,
        documents: int = 512,
        metrics: Metrics | None = None,
        **kwargs: Any,  # noqa: ANN401 - handed on
    ) -> None:
        super().__init__(*args, **kwargs)
        self.memo = Memo(check_memoised(self._schema), metrics=metrics)
        self.execution_context_class = type("Execution", (MemoisingExecution,), {"memo": self.memo})
        self._valid = Known(most=documents)
        self._metrics = metrics
        self.explain = explain
        self.frames = FrameCache()
        self._share = share
        self._checked: dict[tuple[str, str | None], None] = {}
        self._shared_variables: dict[tuple[str, str | None], list[str]] = {}
        self._renderings: dict[tuple[str, str | None, bytes], Rendering] = {}
        self._max_tokens = max_tokens
        self._cached_document = lru_cache(maxsize=documents)(self._parse)

    def document(self, query: str) -> DocumentNode:
        """The parsed document. Raises GraphQLError for one that cannot be parsed."""
        if len(query) > CACHEABLE:
            return self._parse(query)
        hits = self._cached_document.cache_info().hits
        document = self._cached_document(query)
        self._count("document", hit=self._cached_document.cache_info().hits > hits)
        return document

    def operation_type(self, query: str, name: str | None) -> OperationType | None:
        """What kind of operation would run; None when there is none, and executing it tells why."""
        try:
            operation = get_operation_ast(self.document(query), name)
        except GraphQLError:
            return None
        return OperationType(operation.operation.value) if operation else None

    async def _prepare_operation_async(
        self, context: ExecutionContext, extensions_runner: SchemaExtensionsRunner
    ) -> PreExecutionError | None:
        try:
            context.graphql_document = self.document(context.query or "")
        except GraphQLError as error:
            return _refused(context, [error], PARSE_FAILED)
        wanted = context._provided_operation_name  # noqa: SLF001 - what the client asked for, before any default
        if get_operation_ast(context.graphql_document, wanted) is None:
            unknown = GraphQLError(_which_operation(wanted))
            return _refused(context, [unknown], BAD_USER_INPUT)
        if known := context.query in self._valid:
            context.pre_execution_errors = []  # what Strawberry takes for "validated before"
        self._count("validation", hit=known)
        refused = await super()._prepare_operation_async(context, extensions_runner)
        if refused is None and context.query and len(context.query) <= CACHEABLE:
            self._valid.add(context.query)
        if refused is not None:
            for mistake in refused.errors or ():
                mistake.extensions = {"code": VALIDATION_FAILED}
        return refused

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Give every error its code and log it once; Strawberry calls this for each result before anybody sees it."""
        self._explain(
            errors, (execution_context.operation_name if execution_context else None) or "an unnamed operation"
        )

    def _explain(self, errors: list[GraphQLError], during: str) -> None:
        incident_of: dict[tuple[type[BaseException], str], str] = {}  # forty rows that fail alike are one incident
        for error in errors:
            cause = underlying(error)
            if isinstance(cause, StreamEnded):
                log.debug("stream ended: %s", cause.reason)
                error.message = cause.reason
            elif expected := self.explain(cause):
                log.debug("expected error during %s: %s", during, expected.code)
                error.message = expected.message
                error.extensions = {**expected.details, "code": expected.code}
            elif code := _client_mistake(error, cause):
                log.info("refused %s: %s: %.200r", during, code, error.message)
                error.extensions = {"code": code}
            else:
                kind = (type(cause), str(cause))
                if kind not in incident_of:
                    incident_of[kind] = incidents.record(cause, during=during)
                error.message = incidents.message(incident_of[kind])
                error.extensions = dict(incidents.extensions(incident_of[kind]))

    async def open_subscription(
        self, operation: Operation, context: SubscriberContext
    ) -> "Subscription | PreExecutionError":
        """Run a subscription's resolver; what it gives is the source of events, still to be rendered one by one."""
        query, name = operation.query, operation.name
        if (refused := await self._check_subscription(operation, context)) is not None:
            return refused
        document = self.document(query)
        executor = StrawberryGraphQLCoreExecutionContext.build(
            self._schema,
            document,
            None,
            context,
            operation.variables or {},
            name,
            is_awaitable=cast("Any", optimized_is_awaitable),  # says bool where a TypeGuard is asked for
            operation_extensions=operation.extensions,
        )
        if isinstance(executor, list):
            return self._failed_early(executor, operation)
        source = create_source_event_stream(executor)
        if isinstance(source, Awaitable):
            source = await source
        if isinstance(source, GraphQLExecutionResult):
            return self._failed_early(source.errors or [], operation)
        return Subscription(source, self._rendering(operation, executor, context))

    def failed(self, error: Exception, *, during: str) -> ExecutionResult:
        """The result of an exception that a source of events raised."""
        shown = GraphQLError(str(error), original_error=error)
        self._process(during)([shown])
        return ExecutionResult(data=None, errors=[shown])

    async def _check_subscription(self, operation: Operation, context: object) -> PreExecutionError | None:
        """Parse and validate; what has passed once passes again: 1.2 ms for the first of 100,000 equal documents."""
        key = operation.query, operation.name
        if key in self._checked:
            return None
        prepared = self._create_execution_context(
            operation.query, (OperationType.SUBSCRIPTION,), operation.variables, context, None, operation.name
        )
        refused = await self._prepare_operation_async(prepared, self.create_extensions_runner(prepared, []))
        if refused is not None:
            self.process_errors(refused.errors or [], prepared)
        elif len(operation.query) <= CACHEABLE:
            _keep(self._checked, key, None)
        return refused

    def _failed_early(self, errors: list[GraphQLError], operation: Operation) -> PreExecutionError:
        self._process(operation.name)(errors)
        return PreExecutionError(data=None, errors=errors)

    def _process(self, during: str | None) -> ProcessErrors:
        return lambda errors: self._explain(errors, during or "an unnamed operation")

    def _rendering(self, operation: Operation, executor: Executor[Any], context: SubscriberContext) -> Rendering:
        """The rendering of equal operations, made for the first of them."""
        text = operation.query, operation.name
        names = self._shared_variables.get(text)
        if names is None:
            names = shared_variables(self._schema, self.document(operation.query), executor.operation)
            _keep(self._shared_variables, text, names)
        key = *text, variables_key(operation.variables, names)
        rendering = self._renderings.get(key)
        if rendering is None:
            rendering = Rendering(
                executor,
                context=context.without_viewer(),
                variables=names,
                share=self._share,
                process_errors=self._process(operation.name),
                cache=self.frames,
            )
            _keep(self._renderings, key, rendering)
        return rendering

    def _count(self, cache: str, *, hit: bool) -> None:
        if self._metrics is not None:
            self._metrics.execution_cache_total.labels(cache=cache, result="hit" if hit else "miss").inc()

    def _parse(self, query: str) -> DocumentNode:
        return parse(query, max_lexical_tokens=self._max_tokens)


def _keep(cache: dict[K, V], key: K, value: V) -> None:
    """Remember up to MOST_OPERATIONS; the oldest are forgotten first."""
    cache[key] = value
    if len(cache) > MOST_OPERATIONS:
        del cache[next(iter(cache))]


def _refused(context: ExecutionContext, errors: list[GraphQLError], code: str) -> PreExecutionError:
    for error in errors:
        error.extensions = {"code": code}
    context.pre_execution_errors = errors
    return PreExecutionError(data=None, errors=errors)


def _which_operation(name: str | None) -> str:
    if name is None:
        return "The document must hold one operation; with several, say which one to run in operationName."
    return f"The document has no operation named {name!r}: correct operationName."


def _client_mistake(error: GraphQLError, cause: BaseException) -> str | None:
    """The code for an error the request itself caused, None for a fault of ours.

    GraphQL raises plain errors for both. It blames the request by the nodes it points at (a variable, a value), or,
    before anything was executed, by no path at all; what it points at in a field is a value of ours it could not
    complete.
    """
    if isinstance(cause, GraphQLSyntaxError):
        return PARSE_FAILED
    code = (error.extensions or {}).get("code")
    if code in (VALIDATION_FAILED, BAD_USER_INPUT):
        return str(code)
    if _points_at_input(error.nodes or ()):
        return BAD_USER_INPUT
    if isinstance(cause, GraphQLError) and error.path is None:
        return BAD_USER_INPUT
    return None


def _points_at_input(nodes: Sequence[object]) -> bool:
    return bool(nodes) and all(isinstance(node, VariableDefinitionNode | ValueNode) for node in nodes)
