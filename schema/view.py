"""/graphql over HTTP: JSON for queries and mutations, server-sent events for subscriptions and who asks for them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Generic, TypeVar

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.types import ExecutionResult
from strawberry.types.graphql import OperationType

from schema import incidents, sse
from schema.accept import EVENT_STREAM, GRAPHQL_JSON, HTML, JSON, RESPONSES, preferred
from schema.conditional import revalidated
from schema.documents import NONE, TrustedDocuments
from schema.executable import ExecutableSchema
from schema.opening import Subscriptions
from schema.prepared_queries import Queries
from schema.refusals import HttpRefusal
from schema.rendering import MOST_BYTES, Present, ShareKey, as_it_is, nobodys
from schema.requests import GraphQLRequest, Operation, read_operation
from schema.results import http_status, to_payload
from schema.sse_response import SseResponse
from schema.streams import OpenStreams
from schema.subscribing import StreamContext, SubscriptionSource
from telemetry.tracing import OFF, Tracing, current

LONGEST_NAME = 80
"""Characters of an operation's name in a trace."""

ViewerT = TypeVar("ViewerT")
ContextT = TypeVar("ContextT", bound=StreamContext)


class GraphQLView(GraphQL[ContextT, None], Generic[ViewerT, ContextT]):
    """The ASGI application behind `/graphql`.

    `authenticate`, `admit` (for subscriptions) and `make_context` raise HttpRefusal for requests they do not want;
    anything else is a fault.
    `explorer` answers a browser that has no query. `streams` is drained by the server before it stops. `stalled` is how
    long a client may take nothing, `retry` the shortest delay before an
    EventSource reconnects (up to twice that, by `jitter`, drawn from [0, 1)). `body_limit` is in bytes, `longest`
    what a query or a mutation may take. `refused` is told the code of each refusal. `closing` makes
    the last event of a stream that was refused for now, `share` tells which events are the same for everybody,
    `present` makes the schema's objects of them.
    """

    schema: ExecutableSchema

    def __init__(
        self,
        schema: ExecutableSchema,
        *,
        authenticate: Callable[[Request], Awaitable[ViewerT]],
        make_context: Callable[[Request, ViewerT], Awaitable[ContextT]],
        explorer: Callable[[Request], Awaitable[Response]],
        admit: Callable[[Request, ViewerT], Awaitable[Callable[[], None]]] | None = None,
        streams: OpenStreams,
        stalled: timedelta = timedelta(seconds=10),
        retry: timedelta = timedelta(seconds=2),
        body_limit: int = 1024 * 1024,
        documents: TrustedDocuments = NONE,
        longest: timedelta = timedelta(seconds=10),
        refused: Callable[[str], None] = lambda _: None,
        closing: Callable[[HttpRefusal], Mapping[str, Any] | None] | None = None,
        share: ShareKey = nobodys,
        present: Present = as_it_is,
        kept_frames: int = MOST_BYTES,
        jitter: Callable[[], float] = random.random,
        tracing: Tracing = OFF,
    ) -> None:
        super().__init__(schema, graphql_ide=None, subscription_protocols=())
        self._authenticate = authenticate
        self._make_context = make_context
        self._explorer = explorer
        self._admit = admit
        self._streams = streams
        self._queries = Queries(schema)
        self._subscriptions = Subscriptions(schema, share=share, present=present, kept_frames=kept_frames)
        self._stalled = stalled
        self._retry = retry
        self._body_limit = body_limit
        self._documents = documents
        self._longest = longest.total_seconds()
        self._refused = refused
        self._closing = closing
        self._jitter = jitter
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})  # before it is accepted: a plain 403
            return
        request = GraphQLRequest(scope, receive)
        try:
            with self._tracing.operation("graphql", parent=request.headers.get("traceparent")) as span:
                answer = await self._answer_or_refuse(request)
                if span:
                    span.set({"http.response.status_code": answer.status_code if isinstance(answer, Response) else 200})
        except ClientDisconnect:
            return
        await answer(scope, receive, send)

    async def _answer_or_refuse(self, request: Request) -> ASGIApp:
        try:
            return await self._answer(request)
        except ClientDisconnect:
            raise
        except HttpRefusal as refusal:
            return self._refuse(request, refusal)
        except Exception as error:  # noqa: BLE001 (recorded; the client gets its ID)
            return _fault(request, incidents.record(error, during=f"{request.method} {request.url.path}"))

    async def _answer(self, request: Request) -> ASGIApp:
        if request.method not in ("GET", "POST"):
            raise _method_not_allowed("Send a GraphQL operation by POST, or a query by GET.", allow="GET, POST")
        if _is_browser(request):
            return await self._explorer(request)
        viewer = await self._authenticate(request)
        operation = await read_operation(request, body_limit=self._body_limit, documents=self._documents)
        kind = self.schema.operation_type(operation.query, operation.name)
        self._name_span(operation, kind)
        if kind is OperationType.MUTATION and request.method == "GET":
            raise _method_not_allowed("Send mutations by POST: GET never changes anything.", allow="POST")
        media_type = _media_type(_accept(request), kind)
        if kind is OperationType.SUBSCRIPTION and self._streams.draining.is_set():
            raise HttpRefusal(
                503,
                "UNAVAILABLE",
                "This server is shutting down: connect again after the given delay.",
                retry_after=self._delay(),
            )
        subscribes = kind is OperationType.SUBSCRIPTION
        release = await self._admit(request, viewer) if self._admit and subscribes else _nothing
        try:
            context = await self._make_context(request, viewer)
        except BaseException:
            release()
            raise
        if kind is OperationType.SUBSCRIPTION:
            return self._subscription(operation, context, release)
        if media_type == EVENT_STREAM:
            return await self._single_result(operation, context)
        result = await self._execute(operation, context)
        answer = _json(to_payload(result), http_status(result, media_type), media_type)
        return revalidated(request, answer) if request.method == "GET" and not result.errors else answer

    def _name_span(self, operation: Operation, kind: OperationType | None) -> None:
        """Spans are found by the operation's kind and its name, if it has one: names are the clients' choice."""
        if (span := current()) and span.sampled and kind is not None:
            name = (self.schema.operation_name(operation.query, operation.name) or "")[:LONGEST_NAME]
            span.rename(f"{kind.value} {name}" if name else kind.value)
            span.set({"graphql.operation.type": kind.value, "graphql.operation.name": name})

    async def _execute(self, operation: Operation, context: ContextT) -> ExecutionResult:
        try:
            async with asyncio.timeout(self._longest):
                return await self._queries.answer(operation, context)
        except TimeoutError as error:
            raise HttpRefusal(
                503,
                "OPERATION_TIMEOUT",
                f"This operation was given up after {self._longest:g} s; what a mutation has done stays done. Ask for"
                " less, or try again later.",
                retry_after=self._delay(),
            ) from error

    async def _single_result(self, operation: Operation, context: ContextT) -> Response:
        event = sse.encode_event(await self._execute(operation, context), None)
        return Response(b"".join((self._opening(), event, sse.COMPLETE)), headers=sse.HEADERS)

    def _subscription(self, operation: Operation, context: ContextT, over: Callable[[], None]) -> ASGIApp:
        return SseResponse(
            opening=self._opening(),
            source=SubscriptionSource(self._subscriptions, operation, context),
            streams=self._streams,
            name=f"stream of {operation.name or 'an unnamed operation'}",
            stalled=self._stalled,
            over=over,
        )

    def _opening(self) -> bytes:
        return sse.encode_opening(self._delay(), "stream open")

    def _refuse(self, request: Request, refusal: HttpRefusal) -> Response:
        self._refused(refusal.code)
        media_type = preferred(_accept(request), RESPONSES)
        if refusal.temporary and request.method == "GET" and media_type == EVENT_STREAM:
            return self._refuse_softly(refusal)
        return _json(refusal.payload(), refusal.status, _error_type(request), refusal.headers)

    def _refuse_softly(self, refusal: HttpRefusal) -> Response:
        """A stream that ends at once: any status but 200 stops an EventSource for good, this makes it try again."""
        body = sse.encode_opening(
            self._delay(at_least=refusal.retry_after or self._retry), f"{refusal.code}: {refusal.message}"
        )
        payload = self._closing(refusal) if self._closing else None
        if payload is not None:
            body += sse.encode_next(payload)
        return Response(body, headers=sse.HEADERS)

    def _delay(self, at_least: timedelta | None = None) -> timedelta:
        return (self._retry if at_least is None else at_least) + self._retry * self._jitter()


def _nothing() -> None:
    """What is to be done after an operation that nobody counts."""


def _media_type(accept: str | None, kind: OperationType | None) -> str:
    """What to answer an operation as. Raises HttpRefusal (406)."""
    offers = (EVENT_STREAM,) if kind is OperationType.SUBSCRIPTION else RESPONSES
    media_type = preferred(accept, offers)
    if media_type is None:
        answers = "A subscription is answered" if kind is OperationType.SUBSCRIPTION else "Operations are answered"
        raise HttpRefusal(
            406, "NOT_ACCEPTABLE", f"{answers} as {' or '.join(offers)}: send the header Accept: {offers[0]}."
        )
    return media_type


def _is_browser(request: Request) -> bool:
    if request.method != "GET" or not request.query_params.keys().isdisjoint(("query", "documentId", "extensions")):
        return False
    return preferred(_accept(request), (*RESPONSES, HTML)) == HTML


def _accept(request: Request) -> str | None:
    return ", ".join(request.headers.getlist("accept")) or None


def _error_type(request: Request) -> str:
    return preferred(_accept(request), (JSON, GRAPHQL_JSON)) or JSON


def _json(
    payload: Mapping[str, Any], status: int, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(payload),
        status,
        {
            "Content-Type": f"{media_type}; charset=utf-8",
            "Vary": "Accept, Authorization",
            "Cache-Control": "private, no-store",
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        },
    )


def _fault(request: Request, incident: str) -> Response:
    errors = [{"message": incidents.message(incident), "extensions": incidents.extensions(incident)}]
    return _json({"errors": errors}, 500, _error_type(request))


def _method_not_allowed(message: str, *, allow: str) -> HttpRefusal:
    return HttpRefusal(405, "METHOD_NOT_ALLOWED", message, headers={"Allow": allow})
