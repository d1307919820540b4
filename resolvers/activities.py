"""Activities with their MP and bill: immutable values, and the JSON they travel as in a stream entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NewType

import orjson

ActivityId = NewType("ActivityId", int)
MpId = NewType("MpId", int)
BillId = NewType("BillId", int)


class ActivityType(StrEnum):
    """What kind of thing was done. Stored as text: a row of a type that a process does not know yet reads as OTHER."""

    SPEECH = "SPEECH"
    QUESTION = "QUESTION"
    ANSWER = "ANSWER"
    VOTE = "VOTE"
    BILL_INTRODUCED = "BILL_INTRODUCED"
    BILL_PROGRESS = "BILL_PROGRESS"
    COMMITTEE = "COMMITTEE"
    PETITION = "PETITION"
    STATEMENT = "STATEMENT"
    PROCEDURE = "PROCEDURE"
    OTHER = "OTHER"

    @classmethod
    def _missing_(cls, value: object) -> "ActivityType":  # noqa: ARG003 - enum calls it with the value
        return cls.OTHER


@dataclass(frozen=True, slots=True)
class Mp:
    """A member of parliament. `version` grows with every change of the row."""

    id: MpId
    name: str
    party: str | None
    riding: str | None
    version: int


@dataclass(frozen=True, slots=True)
class Bill:
    """A bill. `version` grows with every change of the row."""

    id: BillId
    number: str
    title: str
    version: int


@dataclass(frozen=True, slots=True)
class Activity:
    """One thing an MP or a bill did. `n` is its dense log number, from 1; instants are aware."""

    id: ActivityId
    n: int
    type: ActivityType
    title: str
    summary: str | None
    url: str | None
    occurred_at: datetime
    created_at: datetime
    metadata: Mapping[str, Any]
    mp: Mp | None
    bill: Bill | None


def encode(activity: Activity) -> bytes:
    """The `data` field of a stream entry: one JSON object, the MP and the bill nested."""
    return orjson.dumps(activity, option=orjson.OPT_UTC_Z)


def decode(data: bytes) -> Activity:
    """Read what `encode` wrote, by this or the previous version. Raises ValueError for anything else."""
    try:
        fields = orjson.loads(data)
        mp, bill = fields["mp"], fields["bill"]
        return Activity(
            id=ActivityId(fields["id"]),
            n=fields["n"],
            type=ActivityType(fields["type"]),
            title=fields["title"],
            summary=fields["summary"],
            url=fields["url"],
            occurred_at=datetime.fromisoformat(fields["occurred_at"]).astimezone(UTC),
            created_at=datetime.fromisoformat(fields["created_at"]).astimezone(UTC),
            metadata=fields["metadata"],
            mp=mp and Mp(**{name: mp[name] for name in Mp.__slots__}),
            bill=bill and Bill(**{name: bill[name] for name in Bill.__slots__}),
        )
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError) as error:
        raise ValueError(f"not an activity: {error!r}") from error


Topic = tuple[str, object]
ANY: Topic = ("any", None)


@dataclass(frozen=True, slots=True)
class ActivityFilter:
    """Which activities a reader wants: of one of `types`, by one of `mps`, on one of `bills`; empty means any."""

    types: frozenset[ActivityType] = frozenset()
    mps: frozenset[MpId] = frozenset()
    bills: frozenset[BillId] = frozenset()

    def matches(self, activity: Activity) -> bool:
        """Whether every given condition holds."""
        return (
            (not self.types or activity.type in self.types)
            and (not self.mps or (activity.mp is not None and activity.mp.id in self.mps))
            and (not self.bills or (activity.bill is not None and activity.bill.id in self.bills))
        )

    @property
    def topics(self) -> tuple[Topic, ...]:
        """Topics of which every matching activity has one: those of the narrowest condition."""
        if self.bills:
            return tuple(("bill", bill) for bill in self.bills)
        if self.mps:
            return tuple(("mp", mp) for mp in self.mps)
        return tuple(("type", type_) for type_ in self.types) or (ANY,)


EVERYTHING = ActivityFilter()


def topics(activity: Activity) -> tuple[Topic, ...]:
    """What an activity is about, for an index of filters."""
    mp = (("mp", activity.mp.id),) if activity.mp else ()
    bill = (("bill", activity.bill.id),) if activity.bill else ()
    return (ANY, ("type", activity.type), *mp, *bill)


def type_of(activity: Activity) -> str:
    """What metrics call it: one of a dozen types, whatever the row says."""
    return activity.type.value
