"""A made-up parliament: 340 MPs, 60 bills, a month of activities, then one after another. Same seed, same past."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from resolvers.activities import ActivityType
from resolvers.demo.names import ACTS, FAMILY, GIVEN, PARTIES, PLACES, QUARTERS, STAGES, SUBJECTS
from resolvers.importing.records import ActivityRecord, BillRecord, MpRecord

MPS = 340
BILLS = 60
MONTH = timedelta(days=30)
# Parliament works from ten to seven and talks most in the afternoon; a little happens at all hours.
_HOURS = (1, 0, 0, 0, 0, 0, 1, 2, 4, 8, 20, 24, 14, 22, 30, 32, 30, 26, 20, 10, 6, 4, 2, 1)
_WEEKEND_SHARE = 0.15
"""How much happens on a Saturday or Sunday, compared with a working day."""
_TYPES = {
    ActivityType.SPEECH: 30,
    ActivityType.QUESTION: 22,
    ActivityType.ANSWER: 14,
    ActivityType.VOTE: 12,
    ActivityType.COMMITTEE: 8,
    ActivityType.BILL_PROGRESS: 6,
    ActivityType.PETITION: 4,
    ActivityType.STATEMENT: 3,
    ActivityType.BILL_INTRODUCED: 1,
}
_BY_THE_HOUSE = {ActivityType.VOTE: 0.4, ActivityType.BILL_PROGRESS: 0.3, ActivityType.COMMITTEE: 0.3}
"""How often nobody in particular does it; everything else is said by somebody."""


@dataclass(frozen=True, slots=True)
class Parliament:
    """Its members and bills."""

    mps: tuple[MpRecord, ...]
    bills: tuple[BillRecord, ...]


def assemble(seed: int) -> Parliament:
    """The parliament of that seed."""
    random = Random(f"{seed} members")  # noqa: S311 - a toy
    names = random.sample([f"{given} {family}" for given in GIVEN for family in FAMILY], MPS)
    ridings = random.sample([f"{place} {quarter}" for place in PLACES for quarter in QUARTERS], MPS)
    parties = random.choices(PARTIES, weights=(38, 34, 16, 10, 2), k=MPS)
    titles = random.sample([f"{subject} {act}" for subject in SUBJECTS for act in ACTS], BILLS)
    return Parliament(
        tuple(MpRecord(*member) for member in zip(names, ridings, parties, strict=True)),
        tuple(BillRecord(f"B-{number}", title) for number, title in enumerate(titles, start=1)),
    )


def past(seed: int, until: datetime, count: int = 2_000) -> list[ActivityRecord]:
    """`count` activities of the 30 days before `until`, oldest first."""
    parliament = assemble(seed)
    random = Random(f"{seed} past")  # noqa: S311 - a toy
    first = (until - MONTH).replace(hour=0, minute=0, second=0, microsecond=0)
    instants: list[datetime] = []
    while len(instants) < count:
        hour = random.choices(range(24), weights=_HOURS)[0]
        at = first + timedelta(days=random.randrange(31), hours=hour, seconds=random.randrange(3600))
        sits = at.weekday() < 5 or random.random() < _WEEKEND_SHARE
        if sits and until - MONTH <= at < until:
            instants.append(at)
    return [
        _activity(parliament, random, at, source_id=f"demo:{seed}:{number}")
        for number, at in enumerate(sorted(instants), start=1)
    ]


def future(seed: int, clock: Callable[[], datetime]) -> Iterator[ActivityRecord]:
    """What happens next, without end, at whatever time the clock says when it is asked for."""
    parliament = assemble(seed)
    random = Random()  # noqa: S311 - a toy, and a new story after every start
    while True:
        at = clock()
        yield _activity(parliament, random, at, source_id=f"demo:{seed}:at-{at.astimezone(UTC):%Y%m%dT%H%M%S.%f}")


def _activity(parliament: Parliament, random: Random, at: datetime, *, source_id: str) -> ActivityRecord:
    type_ = random.choices(list(_TYPES), weights=list(_TYPES.values()))[0]
    mp = None if random.random() < _BY_THE_HOUSE.get(type_, 0) else random.choice(parliament.mps)
    about_bill = type_ in {ActivityType.BILL_PROGRESS, ActivityType.BILL_INTRODUCED} or random.random() < 0.55
    bill = random.choice(parliament.bills) if about_bill else None
    topic = bill.title if bill else random.choice(SUBJECTS)
    title, summary = _words(type_, random, mp, topic)
    return ActivityRecord(
        source_id=source_id,
        type=type_,
        title=title,
        occurred_at=at,
        summary=summary,
        mp=mp,
        bill=bill,
        metadata={"source": "made-up parliament"},
    )


def _words(type_: ActivityType, random: Random, mp: MpRecord | None, topic: str) -> tuple[str, str]:
    if mp is None:
        return _words_of_the_house(type_, random, topic)
    who, where = mp.name, f" for {mp.riding}"
    ayes, noes = _division(random)
    stage = random.choice(STAGES)
    words = {
        ActivityType.SPEECH: (f"Debate: {topic}", f"{who}{where} spoke in the debate on {topic}."),
        ActivityType.QUESTION: (f"Question: {topic}", f"{who}{where} asked what the government will do about {topic}."),
        ActivityType.ANSWER: (f"Answer: {topic}", f"{who}{where} answered a question on {topic}."),
        ActivityType.VOTE: (
            f"Division: {topic}: Ayes {ayes}, Noes {noes}",
            f"{who} voted {'aye' if random.random() < 0.6 else 'no'} on {topic}.",
        ),
        ActivityType.COMMITTEE: (f"In committee: {topic}", f"{who}{where} took evidence on {topic}."),
        ActivityType.BILL_PROGRESS: (f"{topic}: {stage}", f"{topic} passed its {stage}; {who} moved it."),
        ActivityType.PETITION: (
            f"Petition: {topic}",
            f"{who} presented a petition with {random.randint(30, 9_000):,} signatures on {topic}.",
        ),
        ActivityType.STATEMENT: (f"Statement: {topic}", f"{who}{where} thanked those who work for {topic}."),
        ActivityType.BILL_INTRODUCED: (f"New: {topic}", f"{who}{where} introduced the {topic}."),
    }
    return words[type_]


def _words_of_the_house(type_: ActivityType, random: Random, topic: str) -> tuple[str, str]:
    ayes, noes = _division(random)
    stage = random.choice(STAGES)
    decided = f"The House agreed to {topic} by" if ayes > noes else f"The House rejected {topic} by"
    words = {
        ActivityType.VOTE: (
            f"Division: {topic}: Ayes {ayes}, Noes {noes}",
            f"{decided} {max(ayes, noes)} votes to {min(ayes, noes)}.",
        ),
        ActivityType.COMMITTEE: (f"In committee: {topic}", f"A committee of the House took evidence on {topic}."),
        ActivityType.BILL_PROGRESS: (f"{topic}: {stage}", f"{topic} passed its {stage} without a division."),
    }
    return words[type_]


def _division(random: Random) -> tuple[int, int]:
    """Ayes and noes: never a tie, which only the chair could break, nor more votes than members."""
    cast = random.randrange(181, MPS, 2)
    noes = random.randint(20, cast * 3 // 5)
    return cast - noes, noes
