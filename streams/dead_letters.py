"""Where entries go that cannot be delivered: for one subscriber, or, when nobody can be shown them, for all at once."""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from streams.connection import Client, Script
from streams.cursor import Cursor
from streams.entries import Entry
from streams.errors import StreamsUnavailable
from streams.keys import Keys, index_of, keys_of, shard_of
from streams.poison import Poison
from streams.subscribers import Subscriber, Suspect
from telemetry.flow import Flow

log = logging.getLogger("divisionbell.streams")

EVERYBODY = "*"
LONGEST_STREAM = 100_000
"""Newest letters copied to Redis; PostgreSQL has all."""
WINDOW = timedelta(minutes=1)
LONGEST_ERROR = 2_000


@dataclass(frozen=True, slots=True)
class Letter:
    """An entry that was given up. Instants are in ms since 1970; `subscriber` is `*` when nobody can get it."""

    stream: str
    cursor: Cursor
    activity_id: int | None
    subscriber: str
    error: str
    attempts: int
    first_ms: int
    last_ms: int


class LetterStore(Protocol):
    """The log of dead letters. Every method raises errors of its own when it cannot."""

    async def write(self, letter: Letter) -> bool:
        """Keep a letter; False if that subscriber has one for that cursor already."""
        ...

    async def poisonous(self, most: int) -> Sequence[Cursor]:
        """Cursors of the newest letters that are dead for everybody."""
        ...

    async def to_heal(self) -> Sequence[tuple[str, int, Cursor]]:
        """Subscriber, ID and cursor of letters that were redriven and have not been confirmed."""
        ...

    async def waiting(self) -> Mapping[str, int]:
        """How many letters wait, by what for."""
        ...

    async def healed(self, letter_id: int) -> None:
        """A redriven letter reached its subscriber."""
        ...


class Limit:
    """Stops dead-lettering when too much of it happens: then it is the server that is broken, not an entry.

    In a minute, at most `rate` letters, and at most `share` of the entries handed over, ten letters being free. It
    counts as halted for two minutes after the last letter that was refused: what is stuck comes again within one, and
    when nothing does, there is nothing left to halt.
    """

    def __init__(self, *, rate: int = 100, share: float = 0.05, free: int = 10) -> None:
        self._rate, self._share, self._free = rate, share, free
        self._letters: deque[tuple[float, int]] = deque()
        self._refused_at: float | None = None

    def halted(self, *, now: float) -> bool:
        """Whether letters were refused lately."""
        return self._refused_at is not None and now - self._refused_at <= 2 * WINDOW.total_seconds()

    def allows(self, *, now: float, handed_over: int) -> bool:
        """Whether one more letter may be written at `now` (s), of `handed_over` entries since the process began."""
        while self._letters and self._letters[0][0] < now - WINDOW.total_seconds():
            self._letters.popleft()
        count = len(self._letters) + 1
        of = handed_over - self._letters[0][1] if self._letters else 0
        too_many = count > self._rate or count > max(self._free, self._share * of)
        if too_many and not self.halted(now=now):
            log.error("dead-lettering is halted: too many entries fail, look at the newest errors and deploys")
        elif self._refused_at is not None and not too_many:
            log.warning("dead-lettering goes on")
        self._refused_at = now if too_many else None
        return not too_many

    def count(self, *, now: float, handed_over: int) -> None:
        """A letter was written."""
        self._letters.append((now, handed_over))


class DeadLetters:
    """Writes letters: PostgreSQL first, then, in one script, the copy in Redis and the acknowledgement."""

    def __init__(
        self,
        *,
        redis: Client,
        store: LetterStore,
        flow: Flow,
        now: Callable[[], float],
        limit: Limit | None = None,
        shards: int = 1,
    ) -> None:
        """`now`: a monotonic clock in seconds."""
        self._shards = keys_of(shards)
        self.poison = Poison()
        self.limit = limit or Limit()
        self._store = store
        self._flow = flow
        self._now = now
        self._bury = Script(redis, "bury")
        self._redrive = Script(redis, "redrive")

    @property
    def halted(self) -> bool:
        """Whether so much failed lately that nothing is given up."""
        return self.limit.halted(now=self._now())

    async def load(self) -> None:
        """Learn which entries nobody can be shown. Raises what the store raises."""
        for cursor in await self._store.poisonous(1_000):
            self.poison.add(cursor)

    async def bury(self, subscriber: Subscriber, entry: Entry[Any], suspect: Suspect, *, attempts: int) -> bool:
        """Give an entry up for one subscriber. False when the limit is reached or it cannot be written: try again."""
        error = f"not confirmed in {suspect.attempts} attempts though its stream lived on each time"
        letter = Letter(
            stream=self._keys(subscriber.name).stream,
            cursor=entry.cursor,
            activity_id=entry.activity_id,
            subscriber=subscriber.name,
            error=error,
            attempts=max(attempts, suspect.attempts),
            first_ms=suspect.first_ms,
            last_ms=suspect.last_ms,
        )
        return await self._written(letter, subscriber.group)

    async def condemn(self, cursor: Cursor, activity_id: int | None, error: str, *, attempts: int) -> bool:
        """Give an entry up for everybody; once, however many streams meet it. False as for `bury`."""
        if cursor in self.poison:
            return True
        now = time.time_ns() // 1_000_000
        stream = self._keys(EVERYBODY).stream
        letter = Letter(stream, cursor, activity_id, EVERYBODY, error[:LONGEST_ERROR], attempts, now, now)
        if not await self._written(letter, ""):
            return False
        self.poison.add(cursor)
        return True

    async def redrive(self, subscriber: str, letter_id: int, cursor: Cursor) -> None:
        """Have a letter delivered after all. Raises StreamsUnavailable; the janitor then does it."""
        if subscriber == EVERYBODY:
            self.poison.discard(cursor)
        keys = self._keys(subscriber)
        await self._redrive(keys=[keys.mail, keys.signals], args=[subscriber, letter_id, str(cursor)])

    def _keys(self, subscriber: str) -> Keys:
        """Those of its shard; of what concerns everybody, those of the first: every process hears all signals."""
        return self._shards[0 if subscriber == EVERYBODY else shard_of(subscriber, len(self._shards))]

    async def healed(self, letter_id: int) -> None:
        """The subscriber has it. Raises what the store raises."""
        await self._store.healed(letter_id)

    async def _written(self, letter: Letter, group: str) -> bool:
        if not self.limit.allows(now=self._now(), handed_over=self._flow.handed_over):
            return False
        log.warning(
            "dead letter",
            # Of an exception its name alone: messages hold what people wrote, and operators find them in the table.
            extra={"cursor": str(letter.cursor), "everybody": not group, "error": letter.error.partition("(")[0][:200]},
        )
        try:
            new = await self._store.write(letter)
            keys = self._keys(letter.subscriber)
            of_bury = [keys.positions, *index_of(keys), keys.suspects, keys.mail, keys.dead_letters]
            await self._bury(keys=of_bury, args=_arguments(letter, group, new=new))
        except StreamsUnavailable as error:
            if group:
                log.warning("dead letter not acknowledged, Redis is away", extra={"error": str(error)})
                return False
        except Exception as error:  # noqa: BLE001 - the store's own errors: PostgreSQL is away
            log.warning("dead letter not written", extra={"error": repr(error)})
            return False
        self.limit.count(now=self._now(), handed_over=self._flow.handed_over)
        return True


def _arguments(letter: Letter, group: str, *, new: bool) -> list[str | bytes | int]:
    fields: dict[str, str | int] = {
        "stream": letter.stream,
        "id": str(letter.cursor),
        "activity_id": letter.activity_id or "",
        "subscriber": letter.subscriber,
        "error": letter.error,
        "delivery_count": letter.attempts,
        "first_delivered_at": letter.first_ms,
        "last_delivered_at": letter.last_ms,
    }
    pairs = [part for pair in fields.items() for part in pair]
    return [letter.subscriber, group, str(letter.cursor), int(new), LONGEST_STREAM, *pairs]
