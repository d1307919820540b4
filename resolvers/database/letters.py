"""Dead letters in PostgreSQL: the log of them, and what operators do with them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from resolvers.database.queries import Database
from resolvers.database.tables import dead_letters
from streams.cursor import Cursor
from streams.dead_letters import EVERYBODY, Letter


class LetterState(StrEnum):
    """What became of a dead letter."""

    DEAD = "DEAD"
    REDRIVEN = "REDRIVEN"
    DISCARDED = "DISCARDED"


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A letter as operators see it; instants are aware. `healed_at`: a redriven one has reached its subscriber."""

    id: int
    letter: Letter
    state: LetterState
    created_at: datetime
    healed_at: datetime | None


class Letters:
    """`streams.dead_letters.LetterStore` on PostgreSQL, and the operators' side of it."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def write(self, letter: Letter) -> bool:
        """Keep a letter; one that was redriven and failed again is dead again. Raises Unavailable."""
        query = insert(dead_letters).values(
            stream=letter.stream,
            cursor=int(letter.cursor),
            activity_id=letter.activity_id,
            subscriber=letter.subscriber,
            error=letter.error.replace("\0", ""),
            delivery_count=letter.attempts,
            first_delivered_at=_instant(letter.first_ms),
            last_delivered_at=_instant(letter.last_ms),
        )
        query = query.on_conflict_do_update(
            index_elements=["subscriber", "cursor"],
            set_={
                "state": LetterState.DEAD.value,
                "healed_at": None,
                **{name: query.excluded[name] for name in ("error", "delivery_count", "last_delivered_at")},
            },
            where=dead_letters.c.state == LetterState.REDRIVEN.value,
        )
        async with self._database.writing("write_dead_letter") as connection:
            return (await connection.execute(query.returning(dead_letters.c.id))).first() is not None

    async def poisonous(self, most: int) -> Sequence[Cursor]:
        """The newest entries that nobody can be shown. Raises Unavailable."""
        query = (
            sa.select(dead_letters.c.cursor)
            .where(dead_letters.c.subscriber == EVERYBODY, dead_letters.c.state != LetterState.REDRIVEN.value)
            .order_by(dead_letters.c.cursor.desc())
            .limit(most)
        )
        async with self._database.reading("poisonous") as connection:
            return [Cursor(row.cursor) for row in await connection.execute(query)]

    async def to_heal(self) -> Sequence[tuple[str, int, Cursor]]:
        """Letters that were redriven and have not reached their subscriber. Raises Unavailable."""
        waits = sa.and_(dead_letters.c.state == LetterState.REDRIVEN.value, dead_letters.c.healed_at.is_(None))
        query = sa.select(dead_letters.c.subscriber, dead_letters.c.id, dead_letters.c.cursor).where(waits)
        async with self._database.reading("letters_to_heal") as connection:
            return [(row.subscriber, row.id, Cursor(row.cursor)) for row in await connection.execute(query)]

    async def waiting(self) -> Mapping[str, int]:
        """How many letters wait for an operator (`dead`), or for their subscriber (`redriven`). Raises Unavailable."""
        waits = sa.and_(dead_letters.c.state == LetterState.REDRIVEN.value, dead_letters.c.healed_at.is_(None))
        dead = sa.select(sa.func.count()).where(dead_letters.c.state == LetterState.DEAD.value).scalar_subquery()
        redriven = sa.select(sa.func.count()).select_from(dead_letters).where(waits).scalar_subquery()
        async with self._database.reading("letters_waiting") as connection:
            row = (await connection.execute(sa.select(dead.label("dead"), redriven.label("redriven")))).one()
        return {"dead": row.dead, "redriven": row.redriven}

    async def healed(self, letter_id: int) -> None:
        """A redriven letter reached its subscriber. Raises Unavailable."""
        query = sa.update(dead_letters).where(dead_letters.c.id == letter_id, dead_letters.c.healed_at.is_(None))
        async with self._database.writing("letter_healed") as connection:
            await connection.execute(query.values(healed_at=sa.func.clock_timestamp()))

    async def page(self, *, first: int, before: int | None, state: LetterState | None = None) -> Sequence[StoredLetter]:
        """Up to `first` letters, newest first, with IDs below `before`. Raises Unavailable."""
        query = sa.select(dead_letters).order_by(dead_letters.c.id.desc()).limit(first)
        if before is not None:
            query = query.where(dead_letters.c.id < before)
        if state is not None:
            query = query.where(dead_letters.c.state == state.value)
        async with self._database.reading("dead_letters") as connection:
            return [_stored(row) for row in await connection.execute(query)]

    async def settle(self, letter_id: int, state: LetterState) -> tuple[StoredLetter | None, bool]:
        """Turn a dead letter into a redriven or discarded one.

        Returns the letter as it is now, None if there is none, and whether it was dead before. A letter that was
        settled keeps what it was settled as. Raises Unavailable.
        """
        healed_at = sa.case((dead_letters.c.subscriber == EVERYBODY, sa.func.clock_timestamp()))
        change = (
            sa.update(dead_letters)
            .where(dead_letters.c.id == letter_id, dead_letters.c.state == LetterState.DEAD.value)
            # One of everybody's goes to whoever is connected, and is not waited for.
            .values(state=state.value, healed_at=healed_at if state is LetterState.REDRIVEN else None)
            .returning(dead_letters)
        )
        async with self._database.writing("settle_dead_letter") as connection:
            row = (await connection.execute(change)).one_or_none()
            if row is not None:
                return _stored(row), True
            row = (
                await connection.execute(sa.select(dead_letters).where(dead_letters.c.id == letter_id))
            ).one_or_none()
        return (_stored(row) if row is not None else None), False


def _stored(row: sa.Row[Any]) -> StoredLetter:
    letter = Letter(
        stream=row.stream,
        cursor=Cursor(row.cursor),
        activity_id=row.activity_id,
        subscriber=row.subscriber,
        error=row.error,
        attempts=row.delivery_count,
        first_ms=round(row.first_delivered_at.timestamp() * 1_000),
        last_ms=round(row.last_delivered_at.timestamp() * 1_000),
    )
    return StoredLetter(row.id, letter, LetterState(row.state), row.created_at, row.healed_at)


def _instant(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1_000, UTC)
