"""Scalars of the schema."""

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.name_converter import NameConverter

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


class Names(NameConverter):
    """Names of the schema, each made once: Strawberry makes those of a field's arguments anew for each request."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[str, str] = {}

    def apply_naming_config(self, name: str) -> str:
        """See NameConverter. Asked for names in our code only, so they are few."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = super().apply_naming_config(name)
        return made


def configuration() -> StrawberryConfig:
    """How Strawberry builds our schema."""
    return StrawberryConfig(
        name_converter=Names(),
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
        },
    )
