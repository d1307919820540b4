"""Opening subscriptions: each runs its resolver, and shares its rendering with all that sent the same operation."""

from collections.abc import AsyncIterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from graphql import GraphQLError
from graphql.execution import Executor
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from schema.executable import CACHEABLE, ExecutableSchema
from schema.prepared import Prepared
from schema.rendering import MOST_BYTES, FrameCache, Present, Rendering, ShareKey, as_it_is, nobodys, variables_key
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
    """Those of one schema. `share` tells which events are the same for everybody, `present` makes objects of them."""

    def __init__(
        self,
        schema: ExecutableSchema,
        *,
        share: ShareKey = nobodys,
        present: Present = as_it_is,
        kept_frames: int = MOST_BYTES,
    ) -> None:
        self.schema = schema
        self.frames = FrameCache(kept_frames)
        self._share = share
        self._present = present
        self._prepared: dict[tuple[str, str | None], Prepared] = {}
        self._renderings: dict[tuple[str, str | None, bytes], Rendering] = {}

    async def open(self, operation: Operation, context: SubscriberContext) -> Subscription | PreExecutionError:
        """Run the resolver; what it gives is the source of events, still to be rendered one by one."""
        prepared = self._prepared.get((operation.query, operation.name)) or await self._prepare(operation)
        if isinstance(prepared, PreExecutionError):
            return prepared
        executor = prepared.executor(operation, context)
        if isinstance(executor, list):
            return self._failed(executor, operation)
        source = await prepared.source(executor)
        if isinstance(source, list):
            return self._failed(source, operation)
        return Subscription(source, self._rendering(operation, prepared, executor, context))

    async def _prepare(self, operation: Operation) -> Prepared | PreExecutionError:
        """What has passed once passes again: validating costs 1.2 ms, once for 100,000 equal documents."""
        refused = await self.schema.check(operation.query, operation.name, OperationType.SUBSCRIPTION)
        if refused is not None:
            return refused
        graphql_schema = self.schema._schema  # noqa: SLF001 - graphql-core's, of which Strawberry's is made
        prepared = Prepared.of(graphql_schema, self.schema.document(operation.query), operation)
        if isinstance(prepared, list):
            return self._failed(prepared, operation)
        if len(operation.query) <= CACHEABLE:
            _keep(self._prepared, (operation.query, operation.name), prepared)
        return prepared

    def _failed(self, errors: list[GraphQLError], operation: Operation) -> PreExecutionError:
        self.schema.sort_errors(errors, during=operation.name)
        return PreExecutionError(data=None, errors=errors)

    def _rendering(
        self, operation: Operation, prepared: Prepared, executor: Executor[Any], context: SubscriberContext
    ) -> Rendering:
        """The rendering of equal operations, made for the first of them."""
        key = operation.query, operation.name, variables_key(operation.variables, prepared.variables)
        rendering = self._renderings.get(key)
        if rendering is None:
            rendering = Rendering(
                executor,
                context=context.without_viewer(),
                variables=prepared.variables,
                fields=prepared.fields,
                share=self._share,
                present=self._present,
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
