"""Expected refusals of the resolvers. The schema shows their code and message to clients as they are."""

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
