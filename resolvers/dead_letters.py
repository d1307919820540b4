"""What operators do with dead letters."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from resolvers.database.letters import Letters, LetterState, StoredLetter
from streams.dead_letters import DeadLetters
from streams.errors import StreamsUnavailable


@dataclass(frozen=True, slots=True)
class LettersPage:
    """Newest first."""

    letters: Sequence[StoredLetter]
    has_next: bool


@dataclass(frozen=True, slots=True)
class LetterProblem:
    """Why nothing was done: there is no such letter, or it was settled before (then `letter` shows how)."""

    message: str
    letter: StoredLetter | None = None


@dataclass(frozen=True, slots=True)
class Settlements:
    """Lists, redrives and discards. Every method raises Unavailable when PostgreSQL is away."""

    letters: Letters
    dead_letters: DeadLetters

    async def page(self, *, first: int, before: int | None, state: LetterState | None = None) -> LettersPage:
        """Up to `first` letters older than the one with ID `before`."""
        found = await self.letters.page(first=first + 1, before=before, state=state)
        return LettersPage(found[:first], len(found) > first)

    async def redrive(self, letter_id: int) -> StoredLetter | LetterProblem:
        """Deliver it after all: at once to who is connected, else when the device comes back, as GapHealed."""
        stored, changed = await self.letters.settle(letter_id, LetterState.REDRIVEN)
        if stored is None or not changed:
            return _problem(letter_id, stored)
        with contextlib.suppress(StreamsUnavailable):  # the janitor tells it within a minute after Redis is back
            await self.dead_letters.redrive(stored.letter.subscriber, stored.id, stored.letter.cursor)
        return stored

    async def discard(self, letter_id: int) -> StoredLetter | LetterProblem:
        """Leave it undelivered for good. The activity stays readable in `feed`."""
        stored, changed = await self.letters.settle(letter_id, LetterState.DISCARDED)
        return stored if stored is not None and changed else _problem(letter_id, stored)


def _problem(letter_id: int, stored: StoredLetter | None) -> LetterProblem:
    if stored is None:
        return LetterProblem(f"There is no dead letter {letter_id}.")
    return LetterProblem(f"Dead letter {letter_id} is {stored.state.value.lower()} already.", stored)


def in_columns(stored: StoredLetter) -> tuple[str, ...]:
    """A letter for people: ID, state, cursor, activity, subscriber, attempts, last attempt (UTC), error."""
    letter = stored.letter
    return (
        str(stored.id),
        "HEALED" if stored.healed_at else stored.state.value,
        str(letter.cursor),
        str(letter.activity_id or "-"),
        letter.subscriber,
        str(letter.attempts),
        f"{datetime.fromtimestamp(letter.last_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S}",
        letter.error,
    )
