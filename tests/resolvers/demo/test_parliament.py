"""The made-up parliament behaves as one."""

import re
from collections import Counter
from datetime import UTC, datetime

import pytest

from resolvers.activities import ActivityType
from resolvers.demo import parliament
from resolvers.importing.records import ActivityRecord

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def past() -> list[ActivityRecord]:
    """A month of it."""
    return parliament.past(1867, AT)


def test_no_division_counts_more_votes_than_there_are_members(past: list[ActivityRecord]) -> None:
    """Ayes and noes differ, and together are at most 340."""
    divisions = [re.findall(r"(?:Ayes|Noes) ([0-9]+)", one.title) for one in past if one.type is ActivityType.VOTE]

    assert divisions
    assert all(int(ayes) + int(noes) <= parliament.MPS and ayes != noes for ayes, noes in divisions)


def test_result_that_the_house_is_said_to_have_reached_is_that_of_its_division(past: list[ActivityRecord]) -> None:
    """It agreed if the ayes have it, and rejected if the noes do."""
    decided = [one for one in past if one.type is ActivityType.VOTE and one.mp is None]

    assert {(one.summary or "").split()[2] for one in decided} == {"agreed", "rejected"}
    for one in decided:
        ayes, noes = map(int, re.findall(r"(?:Ayes|Noes) ([0-9]+)", one.title))
        assert (ayes > noes) is (one.summary or "").startswith("The House agreed")


def test_only_what_a_house_does_is_done_by_nobody_in_particular(past: list[ActivityRecord]) -> None:
    """Votes, stages of bills and committees may be without an MP; nothing that takes a voice is."""
    kinds = {one.type for one in past if one.mp is None}

    assert kinds == {ActivityType.VOTE, ActivityType.BILL_PROGRESS, ActivityType.COMMITTEE}


def test_parliament_works_by_day_and_rests_at_weekends(past: list[ActivityRecord]) -> None:
    """Afternoons are busier than nights, and every working day busier than any Sunday."""
    hours = Counter(one.occurred_at.hour for one in past)
    days = Counter(one.occurred_at.weekday() for one in past)

    assert sum(hours[hour] for hour in range(12, 18)) > 20 * sum(hours[hour] for hour in range(6))
    assert min(days[day] for day in range(5)) > 2 * max(days[5], days[6])


def test_every_title_and_summary_fits_and_reads_as_a_whole(past: list[ActivityRecord]) -> None:
    """Titles are short enough for a list, summaries are one sentence, and no placeholder is left in either."""
    assert all(len(one.title) <= 120 for one in past)
    assert all((one.summary or "").endswith(".") for one in past)
    assert not [one for one in past if "None" in f"{one.title}{one.summary}" or "{" in f"{one.title}{one.summary}"]


def test_bills_that_move_are_named(past: list[ActivityRecord]) -> None:
    """Introducing a bill and taking it a stage further is always about a bill; other things need not be."""
    about_bills = {ActivityType.BILL_PROGRESS, ActivityType.BILL_INTRODUCED}

    assert all(one.bill is not None for one in past if one.type in about_bills)
    assert any(one.bill is None for one in past)


def test_what_happens_after_a_restart_has_names_of_its_own() -> None:
    """Two runs of the demo, a millisecond apart, never publish under one source ID; nor under one of the past."""
    instants = iter(datetime(2026, 11, 24, 12, 0, 0, 1_000 * k, tzinfo=UTC) for k in range(4))
    first, second = (parliament.future(1867, lambda: next(instants)) for _ in range(2))

    names = [next(stories).source_id for stories in (first, first, second, second)]

    assert len(set(names)) == 4
    assert not set(names) & {one.source_id for one in parliament.past(1867, AT, count=50)}
