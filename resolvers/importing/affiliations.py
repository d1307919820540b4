"""Who speaks in Hansard: names, ridings and parties from the affiliation texts of a sitting, English or French."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from resolvers.importing.records import MpRecord

_HONORIFIC = re.compile(
    r"^(?:(?:The )?Right Hon\.|Hon\.|Mr\.|Mrs\.|Ms\.|Miss|Dr\.|M\.|Mme|Mlle|L['\u2019](?:hon\.|honorable)"
    r"|L[ea] très (?:hon\.|honorable))\s+",
    re.IGNORECASE,
)
_PARTY = re.compile(r"[^\s,()]{1,10}")
# "Hon. member for Victoria" speaks of somebody and does not name them; as the longer name it would rename them, too.
_NO_NAME = re.compile(
    r"\b(?:of|for|to|members?|speaker|ministers?|secretary|leader|député\w*|ministre\w*|secrétaire\w*|chef\w*)\b",
    re.IGNORECASE,
)
MEMBER = "2"
"""The affiliation type of a member for a riding; others are offices, whose holders' ridings it does not tell."""


@dataclass(frozen=True, slots=True)
class Affiliation:
    """One affiliation as written: `Ms. Laurel Collins (Victoria, NDP)`, the database ID and the type beside it."""

    text: str
    person: str
    type: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an affiliation's text says. `name` is None for the chair and for collective voices."""

    name: str | None
    place: str | None
    party: str | None


def parse(text: str) -> Spoken:
    """Take an affiliation apart. `place` is a riding or an office, as the type tells. Never raises."""
    text = " ".join(text.split()).rstrip(" :")
    bare = _HONORIFIC.sub("", text)
    if bare == text:
        return Spoken(None, None, None)
    name, _, inside = bare.partition("(")
    if _NO_NAME.search(name):
        return Spoken(None, None, None)
    inside = inside.rpartition(")")[0] or inside
    place, comma, party = inside.rpartition(",")
    if not comma or not _PARTY.fullmatch(party.strip()):
        place, party = inside, ""
    return Spoken(name.strip() or None, place.strip() or None, party.strip() or None)


def is_a_voice(text: str) -> bool:
    """Whether nobody by name speaks: the chair, or several at once."""
    return parse(text).name is None


class Members:
    """The MPs of a sitting, known by the fullest thing that is said of them anywhere in it."""

    def __init__(self, affiliations: Iterable[Affiliation]) -> None:
        self._names: dict[str, str] = {}
        self._ridings: dict[str, str] = {}
        self._parties: dict[str, str] = {}
        for affiliation in affiliations:
            spoken = parse(affiliation.text)
            if spoken.name is None:
                continue
            # "Mr. MacGregor" and "Mr. Alistair MacGregor" are one person: the longer name tells more.
            known = self._names.get(affiliation.person, "")
            if affiliation.person and len(spoken.name) > len(known):
                self._names[affiliation.person] = spoken.name
            if affiliation.type == MEMBER and spoken.place:
                self._ridings.setdefault(spoken.name, spoken.place)
            if spoken.party:
                self._parties.setdefault(spoken.name, spoken.party)

    def find(self, affiliation: Affiliation) -> MpRecord | None:
        """The MP who speaks; None for the chair, for several, and for whom only a surname is known."""
        spoken = parse(affiliation.text)
        if spoken.name is None:
            return None
        name = self._names.get(affiliation.person, spoken.name)
        if " " not in name and "-" not in name and name not in self._ridings:
            return None
        return MpRecord(name, self._ridings.get(name), self._parties.get(name))
