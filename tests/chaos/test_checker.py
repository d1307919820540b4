"""The checker finds planted bugs, and nothing in a history without any."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from streams.cursor import Cursor
from tests.chaos.checker import violations
from tests.chaos.history import ClientHistory, DeadLetter, Gap, History, Kind, Received, Row
from tests.chaos.schedule import draw

ACTIVITIES = 10


def sound() -> History:
    """Ten activities that everybody got, one marked by each user."""
    log = [Row(k, k, Cursor(k * 10), "SPEECH" if k % 2 else "VOTE") for k in range(1, ACTIVITIES + 1)]
    clients = []
    for number, kind in enumerate(Kind):
        types = frozenset({"VOTE"}) if kind is Kind.FILTERED else None
        client = ClientHistory(f"client {number}", f"user {number}", kind, types, starts=[Cursor(0)])
        client.received = [Received(row.id, row.cursor, 1, 0) for row in log if types is None or row.type in types]
        client.read_states = [(1, frozenset({number + 1}))]
        clients.append(client)
    marked = {client.user: {number + 1} for number, client in enumerate(clients)}
    shown = {
        user: {path: [(row.id, row.id in ids) for row in log] for path in ("BITMAP", "VIEW")}
        for user, ids in marked.items()
    }
    unread = dict.fromkeys(marked, ACTIVITIES - 1)
    promised = {user: set(ids) for user, ids in marked.items()}
    stream = [(row.cursor, row.id) for row in log]
    return History(log, {row.id for row in log}, stream, clients, promised, marked, shown, unread, {"server 0": 0.0})


def drop_one_entry(history: History) -> None:
    """A stream forgets one."""
    del history.clients[0].received[4]


def acknowledge_too_early(history: History) -> None:
    """A device is taken for having what it never got: after a cut it continues behind it."""
    client = next(one for one in history.clients if one.kind is Kind.DEVICE)
    client.starts.append(Cursor(60))
    client.received = [one for one in client.received if one.cursor != Cursor(60)]


def leak_a_viewer(history: History) -> None:
    """Somebody hears of another's marks."""
    history.clients[0].read_states.append((2, frozenset({5})))


def lose_a_bit(history: History) -> None:
    """A mark is gone from the bitmap."""
    history.shown["user 0"]["BITMAP"][0] = (1, False)


def lose_a_mark(history: History) -> None:
    """PostgreSQL does not have what a client was told."""
    history.promised["user 2"].add(9)


def show_another_bit(history: History) -> None:
    """The bitmap has a mark that nobody made."""
    history.shown["user 0"]["BITMAP"][7] = (8, True)


def miscount(history: History) -> None:
    """The unread count is off by one."""
    history.unread["user 1"] += 1


def swap_two(history: History) -> None:
    """Out of order."""
    received = history.clients[0].received
    received[2], received[3] = received[3], received[2]


def repeat_in_disguise(history: History) -> None:
    """The same twice on one connection, as if for the first time."""
    received = history.clients[0].received
    received.append(received[-1])


def skip_a_number(history: History) -> None:
    """The log has a hole."""
    history.log = [replace(row, n=row.n + 1) if row.n > 5 else row for row in history.log]


def lose_a_row(history: History) -> None:
    """A publisher was told that something is committed, and it is not in the log."""
    history.committed.add(99)


def two_cursors(history: History) -> None:
    """A client saw an activity elsewhere than it is."""
    received = history.clients[0].received
    received[3] = replace(received[3], cursor=Cursor(received[3].cursor + 1))


def leave_pending(history: History) -> None:
    """The PEL keeps what everybody has confirmed."""
    history.pending = {"in the groups": 1}


def lose_count(history: History) -> None:
    """A process has lost an entry between its books."""
    history.unaccounted = {"server 0": 1.0}


def hold_up(history: History) -> None:
    """Somebody who reads nothing holds the others up."""
    history.slowest_calm = 30.0


def show_what_is_hidden(history: History) -> None:
    """The filter lets through what it should not."""
    client = next(one for one in history.clients if one.types)
    client.received.insert(0, Received(1, Cursor(10), 1, 0))


def lose_from_the_stream(history: History) -> None:
    """Redis has an entry less than it should."""
    history.stream = [(cursor, one) for cursor, one in history.stream if one != 7]


def put_elsewhere(history: History) -> None:
    """Redis has another activity at a cursor than PostgreSQL."""
    history.stream = [(cursor, 3 if one == 7 else one) for cursor, one in history.stream]


def heal_nothing(history: History) -> None:
    """A redriven letter does not reach its device."""
    client = next(one for one in history.clients if one.kind is Kind.REFUSING)
    client.received = [one for one in client.received if one.id != 5]
    client.gaps.append(Gap(Cursor(40), Cursor(50), "DEAD_LETTERED"))
    history.letters = [DeadLetter(1, Cursor(50), 5, str(client.subscriber), "REDRIVEN", healed=False)]


def heal_not_all(history: History) -> None:
    """A redriven letter of everybody's is not told to one of those who listen."""
    client = next(one for one in history.clients if one.kind is Kind.CURSOR)
    client.received = [one for one in client.received if one.id != 5]
    client.gaps.append(Gap(Cursor(40), Cursor(50), "DEAD_LETTERED"))
    history.letters = [DeadLetter(1, Cursor(50), 5, "*", "REDRIVEN", healed=True)]
    history.redriven_in_peace = {1}


def lose_a_letter(history: History) -> None:
    """A client was told that something is dead, and operators do not find it."""
    history.clients[0].gaps.append(Gap(Cursor(40), Cursor(50), "DEAD_LETTERED"))


BUGS: dict[Callable[[History], None], str] = {
    drop_one_entry: "I2 nothing lost silently",
    acknowledge_too_early: "I2 nothing lost silently",
    leak_a_viewer: "I6",
    lose_a_bit: "I8",
    show_another_bit: "I8",
    lose_a_mark: "I8",
    miscount: "I8",
    swap_two: "I2 in order",
    repeat_in_disguise: "I3",
    skip_a_number: "I1",
    lose_a_row: "I1",
    two_cursors: "I1",
    leave_pending: "I4",
    lose_count: "I5",
    hold_up: "I7",
    show_what_is_hidden: "I2 in order",
    lose_from_the_stream: "I1, I8",
    put_elsewhere: "I1, I8",
    heal_nothing: "I4 dead letters",
    heal_not_all: "I4 dead letters",
    lose_a_letter: "I8 dead letters",
}


def test_a_sound_history_has_no_violation() -> None:
    """The checker is no alarm that always rings."""
    assert violations(sound()) == []


@pytest.mark.parametrize("plant", BUGS, ids=lambda bug: str(bug.__name__))
def test_a_planted_bug_is_found(plant: Callable[[History], None]) -> None:
    """Each breaks the promise that it should."""
    history = sound()
    plant(history)

    assert [one for one in violations(history) if one.promise.startswith(BUGS[plant])]


def test_what_a_gap_tells_is_not_lost() -> None:
    """An entry inside a FeedGap is accounted for, one beside it is not."""
    history = sound()
    client = history.clients[0]
    client.received = [one for one in client.received if one.id not in {4, 5}]
    client.gaps.append(Gap(Cursor(30), Cursor(40), "TRIMMED"))

    assert ["activity 5" in str(one) for one in violations(history)] == [True]


def test_what_is_handed_over_again_may_be_late() -> None:
    """A second attempt comes when whoever had the first gives it up; a first attempt that is late is a violation."""
    history = sound()
    received = history.clients[0].received
    received.insert(5, replace(received.pop(2), attempt=2))
    assert violations(history) == []

    received[5] = replace(received[5], attempt=1)
    assert [one.promise for one in violations(history)] == ["I2 in order"]


def test_what_garbage_has_overtaken_may_be_missing_in_redis() -> None:
    """Readers find such a hole by `prev`; the same hole before an entry of ours is a violation."""
    history = sound()
    history.stream = [(Cursor(10), 1), (Cursor(25), None), *list(history.stream)[2:]]
    assert violations(history) == []

    history.stream = [(Cursor(10), 1), *list(history.stream)[2:]]
    assert [one.promise for one in violations(history)] == ["I1, I8 the stream is the log"]


def test_a_seed_draws_the_same_schedule() -> None:
    """A violation can be looked for again."""
    assert draw(7) == draw(7)
    assert len({str(draw(seed)) for seed in range(50)}) == 50
