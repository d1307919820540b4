"""What a client may be told: refusals of a request, expected errors of an operation, deliberate ends of a stream."""

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

TEMPORARY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class ExpectedError(Exception):
    """An error a client is told as it is: a code to act upon, and a sentence that says what to do.

    `temporary`: trying again later may work, so a stream that meets it ends without `complete` and its client
    reconnects; any other ends the operation for good.
    """

    def __init__(
        self, code: str, message: str, *, temporary: bool = False, extensions: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.temporary = temporary
        self.details = dict(extensions or {})


Explain = Callable[[BaseException], ExpectedError | None]
"""Tells what a client may know of an exception; None: it is nobody's business but the operators'."""


def explain_expected(error: BaseException) -> ExpectedError | None:
    """The `Explain` for code that raises nothing but `ExpectedError`."""
    return error if isinstance(error, ExpectedError) else None


class StreamEnded(Exception):
    """Raised by a subscription's generator to end its stream without `complete`: the client reconnects and resumes.

    `reason` reaches the client as a comment, for people who read the stream with their own eyes.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HttpRefusal(Exception):
    """A request that is answered with a status of its own and a GraphQL-shaped body instead of being executed.

    `retry_after` becomes the Retry-After header and `extensions.retryAfterSeconds`, both rounded up to a second.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: timedelta | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = HTTPStatus(status)
        self.code = code
        self.message = message
        self.retry_after = retry_after
        self._headers = dict(headers or {})

    @property
    def temporary(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in TEMPORARY

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to this refusal."""
        headers = dict(self._headers)
        if self.retry_after is not None:
            headers.setdefault("Retry-After", str(_whole_seconds(self.retry_after)))
        if self.status is HTTPStatus.UNAUTHORIZED:
            headers.setdefault("WWW-Authenticate", "Bearer")
        return headers

    def payload(self) -> dict[str, Any]:
        """The body: `{"errors": [{"message", "extensions": {"code", …}}]}`."""
        extensions: dict[str, Any] = {"code": self.code}
        if self.retry_after is not None:
            extensions["retryAfterSeconds"] = _whole_seconds(self.retry_after)
        return {"errors": [{"message": self.message, "extensions": extensions}]}


def _whole_seconds(span: timedelta) -> int:
    return max(0, math.ceil(span.total_seconds()))
