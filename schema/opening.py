"""Opening subscriptions: each runs its resolver, and shares its rendering with all that sent the same operation."""

from collections.abc import AsyncIterable, Awaitable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from graphql import ExecutionResult, GraphQLError, create_source_event_stream
from graphql.execution import Executor
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from schema.executable import CACHEABLE, ExecutableSchema
from schema.rendering import FrameCache, Rendering, ShareKey, shared_variables, variables_key
from schema.requests import Operation

MOST_OPERATIONS = 1_000
"""Operations of which is known that they are valid, and how they are rendered."""

K = TypeVar("K")
V = TypeVar("V")


class SubscriberContext(Protocol):
    """What is needed of the context of one that subscribes."""

    def without_viewer(self) -> object:
        """The context in which what everybody is shown is executed."""
        ...


@dataclass(frozen=True, slots=True)
class Subscription:
    """A source of events, and how each becomes bytes."""

    source: AsyncIterable[Any]
    rendering: Rendering


class Subscriptions:
    """Those of one schema. `share` tells which events are the same for everybody."""

    def __init__(self, schema: ExecutableSchema, *, share: ShareKey = lambda _: None) -> None:
        self.schema = schema
        self.frames = FrameCache()
        self._share = share
        self._valid: dict[tuple[str, str | None], None] = {}
        self._shared_variables: dict[tuple[str, str | None], list[str]] = {}
        self._renderings: dict[tuple[str, str | None, bytes], Rendering] = {}

    async def open(self, operation: Operation, context: SubscriberContext) -> Subscription | PreExecutionError:
        """Run the resolver; what it gives is the source of events, still to be rendered one by one."""
        if (refused := await self._check(operation)) is not None:
            return refused
        executor = StrawberryGraphQLCoreExecutionContext.build(
            self.schema._schema,  # noqa: SLF001 - graphql-core's, of which Strawberry's is made
            self.schema.document(operation.query),
            None,
            context,
            operation.variables or {},
            operation.name,
            is_awaitable=cast("Any", optimized_is_awaitable),  # says bool where a TypeGuard is asked for
            operation_extensions=operation.extensions,
        )
        if isinstance(executor, list):
            return self._failed(executor, operation)
        source = create_source_event_stream(executor)
        if isinstance(source, Awaitable):
            source = await source
        if isinstance(source, ExecutionResult):
            return self._failed(source.errors or [], operation)
        return Subscription(source, self._rendering(operation, executor, context))

    async def _check(self, operation: Operation) -> PreExecutionError | None:
        """What has passed once passes again: validating costs 1.2 ms, once for 100,000 equal documents."""
        key = operation.query, operation.name
        if key in self._valid:
            return None
        refused = await self.schema.check(operation.query, operation.name, OperationType.SUBSCRIPTION)
        if refused is None and len(operation.query) <= CACHEABLE:
            _keep(self._valid, key, None)
        return refused

    def _failed(self, errors: list[GraphQLError], operation: Operation) -> PreExecutionError:
        self.schema.sort_errors(errors, during=operation.name)
        return PreExecutionError(data=None, errors=errors)

    def _rendering(self, operation: Operation, executor: Executor[Any], context: SubscriberContext) -> Rendering:
        """The rendering of equal operations, made for the first of them."""
        text = operation.query, operation.name
        names = self._shared_variables.get(text)
        if names is None:
            document = self.schema.document(operation.query)
            names = shared_variables(self.schema._schema, document, executor.operation)  # noqa: SLF001 - as above
            _keep(self._shared_variables, text, names)
        key = *text, variables_key(operation.variables, names)
        rendering = self._renderings.get(key)
        if rendering is None:
            rendering = Rendering(
                executor,
                context=context.without_viewer(),
                variables=names,
                share=self._share,
                process_errors=lambda errors: self.schema.sort_errors(errors, during=operation.name),
                cache=self.frames,
            )
            _keep(self._renderings, key, rendering)
        return rendering


def _keep(cache: dict[K, V], key: K, value: V) -> None:
    """Remember up to MOST_OPERATIONS; the oldest are forgotten first."""
    cache[key] = value
    if len(cache) > MOST_OPERATIONS:
        del cache[next(iter(cache))]
