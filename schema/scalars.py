"""Scalars of the schema."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from resolvers.errors import CursorRefused
from streams.cursor import Cursor, CursorInvalid


def parse_cursor(text: object) -> Cursor:
    """Read a client's cursor. Raises CursorRefused."""
    try:
        return Cursor.parse(str(text))
    except CursorInvalid as error:
        raise CursorRefused(
            f"{error}. Use one that this server gave you, or refetch 'feed' and start from its 'head'."
        ) from error


def configuration() -> StrawberryConfig:
    """How Strawberry builds our schema."""
    return StrawberryConfig(
        scalar_map={
            Cursor: strawberry.scalar(
                name="Cursor",
                description=(
                    "A place in the log, written `<milliseconds>-<sequence>`. Opaque, but ordered: compare as two"
                    " integers. It is what a client has seen up to, and resumes from."
                ),
                serialize=str,
                parse_value=parse_cursor,
            ),
        }
    )
