"""What a subscriber's stream has to be told once: that an entry was given up, or that it is here after all."""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from streams.cursor import Cursor
from streams.dead_letters import DeadLetters
from streams.history import History
from streams.steps import Healed, Lack, Missing, Step

log = logging.getLogger("divisionbell.streams")
T = TypeVar("T")


class Mailbox(Generic[T]):
    """Words of mail, `dead:<cursor>` and `heal:<letter>:<cursor>`, each kept in Redis until its bytes were taken."""

    def __init__(
        self,
        *,
        history: History[T],
        dead_letters: DeadLetters,
        words: Iterable[str],
        matches: Callable[[T], bool],
    ) -> None:
        self._history = history
        self._dead_letters = dead_letters
        self._matches = matches
        self._words = deque(words)
        self._telling: str | None = None
        self._told: deque[tuple[str, int]] = deque()
        self._healed: deque[int] = deque()

    def __bool__(self) -> bool:
        """Whether there is anything to tell, or to be taken, or to be noted."""
        return bool(self._words or self._telling or self._told or self._healed)

    def put(self, word: str) -> None:
        """There is new mail."""
        if word not in self._words:
            self._words.append(word)

    def telling(self, word: str) -> None:
        """What is yielded now says `word`."""
        self._telling = word

    def sent(self, through: int) -> None:
        """What was yielded last has been sent; its bytes end at `through`."""
        if self._telling is not None:
            self._told.append((self._telling, through))
            self._telling = None

    def taken(self, through: int) -> set[str]:
        """The words that the client's side has by now."""
        words = set()
        while self._told and self._told[0][1] <= through:
            word, _ = self._told.popleft()
            words.add(word)
            if word.startswith("heal:"):
                self._healed.append(int(word.split(":")[1]))
        return words

    async def open(self) -> Step[T] | None:
        """The next thing to tell, if any. Raises what the log raises."""
        while self._healed:
            letter = self._healed.popleft()
            try:
                await self._dead_letters.healed(letter)
            except Exception as error:  # noqa: BLE001 - the store's own: after a flush it will be told once more
                log.info("cannot note that a letter is healed", extra={"error": repr(error)})
        if not self._words:
            return None
        word = self._words.popleft()
        cursor = Cursor.parse(word.rpartition(":")[2])
        entry = await self._history.at(cursor)
        self._telling = word
        if word.startswith("heal:"):
            return Healed([entry] if entry is not None and self._matches(entry.item) else [])
        return Missing(entry.prev if entry else cursor, cursor, Lack.DEAD)
