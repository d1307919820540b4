"""The House of Commons' Hansard in XML: one activity for each intervention of a sitting."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element

from resolvers.activities import ActivityType
from resolvers.importing.affiliations import Affiliation, Members
from resolvers.importing.records import ActivityRecord, BillRecord, ImportProblem, ImportRefused
from resolvers.importing.sittings import NUMBER, Sitting, cut, open_sitting, text

BETWEEN_INTERVENTIONS = timedelta(seconds=1)
"""Hansard stamps the time every five minutes; interventions after one stamp are told apart by a second each."""
LAST_HOUR = 47
"""Sittings past midnight count on, to the end of the next day at most; a greater hour is a misprint."""
LONGEST_SUMMARY = 300
LONGEST_TITLE = 300

_BILL = re.compile(r"\b([CS])[-\u2010\u2011\u2013](\d{1,4})\b")
_TYPES = {
    "Question": ActivityType.QUESTION,
    "Answer": ActivityType.ANSWER,
    "Statement": ActivityType.STATEMENT,
    "Debate": ActivityType.SPEECH,
    "Interjection": ActivityType.SPEECH,
}
_FIRST_READING = ("first reading", "première lecture")
_PETITIONS = {"Petitions", "Pétitions"}


@dataclass(slots=True)
class _Place:
    """Where the walk through the sitting is."""

    order_title: str = ""
    rubric: str = ""
    subject: Element | None = None
    language: str | None = None
    stamped: datetime | None = None
    last: datetime | None = None
    seen: set[str] = field(default_factory=set)


def read(content: bytes) -> tuple[list[ActivityRecord], list[ImportProblem]]:
    """The sitting's activities in order, and what was left out. Raises ImportRefused."""
    root, sitting = open_sitting(content)
    members = Members(_affiliation(element) for element in root.iter("Affiliation"))
    bills = _bills(root)
    place, records, problems = _Place(stamped=sitting.date), [], []
    for element in root.iter():
        _follow(element, place, sitting)
        if element.tag != "Intervention":
            continue
        try:
            records.append(_record(element, place, sitting, members, bills))
        except _Skip as skip:
            where = f"intervention {element.get('id') or 'without an ID'}"
            problems.append(ImportProblem(where, str(skip)))
    if not records:
        raise ImportRefused("the sitting holds no intervention: is this the XML of a whole sitting?")
    return records, problems


class _Skip(Exception):
    """This intervention cannot be imported; the others can."""


def _follow(element: Element, place: _Place, sitting: Sitting) -> None:
    """Take note of what an element says about all that follows it."""
    match element.tag:
        case "OrderOfBusiness":
            title = element.find("CatchLine")
            place.order_title = text(title if title is not None else element.find("OrderOfBusinessTitle"))
            place.rubric = element.get("Rubric", "")
            place.subject = None
        case "SubjectOfBusiness":
            place.subject = element
        case "FloorLanguage":
            place.language = element.get("language", place.language)
        case "Timestamp":
            hour, minute = element.get("Hr", ""), element.get("Mn", "")
            in_a_day = NUMBER.fullmatch(hour) and NUMBER.fullmatch(minute) and int(minute) < 60
            if in_a_day and int(hour) <= LAST_HOUR:
                place.stamped = _stamp(sitting.date, int(hour), int(minute), place.stamped)


def _stamp(date: datetime, hour: int, minute: int, before: datetime | None) -> datetime:
    """The instant of a stamp. A sitting that runs past midnight goes on with hours of 24 and more, or starts again."""
    stamped = (date.replace(tzinfo=None) + timedelta(hours=hour, minutes=minute)).replace(tzinfo=date.tzinfo)
    if before is not None and stamped < before - timedelta(hours=12):
        stamped += timedelta(days=1)
    return stamped


def _record(
    element: Element, place: _Place, sitting: Sitting, members: Members, bills: dict[str, BillRecord]
) -> ActivityRecord:
    id_ = element.get("id")
    if not id_:
        raise _Skip("it has no ID, so a second import would double it")
    if id_ in place.seen:
        raise _Skip("its ID stands before already")
    place.seen.add(id_)
    said = " ".join(text(part) for part in element.iterfind("Content/*")).strip()
    said = " ".join(said.split())
    if not said:
        raise _Skip("nothing was said")
    speaker = element.find("PersonSpeaking/Affiliation")
    return ActivityRecord(
        source_id=f"hansard:{sitting.id}:{id_}",
        type=_type(element, place),
        title=_title(place),
        occurred_at=_when(place),
        summary=cut(said, LONGEST_SUMMARY),
        url=sitting.url,
        mp=None if speaker is None else members.find(_affiliation(speaker)),
        bill=_bill(element, place, bills),
        metadata=_metadata(element, place, sitting, speaker),
    )


def _when(place: _Place) -> datetime:
    at = place.stamped
    if at is None or (place.last is not None and at <= place.last):
        at = (place.last or datetime.now(UTC)) + BETWEEN_INTERVENTIONS
    place.last = at
    return at


def _type(element: Element, place: _Place) -> ActivityType:
    procedure = " ".join(text(words).lower() for words in element.iter("ProceduralText"))
    if any(words in procedure for words in _FIRST_READING):
        return ActivityType.BILL_INTRODUCED
    if _subject_title(place) in _PETITIONS:
        return ActivityType.PETITION
    if place.rubric == "StatementsByMembers":
        return ActivityType.STATEMENT
    return _TYPES.get(element.get("Type", ""), ActivityType.OTHER)


def _subject_title(place: _Place) -> str:
    return text(place.subject.find("SubjectOfBusinessTitle")) if place.subject is not None else ""


def _title(place: _Place) -> str:
    subject = _subject_title(place)
    qualifier = text(place.subject.find("SubjectOfBusinessQualifier")) if place.subject is not None else ""
    title = f"{subject} ({qualifier})" if subject and qualifier else subject or qualifier or place.order_title
    return cut(title, LONGEST_TITLE) or "House of Commons"


def _bills(root: Element) -> dict[str, BillRecord]:
    """Every bill that the sitting refers to, by number, with the fullest title that it gives."""
    found: dict[str, BillRecord] = {}
    for reference in root.iter("Document"):
        named = text(reference)
        if match := _BILL.match(named):
            number = f"{match[1]}-{match[2]}"
            title = named[match.end() :].strip(" ,") or number
            if number not in found or len(title) > len(found[number].title):
                found[number] = BillRecord(number, cut(title, LONGEST_TITLE))
    return found


def _bill(element: Element, place: _Place, bills: dict[str, BillRecord]) -> BillRecord | None:
    """The bill that the intervention names, else the one that its subject is about."""
    if (named := next(_numbers(element), None)) is not None:
        return bills[named]
    if place.subject is None:
        return None
    heading = _title(place)
    if (match := _BILL.search(heading)) is not None:
        number = f"{match[1]}-{match[2]}"
        return bills.get(number, BillRecord(number, number))
    for bill in bills.values():
        if bill.title.casefold() == _subject_title(place).casefold():
            return bill
    opening = place.subject.find(".//Intervention")
    if opening is not None and "moved" in text(opening.find("Content/ParaText"))[:80]:
        return next((bills[number] for number in _numbers(opening)), None)
    return None


def _numbers(element: Element) -> Iterator[str]:
    for reference in element.iter("Document"):
        if match := _BILL.match(text(reference)):
            yield f"{match[1]}-{match[2]}"


def _metadata(element: Element, place: _Place, sitting: Sitting, speaker: Element | None) -> dict[str, Any]:
    return {
        "sitting": sitting.id,
        "date": sitting.date.date().isoformat(),
        "language": sitting.language,
        "floorLanguage": place.language,
        "interventionId": element.get("id"),
        "interventionType": element.get("Type"),
        "orderOfBusiness": place.order_title or None,
        "speaker": text(speaker) or None,
    }


def _affiliation(element: Element) -> Affiliation:
    return Affiliation(text(element), element.get("DbId", ""), element.get("Type", ""))
