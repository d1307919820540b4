"""What an execution result means to the transport: its JSON, its HTTP status, and whether a stream goes on after it."""

from enum import Enum, auto
from typing import Any

from graphql import ExecutionResult as GraphQLExecutionResult
from graphql import GraphQLError
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError

from schema import incidents
from schema.accept import GRAPHQL_JSON
from schema.refusals import Explain, StreamEnded


class Verdict(Enum):
    """What a stream does with a result of its subscription."""

    EVENT = auto()
    """Send it and go on."""
    LAST = auto()
    """Send it and complete: trying again would meet the same answer."""
    BROKEN = auto()
    """End without `complete`, so that the client reconnects and resumes."""


def underlying(error: GraphQLError) -> BaseException:
    """The exception that was raised, under the layers GraphQL put around it."""
    cause: BaseException = error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    return cause


def is_request_error(result: ExecutionResult | GraphQLExecutionResult) -> bool:
    """Whether nothing was executed: no error belongs to a field."""
    return result.data is None and bool(result.errors) and all(error.path is None for error in result.errors or ())


def to_payload(result: ExecutionResult | GraphQLExecutionResult) -> dict[str, Any]:
    """The GraphQL response. `data` is left out when nothing was executed, as the specification demands."""
    payload: dict[str, Any] = {} if is_request_error(result) else {"data": result.data}
    if result.errors:
        payload["errors"] = [error.formatted for error in result.errors]
    if result.extensions:
        payload["extensions"] = result.extensions
    return payload


def http_status(result: ExecutionResult, media_type: str) -> int:
    """The status of a JSON answer: only `application/graphql-response+json` tells client mistakes by status."""
    if not is_request_error(result):
        return 200
    if any(is_internal(error) for error in result.errors or ()):
        return 500
    return 400 if media_type == GRAPHQL_JSON else 200


def is_internal(error: GraphQLError) -> bool:
    """Whether a reported error is a fault of ours."""
    return (error.extensions or {}).get("code") == incidents.CODE


def judge(result: ExecutionResult, explain: Explain) -> Verdict:
    """What a stream does with a result of its subscription.

    An error with a path belongs to a field of this event: it is told, and the next event may be well. Any other, and
    any before the first event, is the end of the source.
    """
    early = isinstance(result, PreExecutionError)
    ends = [error for error in result.errors or () if early or error.path is None]
    if not ends:
        return Verdict.EVENT
    return Verdict.BROKEN if any(_may_pass(error, explain) for error in ends) else Verdict.LAST


def _may_pass(error: GraphQLError, explain: Explain) -> bool:
    cause = underlying(error)
    if is_internal(error) or isinstance(cause, StreamEnded):
        return True
    explained = explain(cause)
    return explained is not None and explained.temporary
