"""What a source says, before it has met the database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from resolvers.activities import ActivityType


class ImportRefused(Exception):
    """A source that cannot be imported; the message says what is wrong with it, where, and what to do."""


@dataclass(frozen=True, slots=True, order=True)
class MpRecord:
    """An MP as a source names them. Name and riding identify; a new party updates."""

    name: str
    riding: str | None = None
    party: str | None = None


@dataclass(frozen=True, slots=True, order=True)
class BillRecord:
    """A bill as a source names it. The number identifies; a title equal to the number stands for "not known"."""

    number: str
    title: str


@dataclass(frozen=True, slots=True)
class ActivityRecord:
    """One activity. `source_id` is its name for good: importing it again adds nothing. `occurred_at` is aware."""

    source_id: str
    type: ActivityType
    title: str
    occurred_at: datetime
    summary: str | None = None
    url: str | None = None
    mp: MpRecord | None = None
    bill: BillRecord | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportProblem:
    """Something of a source that was left out, and why."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class ImportSummary:
    """What an import did."""

    inserted: int
    already_there: int
    mps: int
    bills: int

    def sentence(self) -> str:
        """For people: counts of what is new."""
        return (
            f"{self.inserted} activities inserted, {self.already_there} already there,"
            f" {self.mps} new MPs, {self.bills} new bills"
        )
