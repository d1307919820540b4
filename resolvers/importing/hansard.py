"""The House of Commons' Hansard in XML: one activity for each intervention of a sitting."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from xml.etree.ElementTree import Element

from resolvers.activities import ActivityType
from resolvers.importing.affiliations import MEMBER, Affiliation, Members, is_a_voice
from resolvers.importing.records import ActivityRecord, BillRecord, ImportProblem, ImportRefused
from resolvers.importing.sittings import NUMBER, Sitting, cut, open_sitting, text

BETWEEN_INTERVENTIONS = timedelta(seconds=1)
"""Hansard stamps the time every five minutes; interventions after one stamp are told apart by a second each."""
LAST_HOUR = 47
"""Sittings past midnight count on, to the end of the next day at most; a greater hour is a misprint."""
LONGEST_SUMMARY = 300
LONGEST_TITLE = 300
LONGEST_ID = 100

_BILL = re.compile(r"\b([CS])[-\u2010\u2011\u2013](\d{1,4})\b")
_TYPES = {
    "Question": ActivityType.QUESTION,
    "Answer": ActivityType.ANSWER,
    "Statement": ActivityType.STATEMENT,
    "Debate": ActivityType.SPEECH,
    "Interjection": ActivityType.SPEECH,
}
_FIRST_READING = ("first reading", "première lecture")
_PETITIONS = {"Petitions", "Pétitions", "Les pétitions"}
_BILL_WORDS = re.compile(r"\b(?:bill|projet de loi)\b", re.IGNORECASE)
_MOVED = ("moved", "propose")
_LEADER_OF_THE_OPPOSITION = "9"
_ASKS = {MEMBER, _LEADER_OF_THE_OPPOSITION}
"""Affiliation types of those who ask in question period; ministers and their secretaries, who answer, have others."""


@dataclass(slots=True)
class _Place:
    """Where the walk through the sitting is. `interrupted`: the subject is not what its order of business is about."""

    stamped: datetime
    order_title: str = ""
    rubric: str = ""
    subject_title: str = ""
    qualifier: str = ""
    interrupted: bool = False
    bill: BillRecord | None = None
    language: str | None = None
    last: datetime | None = None
    seen: set[str] = field(default_factory=set)


def read(content: bytes) -> tuple[list[ActivityRecord], list[ImportProblem]]:
    """The sitting's activities in order, and what was left out. Raises ImportRefused."""
    root, sitting = open_sitting(content)
    members = Members(_affiliation(element) for element in root.iterfind(".//PersonSpeaking/Affiliation"))
    bills = _bills(root)
    place, records, problems = _Place(_opening(root, sitting)), [], []
    for element in root.iter():
        _follow(element, place, sitting, bills)
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


def _opening(root: Element, sitting: Sitting) -> datetime:
    """The first stamp, which stands for what was said before it, too; midnight in a sitting without any."""
    stamps = (_stamped(element, sitting, None) for element in root.iter("Timestamp"))
    return next((stamp for stamp in stamps if stamp is not None), sitting.date)


def _follow(element: Element, place: _Place, sitting: Sitting, bills: dict[str, BillRecord]) -> None:
    """Take note of what an element says about all that follows it."""
    match element.tag:
        case "OrderOfBusiness":
            title = element.find("CatchLine")
            place.order_title = text(title if title is not None else element.find("OrderOfBusinessTitle"))
            place.rubric = element.get("Rubric", "")
            place.subject_title, place.qualifier, place.interrupted, place.bill = "", "", False, None
        case "SubjectOfBusiness":
            _enter(element, place, bills)
        case "FloorLanguage":
            place.language = element.get("language", place.language)
        case "Timestamp":
            place.stamped = _stamped(element, sitting, place.stamped) or place.stamped


def _enter(subject: Element, place: _Place, bills: dict[str, BillRecord]) -> None:
    """Begin a subject. One without a title goes on with the last: the second petition, the bill after a vote."""
    title = text(subject.find("SubjectOfBusinessTitle"))
    place.qualifier = text(subject.find("SubjectOfBusinessQualifier"))
    if title:
        place.subject_title, place.bill = title, None
        place.interrupted = subject.find("CatchLine") is not None
    place.bill = _subject_bill(subject, place, bills) or place.bill


def _stamped(element: Element, sitting: Sitting, before: datetime | None) -> datetime | None:
    """The instant that a Timestamp tells; None for a misprint."""
    hour, minute = element.get("Hr", ""), element.get("Mn", "")
    in_a_day = NUMBER.fullmatch(hour) and NUMBER.fullmatch(minute) and int(minute) < 60
    if not in_a_day or int(hour) > LAST_HOUR:
        return None
    return _stamp(sitting.date, int(hour), int(minute), before)


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
    if len(id_) > LONGEST_ID:
        raise _Skip(f"its ID is longer than {LONGEST_ID} characters")
    said = " ".join(text(part) for part in element.iterfind("Content/*")).strip()
    said = " ".join(said.split())
    if not said:
        raise _Skip("nothing was said")
    found = element.find("PersonSpeaking/Affiliation")
    speaker = None if found is None else _affiliation(found)
    return ActivityRecord(
        source_id=f"hansard:{sitting.id}:{id_}",
        type=_type(element, speaker, place),
        title=_title(place),
        occurred_at=_when(place),
        summary=cut(said, LONGEST_SUMMARY),
        url=sitting.url,
        mp=None if speaker is None else members.find(speaker),
        bill=next((bills[number] for number in _numbers(element)), place.bill),
        metadata=_metadata(element, place, sitting, speaker),
    )


def _when(place: _Place) -> datetime:
    at = place.stamped
    if place.last is not None and at <= place.last:
        at = place.last + BETWEEN_INTERVENTIONS
    place.last = at
    return at


def _type(element: Element, speaker: Affiliation | None, place: _Place) -> ActivityType:
    procedure = " ".join(text(words).lower() for words in element.iter("ProceduralText"))
    if _BILL_WORDS.search(procedure):
        introduced = any(words in procedure for words in _FIRST_READING)
        return ActivityType.BILL_INTRODUCED if introduced else ActivityType.BILL_PROGRESS
    if speaker is not None and is_a_voice(speaker.text):
        return ActivityType.PROCEDURE
    if place.subject_title in _PETITIONS:
        return ActivityType.PETITION
    if place.rubric == "StatementsByMembers" and not place.interrupted:
        return ActivityType.STATEMENT
    stated = _TYPES.get(element.get("Type", ""), ActivityType.OTHER)
    if place.rubric == "OralQuestionPeriod" and speaker is not None and not place.interrupted:
        return _in_question_period(element, speaker, stated)
    return stated


def _in_question_period(element: Element, speaker: Affiliation, stated: ActivityType) -> ActivityType:
    """Hansard calls most ministers' answers "Debate", some "Question", and some questions "Debate" or "Statement"."""
    if speaker.type not in _ASKS:
        return ActivityType.ANSWER
    if stated is ActivityType.ANSWER or element.get("Type") == "Interjection":
        return stated
    return ActivityType.QUESTION


def _title(place: _Place) -> str:
    subject, qualifier = place.subject_title, place.qualifier
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


def _subject_bill(subject: Element, place: _Place, bills: dict[str, BillRecord]) -> BillRecord | None:
    """The bill that a subject is about: by heading, title, the clerk's words around what is said, or motion."""
    procedure = [text(words) for words in subject.iterfind("SubjectOfBusinessContent/ProceduralText")]
    for heading in [_title(place), *procedure]:
        if (match := _BILL.search(heading)) is not None:
            number = f"{match[1]}-{match[2]}"
            return bills.get(number, BillRecord(number, number))
    for bill in bills.values():
        if bill.title.casefold() == place.subject_title.casefold():
            return bill
    for paragraph in subject.iterfind("SubjectOfBusinessContent/ParaText"):
        if (number := next(_numbers(paragraph), "")) in bills:
            return bills[number]
    opening = subject.find("SubjectOfBusinessContent/Intervention")
    if opening is not None and any(word in text(opening.find("Content/ParaText"))[:80] for word in _MOVED):
        return next((bills[number] for number in _numbers(opening)), None)
    return None


def _numbers(element: Element) -> Iterator[str]:
    for reference in element.iter("Document"):
        if match := _BILL.match(text(reference)):
            yield f"{match[1]}-{match[2]}"


def _metadata(element: Element, place: _Place, sitting: Sitting, speaker: Affiliation | None) -> dict[str, Any]:
    return {
        "sitting": sitting.id,
        "date": sitting.date.date().isoformat(),
        "language": sitting.language,
        "floorLanguage": place.language,
        "interventionId": element.get("id"),
        "interventionType": element.get("Type"),
        "orderOfBusiness": place.order_title or None,
        "speaker": (speaker and speaker.text) or None,
    }


def _affiliation(element: Element) -> Affiliation:
    return Affiliation(text(element), element.get("DbId", ""), element.get("Type", ""))
