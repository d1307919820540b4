"""A sitting's XML taken apart safely: its root, which sitting it is, and its text."""

import re
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element, ParseError
from zoneinfo import ZoneInfo

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from resolvers.importing.records import ImportRefused

HOUSE_TIME = ZoneInfo("America/Toronto")
_SITTING_FACTS = (
    "ParliamentNumber",
    "SessionNumber",
    "MetaNumberNumber",
    "MetaDateNumYear",
    "MetaDateNumMonth",
    "MetaDateNumDay",
)
NUMBER = re.compile(r"[0-9]{1,4}")  # str.isdigit takes a superscript two as well, which int() refuses
YEARS = range(1867, 9998)
"""The House first met in 1867; beyond 9998 the next day may be no date, and no row of the log."""
_MARKS = {"Timestamp", "FloorLanguage"}


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


def open_sitting(content: bytes) -> tuple[Element, Sitting]:
    """The root, without the text of the editors' marks, and which sitting it is. Raises ImportRefused."""
    root = _parse(content)
    sitting = _sitting(root)
    _clear_marks(root)
    return root, sitting


def _clear_marks(root: Element) -> None:
    """Empty the editors' marks, such as "(1005)" and "[Translation]": they stand inside what was said, unsaid."""
    for mark in [element for element in root.iter() if element.tag in _MARKS]:
        del mark[:]
        mark.text = None


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
    facts = {item.get("Name"): text(item) for item in root.iter("ExtractedItem")}
    numbers = {}
    for name in _SITTING_FACTS:
        value = facts.get(name) or ""
        if not NUMBER.fullmatch(value):
            raise ImportRefused(f"the sitting's {name} is missing or no number ({value!r}): is the file complete?")
        numbers[name] = int(value)
    if numbers["MetaDateNumYear"] not in YEARS:
        raise ImportRefused(f"the sitting's year is {numbers['MetaDateNumYear']}: download the file again")
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


def text(element: Element | None) -> str:
    """All text inside, markup flattened, white space (no-break included) folded."""
    return "" if element is None else " ".join("".join(element.itertext()).split())


def cut(words: str, longest: int) -> str:
    """At most `longest` characters, cut between words, with an ellipsis."""
    if len(words) <= longest:
        return words
    return words[: longest - 1].rsplit(" ", 1)[0].rstrip(" ,;:.") + "…"
