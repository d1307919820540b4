"""Hansard's XML, whole and odd."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.activities import ActivityType
from resolvers.importing import hansard
from resolvers.importing.affiliations import Affiliation, Members, Spoken, parse
from resolvers.importing.records import BillRecord, ImportRefused, MpRecord

OTTAWA = ZoneInfo("America/Toronto")

FACTS = {
    "ParliamentNumber": "44",
    "SessionNumber": "1",
    "MetaNumberNumber": "200",
    "MetaDateNumYear": "2023",
    "MetaDateNumMonth": "05",
    "MetaDateNumDay": "18",
}


def sitting(body: str, *, language: str = "EN", **facts: str) -> bytes:
    """The XML of a sitting, with a byte order mark as the real ones have."""
    items = "".join(f'<ExtractedItem Name="{name}">{value}</ExtractedItem>' for name, value in (FACTS | facts).items())
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?><Hansard xml:lang="{language}">'
        f"<ExtractedInformation>{items}</ExtractedInformation><HansardBody>{body}</HansardBody></Hansard>"
    )
    return b"\xef\xbb\xbf" + xml.encode()


def subject(title: str, *parts: str, qualifier: str = "", catch_line: str = "") -> str:
    """A subject of business; without a title, one that goes on with the last."""
    tags = {"SubjectOfBusinessTitle": title, "SubjectOfBusinessQualifier": qualifier, "CatchLine": catch_line}
    heading = "".join(f"<{tag}>{words}</{tag}>" for tag, words in tags.items() if words)
    return (
        f"<SubjectOfBusiness>{heading}"
        f"<SubjectOfBusinessContent>{''.join(parts)}</SubjectOfBusinessContent></SubjectOfBusiness>"
    )


def order(rubric: str, *subjects: str, title: str = "Business") -> str:
    """An order of business."""
    return f'<OrderOfBusiness Rubric="{rubric}"><CatchLine>{title}</CatchLine>{"".join(subjects)}</OrderOfBusiness>'


def procedure(words: str) -> str:
    """A note of the clerk."""
    return f"<ProceduralText>{words}</ProceduralText>"


def stamp(hour: int, minute: int) -> str:
    """A time stamp."""
    return f'<Timestamp Hr="{hour:02}" Mn="{minute:02}">({hour:02}{minute:02})</Timestamp>'


def said(
    id_: str,
    words: str = "Mr. Speaker, yes.",
    *,
    by: str = "Ms. Laurel Collins (Victoria, NDP)",
    person: str = "1",
    kind: str = "2",
    type_: str = "Debate",
) -> str:
    """An intervention."""
    return (
        f'<Intervention Type="{type_}" id="{id_}"><PersonSpeaking><Affiliation DbId="{person}" Type="{kind}">{by}'
        f"</Affiliation></PersonSpeaking><Content><ParaText>{words}</ParaText></Content></Intervention>"
    )


def test_intervention_becomes_an_activity_with_everything_it_tells() -> None:
    """Title, plain summary, MP, bill, time, address and the source's own names."""
    bill = '<Document DbId="9" Type="4">C\u2011332, An Act to amend the Criminal Code</Document>'
    body = subject(
        "Criminal  Code", stamp(10, 5), said("7", f"moved for leave to introduce Bill {bill}.\n <I>Agreed</I>")
    )

    [record], problems = hansard.read(sitting(body))

    assert problems == []
    assert record.source_id == "hansard:44-1-200:7"
    assert record.title == "Criminal Code"
    assert MpRecord("Laurel Collins", "Victoria", "NDP") == record.mp
    assert BillRecord("C-332", "An Act to amend the Criminal Code") == record.bill
    assert datetime(2023, 5, 18, 10, 5, tzinfo=OTTAWA) == record.occurred_at
    assert record.summary is not None
    assert record.summary.endswith("An Act to amend the Criminal Code. Agreed")
    assert record.url == "https://www.ourcommons.ca/DocumentViewer/en/44-1/house/sitting-200/hansard"
    assert (record.metadata["sitting"], record.metadata["interventionId"]) == ("44-1-200", "7")


def test_interventions_after_one_stamp_keep_their_order_in_time() -> None:
    """Times only grow, though Hansard stamps every five minutes and a long exchange outlasts a stamp."""
    body = subject("Debate", stamp(10, 0), *(said(str(k)) for k in range(400)), stamp(10, 5), said("late"))

    records, _ = hansard.read(sitting(body))

    times = [record.occurred_at for record in records]
    assert times == sorted(set(times))
    assert len(records) == 401


@pytest.mark.parametrize("after_midnight", [stamp(24, 10), stamp(0, 10)])
def test_sitting_past_midnight_goes_on_the_next_day(after_midnight: str) -> None:
    """Hours of 24 and more, or a clock that starts again, are the next morning."""
    body = subject("Debate", stamp(23, 55), said("1"), after_midnight, said("2"))

    records, _ = hansard.read(sitting(body))

    assert timedelta(minutes=15) == records[1].occurred_at - records[0].occurred_at
    assert records[1].occurred_at.day == 19


def test_short_names_are_completed_from_anywhere_in_the_sitting() -> None:
    """A surname, and an office without its riding, mean the member who is fully named elsewhere."""
    body = subject(
        "Debate",
        said("1", by="Mr. MacGregor", person="5"),
        said("2", by="Mr. Alistair MacGregor (Cowichan, NDP)", person="5"),
        said("3", by="Mr. Kevin Lamoureux (Parliamentary Secretary, Lib.)", person="6", kind="18"),
        said("4", by="Mr. Kevin Lamoureux (Winnipeg North, Lib.)", person="7"),
    )

    records, _ = hansard.read(sitting(body))

    assert [record.mp and record.mp.name for record in records] == ["Alistair MacGregor"] * 2 + ["Kevin Lamoureux"] * 2
    assert [record.mp and record.mp.riding for record in records] == ["Cowichan"] * 2 + ["Winnipeg North"] * 2


@pytest.mark.parametrize(
    "voice", ["The Speaker", "The Assistant Deputy Speaker (Mrs. Alexandra Mendès)", "Some hon. members", "Des voix"]
)
def test_chair_and_collective_voices_have_no_mp(voice: str) -> None:
    """What they say is imported, and not put down to a member."""
    [record], _ = hansard.read(sitting(subject("Debate", said("1", by=voice, kind="15"))))

    assert record.mp is None
    assert voice == record.metadata["speaker"]


def test_french_sitting_is_read_like_an_english_one() -> None:
    """Honorifics, quotation marks and parties of the French edition; its IDs are those of the English one."""
    body = subject(
        "Pétitions",
        said("1", by="M. Gabriel Ste-Marie (Joliette, BQ)", person="1"),
        said("2", by="L\u2019hon. Judy A. Sgro (Humber River\u2014Black Creek, Lib.)", person="2"),
        said("3", by="Le vice-président", person="3", kind="96"),
    )

    records, _ = hansard.read(sitting(body, language="FR"))

    assert [record.mp and record.mp.name for record in records] == ["Gabriel Ste-Marie", "Judy A. Sgro", None]
    assert records[0].source_id == "hansard:44-1-200:1"
    assert ActivityType.PETITION is records[0].type
    assert records[0].url is not None
    assert "/fr/" in records[0].url


def test_subject_of_a_bill_gives_its_bill_to_every_intervention() -> None:
    """By number in the heading, by title, or by the motion that opens the subject."""
    bill = '<Document DbId="9" Type="3">C-2, An Act on bees</Document>'
    by_motion = subject("Bees", said("1", f"moved that Bill {bill} be read"), said("2"))
    by_title = subject("An Act on Bees", said("3"))
    by_number = subject("Points of Order", said("4"), qualifier="Bill C-9 at committee")
    not_at_all = subject("Supply", said("5", f"I spoke on {bill}"), said("6"))

    records, _ = hansard.read(sitting(by_motion + by_title + by_number + not_at_all))

    assert [record.bill and record.bill.number for record in records] == ["C-2", "C-2", "C-2", "C-9", "C-2", None]


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("Question", ActivityType.QUESTION),
        ("Answer", ActivityType.ANSWER),
        ("Debate", ActivityType.SPEECH),
        ("Interjection", ActivityType.SPEECH),
        ("Unheard", ActivityType.OTHER),
    ],
)
def test_kinds_of_intervention_are_kinds_of_activity(type_: str, expected: ActivityType) -> None:
    """What Hansard calls it decides; what it does not call anything is OTHER."""
    [record], _ = hansard.read(sitting(subject("Debate", said("1", type_=type_))))

    assert expected is record.type


def test_editors_marks_are_no_part_of_what_was_said() -> None:
    """Times and languages in brackets, between paragraphs and inside them, are left out of the summary."""
    mark = '<FloorLanguage language="FR">[<I>Translation</I>]</FloorLanguage>'
    words = f"Before {stamp(10, 15)}after.</ParaText>{stamp(10, 20)}{mark}<ParaText>The end."

    records, _ = hansard.read(sitting(subject("Debate", stamp(10, 10), said("1", words), said("2"))))

    assert [record.summary for record in records] == ["Before after. The end.", "Mr. Speaker, yes."]
    assert records[1].occurred_at.minute == 20
    assert records[1].metadata["floorLanguage"] == "FR"


@pytest.mark.parametrize(
    ("hour", "minute"), [("99999999", "00"), ("10", "75"), ("\u00b2", "00"), ("", ""), ("48", "00")]
)
def test_stamp_that_is_no_time_is_passed_over(hour: str, minute: str) -> None:
    """A misprint moves no clock and stops no import."""
    odd = f'<Timestamp Hr="{hour}" Mn="{minute}">(?)</Timestamp>'

    records, _ = hansard.read(sitting(subject("Debate", stamp(10, 0), said("1"), odd, said("2"))))

    assert records[1].occurred_at - records[0].occurred_at == timedelta(seconds=1)


def test_each_petition_after_the_first_is_a_petition() -> None:
    """A subject with a qualifier alone goes on with the title before it, and no further than its order of business."""
    routine = order(
        "RoutineProceedings",
        subject("Petitions", said("1"), qualifier="Barbados"),
        subject("", said("2"), said("3", by="The Speaker", kind="15"), qualifier="Air Transportation"),
        subject("Questions on the Order Paper", said("4")),
    )
    late = order("LateShow", subject("", said("5"), qualifier="Procurement"), title="Adjournment Proceedings")

    records, _ = hansard.read(sitting(routine + late))

    assert [record.title for record in records] == [
        "Petitions (Barbados)",
        "Petitions (Air Transportation)",
        "Petitions (Air Transportation)",
        "Questions on the Order Paper",
        "Procurement",
    ]
    assert [record.type for record in records] == [
        ActivityType.PETITION,
        ActivityType.PETITION,
        ActivityType.PROCEDURE,
        ActivityType.SPEECH,
        ActivityType.SPEECH,
    ]


def test_bill_is_followed_through_the_votes_on_it() -> None:
    """The clerk's words name it once; the subjects after each division have no title, and are still about it."""
    chair = {"by": "The Speaker", "kind": "15"}
    passed = said("3", **chair).replace("</Content>", procedure("(Bill read the third time and passed)") + "</Content>")
    named = '<ParaText>consideration of Bill <Document DbId="9" Type="3">C-21, An Act on bees</Document></ParaText>'
    votes = order("Divisions", subject("Criminal Code", named, said("1", **chair)), subject("", said("2")))
    third = order("Divisions", subject("Food", procedure("Bill S-5. Third reading")), subject("", passed))
    other = order("Other", subject("Supply", said("4")), subject("", said("5")))

    records, _ = hansard.read(sitting(votes + third + other))

    assert [record.bill and record.bill.number for record in records] == ["C-21", "C-21", "S-5", None, None]
    assert [record.title for record in records] == ["Criminal Code", "Criminal Code", "Food", "Supply", "Supply"]
    assert ActivityType.BILL_PROGRESS is records[2].type


def test_question_period_tells_questions_from_answers() -> None:
    """By who speaks, where Hansard says "Debate" for either; points of order in its midst are not part of it."""
    minister = {"by": "Hon. Mary Ng (Minister of Trade, Lib.)", "kind": "4"}
    body = order(
        "OralQuestionPeriod",
        subject(
            "Health",
            said("1", type_="Debate"),
            said("2", **minister, type_="Debate"),
            said("3", type_="Statement"),
            said("4", **minister, type_="Question"),
            said("5", type_="Interjection"),
            said("6", by="The Speaker", kind="15"),
            said("7", type_="Answer"),
        ),
        subject("Points of Order", said("8", **minister, type_="Debate"), catch_line="Points of Order"),
    )

    records, _ = hansard.read(sitting(body))

    expected = "QUESTION ANSWER QUESTION ANSWER SPEECH PROCEDURE ANSWER SPEECH"
    assert expected.split() == [record.type.value for record in records]


def test_what_is_said_before_the_first_stamp_begins_at_it() -> None:
    """Not at midnight; what follows the stamp still follows what came before it."""
    records, _ = hansard.read(sitting(subject("Debate", said("1"), stamp(10, 5), said("2"))))

    assert datetime(2023, 5, 18, 10, 5, tzinfo=OTTAWA) == records[0].occurred_at
    assert timedelta(seconds=1) == records[1].occurred_at - records[0].occurred_at


def test_who_is_mentioned_does_not_rename_who_speaks() -> None:
    """An affiliation inside a speech, such as "hon. member for …", is no name."""
    mention = '<Affiliation DbId="1" Type="2">hon. member for Esquimalt and the Islands</Affiliation>'

    [record], _ = hansard.read(sitting(subject("Debate", said("1", f"I thank the {mention}"))))

    assert MpRecord("Laurel Collins", "Victoria", "NDP") == record.mp


def test_unknown_tags_are_walked_through() -> None:
    """A new element around or inside what is known hides nothing."""
    body = f"<NewThing>{subject('Debate', said('1', '<NewMark>hidden</NewMark> words'))}</NewThing>"

    [record], _ = hansard.read(sitting(body))

    assert record.summary == "hidden words"


def test_what_cannot_be_imported_is_skipped_and_named() -> None:
    """No ID, an ID a second time, and no words: each is left out with its reason, the rest is imported."""
    nameless = said("x").replace(' id="x"', "")
    body = subject("Debate", said("1"), said("1"), said("2", " "), nameless, said("3"))

    records, problems = hansard.read(sitting(body))

    assert [record.source_id for record in records] == ["hansard:44-1-200:1", "hansard:44-1-200:3"]
    assert [problem.where for problem in problems] == ["intervention 1", "intervention 2", "intervention without an ID"]


def test_long_summary_is_cut_between_words() -> None:
    """At most 300 characters, ending with an ellipsis."""
    [record], _ = hansard.read(sitting(subject("Debate", said("1", "word " * 200))))

    assert record.summary is not None
    assert len(record.summary) <= 300
    assert record.summary.endswith("word…")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"%PDF-1.7", "not XML"),
        (b"<!DOCTYPE html><html><p>Not found</html>", "not XML|DTD"),
        (sitting(subject("Debate", said("1")))[:-60], "line 1, column"),
        (b"<Other/>", "root is <Other>"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><Hansard>&b;</Hansard>', "DTD or entities"),
        (sitting(""), "no intervention"),
        (sitting(subject("Debate", said("1")), MetaDateNumDay="31", MetaDateNumMonth="02"), "no date"),
        (sitting(subject("Debate", said("1")), SessionNumber="first"), "SessionNumber"),
    ],
    ids=["empty", "blank", "pdf", "html", "truncated", "other", "entities", "nothing", "date", "session"],
)
def test_file_that_is_no_sitting_is_refused_with_a_sentence(content: bytes, reason: str) -> None:
    """The message says what is wrong; nothing of such a file is imported."""
    with pytest.raises(ImportRefused, match=reason):
        hansard.read(content)


@given(st.binary(max_size=200))
def test_whatever_bytes_are_read_or_refused(content: bytes) -> None:
    """No content makes the importer fail in any other way."""
    with pytest.raises(ImportRefused):
        hansard.read(content)


@given(st.text())
def test_any_affiliation_can_be_parsed(text: str) -> None:
    """The parser never raises; what it cannot tell is None."""
    assert isinstance(parse(text), Spoken)


NAMES = st.from_regex(r"[A-Z][a-zé]{1,8}( [A-Z][a-z]{1,8}){1,2}", fullmatch=True)
PLACES = st.from_regex(r"[A-Z][a-z]{1,9}(—[A-Z][a-z]{1,9}){0,2}", fullmatch=True)


@given(st.sampled_from(["Mr.", "Hon.", "Right Hon.", "Mme", "L'hon."]), NAMES, PLACES, st.sampled_from(["NDP", "Lib."]))
def test_affiliation_is_taken_apart_as_it_was_put_together(honorific: str, name: str, place: str, party: str) -> None:
    """Honorific, name, riding and party, in the form that Hansard has."""
    text = f"{honorific} {name} ({place}, {party})"

    assert Spoken(name, place, party) == parse(text)
    assert MpRecord(name, place, party) == Members([Affiliation(text, "1", "2")]).find(Affiliation(text, "1", "2"))


@pytest.mark.parametrize("year", ["0001", "0500", "9999"])
def test_sitting_of_an_impossible_year_is_refused(year: str) -> None:
    """A year before the House or beyond what can be stored is told, not run into."""
    with pytest.raises(ImportRefused, match="year is"):
        hansard.read(sitting(subject("Debate", stamp(23, 0), said("1")), MetaDateNumYear=year))


def test_member_spoken_of_is_not_taken_for_a_name() -> None:
    """`Hon. member for Victoria` names nobody, and does not rename whoever has that database ID."""
    records, _ = hansard.read(sitting(subject("Debate", said("1"), said("2", by="Hon. member for Victoria"))))

    assert [record.mp and record.mp.name for record in records] == ["Laurel Collins", None]


def test_id_too_long_to_be_stored_is_skipped() -> None:
    """The other interventions are imported, and the skipped one is counted."""
    records, problems = hansard.read(sitting(subject("Debate", said("1"), said("9" * 600))))

    assert (len(records), len(problems)) == (1, 1)
    assert "longer than 100" in problems[0].what
