"""What a stream tells the ledger: how far its subscriber stands, and what became of single entries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from streams.cursor import START, Cursor
from streams.subscribers import Subscriber


class Refusal(StrEnum):
    """Why a receipt did not count. Anything else that Redis says about an entry counts as LOST."""

    SUPERSEDED = "SUPERSEDED"
    LOST = "LOST"

    @classmethod
    def _missing_(cls, value: object) -> "Refusal":  # noqa: ARG003 - enum calls it with the value
        return cls.LOST


@dataclass(frozen=True, slots=True)
class HandedOver:
    """An entry that becomes, or stays, pending: who answers for it, and how often it was handed over."""

    owner: str
    deliveries: int


@dataclass(slots=True)
class News:
    """What a receipt has to say beyond positions.

    `suspect`: '' for no news, '-' to forget, else the whole of it: an absolute count, so that a flush that is repeated
    counts once. `mail`: words that were delivered.
    """

    handed_over: dict[Cursor, HandedOver] = field(default_factory=dict)
    confirmed: set[Cursor] = field(default_factory=set)
    mail: set[str] = field(default_factory=set)
    suspect: str = ""

    def __bool__(self) -> bool:
        return bool(self.handed_over or self.confirmed or self.mail or self.suspect)

    def merge(self, newer: "News") -> None:
        """Take later news in."""
        self.suspect = newer.suspect or self.suspect
        self.handed_over.update(newer.handed_over)
        self.confirmed |= newer.confirmed
        self.mail |= newer.mail
        for cursor in newer.confirmed:
            self.handed_over.pop(cursor, None)


@dataclass(slots=True)
class Receipt:
    """What is not yet written for one subscriber's stream; at most a stream's in-flight entries long.

    `position`: all at or below it is settled or pending. `floor`: nothing at or below it is pending or unsettled; where
    the subscriber continues if Redis has lost what is pending. `held`: how many entries the stream believes in the PEL
    once this is written, `last_held` the last of them. Most have no `news`, and a hundred thousand may wait at once.
    """

    subscriber: Subscriber
    epoch: int
    refused: Callable[[Refusal], None]
    position: Cursor
    floor: Cursor
    held: int = 0
    last_held: Cursor = START
    ended: bool = False
    news: News | None = None

    @property
    def only_advances(self) -> bool:
        """Whether it says no more than that all up to `position` is settled: the receipt of nearly every delivery."""
        return not (self.news or self.held or self.ended) and self.floor == self.position

    @property
    def entries(self) -> int:
        """How many single entries it names."""
        return len(self.news.handed_over) + len(self.news.confirmed) if self.news else 0

    def merge(self, newer: "Receipt") -> None:
        """Take a later receipt of the same epoch in."""
        self.position, self.floor = newer.position, newer.floor
        self.held, self.last_held = newer.held, newer.last_held
        self.ended = self.ended or newer.ended
        if self.news is None:
            self.news = newer.news
        elif newer.news is not None:
            self.news.merge(newer.news)

    def arguments(self) -> Sequence[str | bytes | int]:
        """The block that `ledger.lua` reads for this subscriber."""
        news = self.news or News()
        block: list[str | bytes | int] = [
            self.subscriber.name,
            self.subscriber.group,
            self.epoch,
            str(self.position),
            str(self.floor),
            self.held,
            str(self.last_held),
            int(self.ended),
            news.suspect,
            len(news.handed_over),
        ]
        for cursor, handed in sorted(news.handed_over.items()):
            block += [str(cursor), handed.owner, handed.deliveries]
        block += [len(news.confirmed), *map(str, sorted(news.confirmed))]
        return [*block, len(news.mail), *sorted(news.mail)]
