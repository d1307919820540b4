"""The House of Commons' Hansard in XML: one activity for each intervention of a sitting."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from zoneinfo import ZoneInfo

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from resolvers.activities import ActivityType
from resolvers.importing.affiliations import Affiliation, Members
from resolvers.importing.records import ActivityRecord, BillRecord, ImportProblem, ImportRefused

HOUSE_TIME = ZoneInfo("America/Toronto")
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
_SITTING_FACTS = (
    "ParliamentNumber",
    "SessionNumber",
    "MetaNumberNumber",
    "MetaDateNumYear",
    "MetaDateNumMonth",
    "MetaDateNumDay",
)
_NUMBER = re.compile(r"[0-9]{1,4}")  # str.isdigit takes a superscript two as well, which int() refuses
_MARKS = {"Timestamp", "FloorLanguage"}
_FIRST_READING = ("first reading", "première lecture")
_PETITIONS = {"Petitions", "Pétitions"}


@dataclass(frozen=True, slots=True)
class Sitting:
    """Which sitting a file reports."""

    parliament: str
    session: str
    number: str
    date: datetime
    language: str

    @property
    def id(self) -> str:
        """As parliament names it: 44-1-200."""
        return f"{self.parliament}-{self.session}-{self.number}"

    @property
    def url(self) -> str:
        """Where people read it."""
        return (
            f"https://www.ourcommons.ca/DocumentViewer/{self.language.lower()}/{self.parliament}-{self.session}"
            f"/house/sitting-{self.number}/hansard"
        )


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
    root = _parse(content)
    sitting = _sitting(root)
    _clear_marks(root)
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


def _clear_marks(root: Element) -> None:
    """Empty the editors' marks, such as "(1005)" and "[Translation]": they stand inside what was said, unsaid."""
    for mark in [element for element in root.iter() if element.tag in _MARKS]:
        del mark[:]
        mark.text = None


class _Skip(Exception):
    """This intervention cannot be imported; the others can."""


def _parse(content: bytes) -> Element:
    if not content.strip():
        raise ImportRefused("the file is empty")
    try:
        root: Element = fromstring(content.removeprefix(b"\xef\xbb\xbf"), forbid_dtd=True)
    except DefusedXmlException as error:
        raise ImportRefused("the XML declares a DTD or entities, which Hansard never does: not read") from error
    except ParseError as error:
        line, column = error.position
        start = content[:200].lstrip().lower()
        if start.startswith((b"<!doctype html", b"<html")) or not start.startswith((b"<", b"\xef\xbb\xbf<")):
            raise ImportRefused("this is not XML; download the sitting's XML, not its page") from error
        raise ImportRefused(
            f"the XML breaks off or is broken at line {line}, column {column}: download the file again"
        ) from error
    except (LookupError, ValueError) as error:
        raise ImportRefused(f"the XML cannot be decoded: {error}") from error
    if root.tag != "Hansard":
        raise ImportRefused(f"the XML's root is <{root.tag}>, not <Hansard>: download the sitting's Hansard")
    return root


def _sitting(root: Element) -> Sitting:
    facts = {item.get("Name"): _text(item) for item in root.iter("ExtractedItem")}
    numbers = {}
    for name in _SITTING_FACTS:
        value = facts.get(name) or ""
        if not _NUMBER.fullmatch(value):
            raise ImportRefused(f"the sitting's {name} is missing or no number ({value!r}): is the file complete?")
        numbers[name] = int(value)
    try:
        date = datetime(
            numbers["MetaDateNumYear"], numbers["MetaDateNumMonth"], numbers["MetaDateNumDay"], tzinfo=HOUSE_TIME
        )
    except ValueError as error:
        raise ImportRefused(f"the sitting's date is no date: {error}") from error
    language = root.get("{http://www.w3.org/XML/1998/namespace}lang", "EN").upper()[:2]
    parliament, session, number = [
        str(numbers[name]) for name in ("ParliamentNumber", "SessionNumber", "MetaNumberNumber")
    ]
    return Sitting(parliament, session, number, date, language)


def _follow(element: Element, place: _Place, sitting: Sitting) -> None:
    """Take note of what an element says about all that follows it."""
    match element.tag:
        case "OrderOfBusiness":
            title = element.find("CatchLine")
            place.order_title = _text(title if title is not None else element.find("OrderOfBusinessTitle"))
            place.rubric = element.get("Rubric", "")
            place.subject = None
        case "SubjectOfBusiness":
            place.subject = element
        case "FloorLanguage":
            place.language = element.get("language", place.language)
        case "Timestamp":
            hour, minute = element.get("Hr", ""), element.get("Mn", "")
            in_a_day = _NUMBER.fullmatch(hour) and _NUMBER.fullmatch(minute) and int(minute) < 60
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
    said = " ".join(_text(part) for part in element.iterfind("Content/*")).strip()
    said = " ".join(said.split())
    if not said:
        raise _Skip("nothing was said")
    speaker = element.find("PersonSpeaking/Affiliation")
    return ActivityRecord(
        source_id=f"hansard:{sitting.id}:{id_}",
        type=_type(element, place),
        title=_title(place),
        occurred_at=_when(place),
        summary=_cut(said, LONGEST_SUMMARY),
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
    procedure = " ".join(_text(text).lower() for text in element.iter("ProceduralText"))
    if any(words in procedure for words in _FIRST_READING):
        return ActivityType.BILL_INTRODUCED
    if _subject_title(place) in _PETITIONS:
        return ActivityType.PETITION
    if place.rubric == "StatementsByMembers":
        return ActivityType.STATEMENT
    return _TYPES.get(element.get("Type", ""), ActivityType.OTHER)


def _subject_title(place: _Place) -> str:
    return _text(place.subject.find("SubjectOfBusinessTitle")) if place.subject is not None else ""


def _title(place: _Place) -> str:
    subject = _subject_title(place)
    qualifier = _text(place.subject.find("SubjectOfBusinessQualifier")) if place.subject is not None else ""
    title = f"{subject} ({qualifier})" if subject and qualifier else subject or qualifier or place.order_title
    return _cut(title, LONGEST_TITLE) or "House of Commons"


def _bills(root: Element) -> dict[str, BillRecord]:
    """Every bill that the sitting refers to, by number, with the fullest title that it gives."""
    found: dict[str, BillRecord] = {}
    for reference in root.iter("Document"):
        text = _text(reference)
        if match := _BILL.match(text):
            number = f"{match[1]}-{match[2]}"
            title = text[match.end() :].strip(" ,") or number
            if number not in found or len(title) > len(found[number].title):
                found[number] = BillRecord(number, _cut(title, LONGEST_TITLE))
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
    if opening is not None and "moved" in _text(opening.find("Content/ParaText"))[:80]:
        return next((bills[number] for number in _numbers(opening)), None)
    return None


def _numbers(element: Element) -> Iterator[str]:
    for reference in element.iter("Document"):
        if match := _BILL.match(_text(reference)):
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
        "speaker": _text(speaker) or None,
    }


def _affiliation(element: Element) -> Affiliation:
    return Affiliation(_text(element), element.get("DbId", ""), element.get("Type", ""))


def _text(element: Element | None) -> str:
    """All text inside, markup flattened, white space (no-break included) folded."""
    return "" if element is None else " ".join("".join(element.itertext()).split())


def _cut(text: str, longest: int) -> str:
    """At most `longest` characters, cut between words, with an ellipsis."""
    if len(text) <= longest:
        return text
    return text[: longest - 1].rsplit(" ", 1)[0].rstrip(" ,;:.") + "…"
