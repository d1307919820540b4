"""From a subscription to the pieces of its response: its resolver's events, each executed and encoded."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any, Protocol

from strawberry.types import ExecutionResult

from schema import sse
from schema.opening import SubscriberContext, Subscriptions
from schema.opening import Subscription as Opened
from schema.rendering import Rendering
from schema.requests import Operation
from schema.results import Verdict, judge
from schema.wire import Wire


class StreamContext(SubscriberContext, Protocol):
    """What a subscription needs of its context, and what it gives it.

    `stream_cursor`: the cursor of the event that was yielded last. `wire`: the connection the response is written to.
    `document`: the operation's text.
    """

    stream_cursor: str | None
    wire: Wire | None
    document: str

    def rendered(self, error: BaseException | None, /) -> bool:
        """The event that was yielded last is rendered, or could not be. False: do not send it."""
        ...

    def greeting(self) -> object | None:
        """The first event, if the source need not be asked for it."""
        ...

    def catch_up(self, rendering: Rendering, wire: Wire, /) -> None:
        """After the greeting: send what was missed, if the source need not be asked for that either."""
        ...

    @property
    def at_edge(self) -> bool:
        """Whether a source that ends has only caught up, so that its stream can go on without it."""
        ...

    def sit(self, rendering: Rendering, wire: Wire, resume: Callable[[], None], /) -> None:
        """At the edge: go on without the source. `resume` has it asked for events again."""
        ...

    def rise(self) -> None:
        """The client does not keep up: `resume` the stream, if it goes on without its source."""
        ...

    def close(self) -> None:
        """The subscription is over."""
        ...


class SubscriptionSource:
    """The `schema.sse_response.Source` of a subscription."""

    __slots__ = ("_context", "_subscriptions", "_wanted")

    def __init__(self, subscriptions: Subscriptions, operation: Operation, context: StreamContext) -> None:
        self._subscriptions = subscriptions
        self._wanted: Operation | Opened = operation
        self._context = context

    async def chunks(self, wire: Wire) -> AsyncGenerator[bytes, None]:
        """SSE events; after them `complete`, unless the client should come back."""
        opened = await self._opened(wire)
        last = self._last(opened) if isinstance(opened, ExecutionResult) else []
        try:
            if isinstance(opened, Opened):
                if first := self._greeting(opened):
                    yield first
                    self._context.catch_up(opened.rendering, wire)
                if not self._context.at_edge:
                    async with _closing(aiter(opened.source)) as events:
                        async for event in events:
                            if frame := self._frame(opened, event):
                                yield frame
                if not self._context.at_edge:
                    yield sse.COMPLETE
        except Exception as error:  # noqa: BLE001 - judged: what a client may know, and whether it should come back
            # Only its bytes are kept: the error leads to this frame, and would be kept by it until a full collection.
            last = self._last(self._subscriptions.schema.failed(error, during="a subscription"))
        for chunk in last:
            yield chunk

    async def _opened(self, wire: Wire) -> Opened | ExecutionResult:
        wanted = self._wanted
        if isinstance(wanted, Opened):
            return wanted
        self._context.wire, self._context.document = wire, wanted.query
        result = await self._subscriptions.open(wanted, self._context)
        if isinstance(result, Opened):
            self._wanted = result
        return result

    def _greeting(self, opened: Opened) -> bytes:
        event = self._context.greeting()
        return b"" if event is None else self._frame(opened, event)

    def _frame(self, opened: Opened, event: object) -> bytes:
        """Empty for an event that could not be rendered, and is tried again."""
        frame, error = opened.rendering.frame(event, self._context.stream_cursor)
        return frame if self._context.rendered(error) else b""

    def _last(self, result: ExecutionResult) -> list[bytes]:
        if judge(result, self._subscriptions.schema.explain) is Verdict.BROKEN:
            return [sse.encode_comment("; ".join(error.message for error in result.errors or ()))]
        return [sse.encode_event(result, self._context.stream_cursor), sse.COMPLETE]

    def sit(self, wire: Wire, resume: Callable[[], None]) -> bool:
        """Let the stream go on in the fan-out, if it has caught up."""
        if isinstance(self._wanted, Operation) or not self._context.at_edge:
            return False
        self._context.sit(self._wanted.rendering, wire, resume)
        return True

    def rise(self) -> None:
        """The peer does not keep up."""
        self._context.rise()

    async def close(self) -> None:
        """Give the stream back."""
        self._context.close()


def _closing(events: AsyncIterator[Any]) -> AbstractAsyncContextManager[AsyncIterator[Any]]:
    """A block at whose end a resolver's generator is closed; other iterators have nothing to close."""
    return aclosing(events) if isinstance(events, AsyncGenerator) else nullcontext(events)
