"""The Strawberry schema as the transport needs it: documents parsed once, errors sorted into ours and theirs."""

import logging
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, cast

import strawberry
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSyntaxError,
    ValueNode,
    VariableDefinitionNode,
    get_operation_ast,
    parse,
)
from graphql import OperationType as AstOperationType
from graphql.execution import Executor
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from schema import incidents
from schema.limits import TOO_LONG, Limits
from schema.memo import MOST_VALUES, Known, Memo, MemoisingExecution, check_memoised
from schema.refusals import Explain, StreamEnded, explain_expected
from schema.requests import Operation
from schema.results import underlying
from telemetry.metrics import Metrics

log = logging.getLogger("divisionbell.schema")

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_USER_INPUT = "BAD_USER_INPUT"

CACHEABLE = 16 * 1024
"""Characters of the longest document that is kept: a syntax tree takes about fifty times its text."""


USUAL = Limits()
_SUGGESTION = re.compile(r" Did you mean [^?]*\?")


class ExecutableSchema(strawberry.Schema):
    """A schema whose errors are safe to show: every error of every result has a code, and faults of ours only an ID.

    `explain` names the exceptions clients may be told about. `limits` bounds an operation, `documents` how many
    parsed ones are kept (up to CACHEABLE characters each), `kept_values` how many completed values. All other arguments
    are those of `strawberry.Schema`.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - handed on
        explain: Explain = explain_expected,
        limits: Limits = USUAL,
        documents: int = 512,
        kept_values: int = MOST_VALUES,
        metrics: Metrics | None = None,
        **kwargs: Any,  # noqa: ANN401 - handed on
    ) -> None:
        super().__init__(*args, **kwargs)
        self.memo = Memo(check_memoised(self._schema), metrics=metrics, most_values=kept_values)
        self._execution: Any = type("Execution", (MemoisingExecution,), {"memo": self.memo})
        self.execution_context_class = self._execution
        self._valid = Known(most=documents)
        # `labels` costs as much as five increments, and what it is called with here is few.
        self._counted = cache(metrics.execution_cache_total.labels) if metrics is not None else None
        self._refusals = metrics.refusals_total if metrics is not None else None
        self.explain = explain
        self._limits = limits
        self._cheap = Known(most=documents)
        self._kinds: dict[tuple[str, str | None], OperationType] = {}
        self._kept = documents
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
        kind = self._kinds.get((query, name))
        if kind is not None:
            self._count("document", hit=True)
            return kind
        try:
            operation = get_operation_ast(self.document(query), name)
        except GraphQLError:
            return None
        if operation is None:
            return None
        kind = OperationType(operation.operation.value)
        if len(query) <= CACHEABLE:
            self._kinds[query, name] = kind
            if len(self._kinds) > self._kept:
                del self._kinds[next(iter(self._kinds))]
        return kind

    def operation_name(self, query: str, name: str | None) -> str | None:
        """The name of the operation that would run, said by the request or by the document alone."""
        operation = get_operation_ast(self.document(query), name)
        return operation.name.value if operation and operation.name else None

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
        if (excess := self._excess(context, known=known)) is not None:
            context.pre_execution_errors = [excess]
            return PreExecutionError(data=None, errors=[excess])
        self._count("validation", hit=known)
        refused = await super()._prepare_operation_async(context, extensions_runner)
        if refused is None and context.query and len(context.query) <= CACHEABLE:
            self._valid.add(context.query)
        if refused is not None:
            for mistake in refused.errors or ():
                mistake.extensions = {"code": VALIDATION_FAILED}
        return refused

    def _excess(self, context: ExecutionContext, *, known: bool) -> GraphQLError | None:
        """What is too large about an operation. A document that nothing can make too expensive is checked once."""
        query, document = context.query, context.graphql_document
        if (known and query in self._cheap) or document is None:
            return None
        if not known and (excess := self._limits.check(document, self._schema)) is not None:
            return excess
        if query and len(query) <= CACHEABLE and self._limits.worst(document, self._schema) <= self._limits.cost:
            self._cheap.add(query)
            return None
        name, variables = context._provided_operation_name, context.variables or {}  # noqa: SLF001 - as above
        return self._limits.too_expensive(document, self._schema, name, variables)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Give every error its code and log it once; Strawberry calls this for each result before anybody sees it."""
        self.sort_errors(errors, during=execution_context.operation_name if execution_context else None)

    def sort_errors(self, errors: list[GraphQLError], *, during: str | None) -> None:
        """Give every error of the operation named `during` its code; ours are logged, and keep nothing but an ID."""
        during = during or "an unnamed operation"
        incident_of: dict[tuple[type[BaseException], str], str] = {}  # forty rows that fail alike are one incident
        for error in errors:
            cause = underlying(error)
            if isinstance(cause, StreamEnded):
                log.debug("stream ended: %s", cause.reason)
                error.message = cause.reason
                continue
            if expected := self.explain(cause):
                log.debug("expected error during %s: %s", during, expected.code)
                error.message = expected.message
                error.extensions = {**expected.details, "code": expected.code}
            elif code := _client_mistake(error, cause):
                log.debug("refused %s: %s: %.200r", during, code, error.message)  # it holds what the client wrote
                error.extensions = {"code": code}
                if not self._limits.introspection:
                    error.message = _SUGGESTION.sub("", error.message)
            else:
                kind = (type(cause), str(cause))
                if kind not in incident_of:
                    incident_of[kind] = incidents.record(cause, during=during)
                error.message = incidents.message(incident_of[kind])
                error.extensions = dict(incidents.extensions(incident_of[kind]))
            if self._refusals is not None:
                self._refusals.labels(code=(error.extensions or {})["code"]).inc()

    def failed(self, error: Exception, *, during: str) -> ExecutionResult:
        """The result of an exception that a source of events raised."""
        shown = GraphQLError(str(error), original_error=error)
        self.sort_errors([shown], during=during)
        return ExecutionResult(data=None, errors=[shown])

    async def check(self, query: str, name: str | None, kind: OperationType) -> PreExecutionError | None:
        """Parse and validate without executing: what is wrong with an operation, if anything is."""
        prepared = self._create_execution_context(query, (kind,), operation_name=name)
        refused = await self._prepare_operation_async(prepared, self.create_extensions_runner(prepared, []))
        if refused is not None:
            self.process_errors(refused.errors or [], prepared)
        return refused

    def settled(self, operation: Operation) -> Executor[Any] | None:
        """An executor of a query that is valid, and that no variables can make too expensive; None for any other."""
        query = operation.query
        if not (query in self._valid and query in self._cheap):
            return None
        built = self._execution.build(
            self._schema,
            self.document(query),
            raw_variable_values=operation.variables,
            operation_name=operation.name,
            is_awaitable=cast("Any", optimized_is_awaitable),  # says bool where a TypeGuard is asked for
        )
        return built if isinstance(built, Executor) and built.operation.operation is AstOperationType.QUERY else None

    def count_known(self) -> None:
        """A document was neither parsed nor validated."""
        self._count("document", hit=True)
        self._count("validation", hit=True)

    def _count(self, of: str, *, hit: bool) -> None:
        if self._counted is not None:
            self._counted(of, "hit" if hit else "miss").inc()

    def _parse(self, query: str) -> DocumentNode:
        return parse(query, max_lexical_tokens=self._limits.tokens)


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
        return TOO_LONG if "tokens. Parsing aborted" in cause.message else PARSE_FAILED
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
