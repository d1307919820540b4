"""Expected refusals of the resolvers. The schema shows their code and message to clients as they are."""

import math
from datetime import timedelta
from typing import ClassVar


class Refusal(Exception):
    """Something a client may be told: a code to act upon, and a sentence that says what to do."""

    code: ClassVar[str] = "BAD_USER_INPUT"


class InvalidInput(Refusal):
    """A value that no retry makes valid."""


class CursorRefused(Refusal):
    """A cursor that is none of ours."""

    code = "CURSOR_INVALID"


class CursorFromTheFuture(Refusal):
    """A cursor that the log has not reached."""

    code = "CURSOR_FROM_THE_FUTURE"


class Unavailable(Refusal):
    """PostgreSQL did not answer, or not in time. Trying again later may work."""

    code = "UNAVAILABLE"


class Unauthenticated(Refusal):
    """No token, or not one that counts (any more)."""

    code = "UNAUTHENTICATED"


class Forbidden(Refusal):
    """The token does not carry the scope."""

    code = "FORBIDDEN"


class TooMany(Refusal):
    """More in a minute than one user or address may; `wait` until it fits again."""

    code = "RATE_LIMITED"

    def __init__(self, message: str, *, wait: timedelta) -> None:
        super().__init__(message)
        self.wait = wait

    @property
    def seconds(self) -> int:
        """`wait` in whole seconds, at least one."""
        return max(1, math.ceil(self.wait.total_seconds()))
