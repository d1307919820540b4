"""The capacity model: its arithmetic, its simulation, and its page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.capacity.document import DOCUMENT, document
from tests.benchmarks.capacity.model import LIMITS, MOST_STREAMS, Costs, Demand, full_at, need
from tests.benchmarks.capacity.predictions import predictions
from tests.benchmarks.capacity.recorded import Recorded, RowMissing
from tests.benchmarks.capacity.simulation import Server, fan_out, returning

SERVER = Server(write=10e-6, receipt=0.0, road=0.005)


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """What docs/ has."""
    return Recorded()


def test_page_is_what_the_benchmarks_say(recorded: Recorded) -> None:
    """`make capacity` renews it, after `make bench`."""
    assert DOCUMENT.read_text(encoding="utf-8") == document(recorded)


def test_simulation_predicts_what_was_recorded(recorded: Recorded) -> None:
    """Each within the factor that the page states."""
    found = predictions(recorded)

    assert len(found) >= 7
    assert {one.what: one.ratio for one in found if not one.agrees} == {}


def test_missing_row_is_told(recorded: Recorded) -> None:
    """A benchmark whose row has another name is no zero."""
    with pytest.raises(RowMissing, match="a row that nobody wrote"):
        recorded.figure("a row that nobody wrote", r"(\d+)")


@given(
    fewer=st.integers(1, 10**8), more=st.integers(0, 10**8), share=st.floats(0.0001, 1), activities=st.floats(0.01, 20)
)
def test_needs_grow_with_subscribers(
    recorded: Recorded, fewer: int, more: int, share: float, activities: float
) -> None:
    """No part needs less for more, and no process is asked for more than it holds."""
    costs = Costs.of(recorded)
    small, large = (need(Demand(n, share, activities), costs) for n in (fewer, fewer + more))

    assert all(getattr(small, limit.of) <= getattr(large, limit.of) for limit in LIMITS)
    assert small.processes * MOST_STREAMS >= fewer
    assert small.server_cores <= small.processes


def test_limit_is_where_a_part_is_full(recorded: Recorded) -> None:
    """One more percent of subscribers is too much, one less is not."""
    costs = Costs.of(recorded)
    for limit in LIMITS:
        at = full_at(limit, 0.1, costs)
        assert getattr(need(Demand(int(at * 0.99), 0.1), costs), limit.of) <= limit.most
        assert getattr(need(Demand(int(at * 1.01) + MOST_STREAMS, 0.1), costs), limit.of) > limit.most


def test_one_by_one_takes_the_road_and_a_write_for_each() -> None:
    """1,000 seats at 10 us after 5 ms: the last has it after 15 ms."""
    waits, a_second = fan_out(SERVER, streams=1_000, activities=10, every=None)

    assert waits.quantile(1) == pytest.approx(0.015)
    assert waits.quantile(0.5) == pytest.approx(0.011)
    assert a_second == pytest.approx(1_000 * 10 / (0.150 - 0.007))


@given(streams=st.integers(1, 20_000), activities=st.integers(1, 30), every=st.floats(0.001, 2))
def test_everybody_gets_everything(streams: int, activities: int, every: float) -> None:
    """However publications and passes fall together, and however far behind it is."""
    waits, _ = fan_out(SERVER, streams=streams, activities=activities, every=every)

    assert sum(count for _, count in waits.seen) == streams * activities
    assert min(waited for waited, _ in waits.seen) >= SERVER.road


def test_what_comes_meanwhile_is_one_write() -> None:
    """At ten times the rate that it could write one by one, a server is never more than two passes behind."""
    waits, _ = fan_out(SERVER, streams=10_000, activities=1_000, every=0.01)

    assert waits.quantile(1) < 0.3


def test_who_knocks_all_the_time_is_served_in_turn() -> None:
    """100 clients at 10 ms: half are back after half a second."""
    waits = returning(clients=100, service=0.01)

    assert waits.quantile(0.5) == pytest.approx(0.5)
    assert waits.quantile(1) == pytest.approx(1.0)
