"""Whether a history keeps the promises I1 to I9. Looks at nothing but the history."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from streams.cursor import Cursor
from tests.chaos.history import ClientHistory, History, Kind, Row

CALM = 10.0
"""Seconds within which everybody has an activity once nothing is broken any more, though some read nothing (I7)."""

LISTENING = frozenset({Kind.CURSOR, Kind.FILTERED, Kind.DEVICE, Kind.CONFIRMING, Kind.REFUSING})
"""Kinds that have a stream open all the time once nothing is broken."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that was broken, and the shortest explanation there is."""

    promise: str
    explanation: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.explanation}"


def violations(history: History) -> list[Violation]:
    """All of them, those of the log first: what follows from a broken log comes after it."""
    found: list[Violation] = []
    for promise, check in CHECKS.items():
        found += (Violation(promise, explanation) for explanation in check(history))
    return found


def one_log(history: History) -> Iterator[str]:
    """I1: one cursor for each committed activity; `n` dense; cursors grow with it; all clients saw the same."""
    rows = sorted(history.log, key=lambda row: row.n)
    for before, after in pairwise(rows):
        if after.n != before.n + 1 or after.cursor <= before.cursor:
            yield f"{after} follows {before}"
    known = {row.id: row.cursor for row in rows}
    if missing := history.committed - known.keys():
        yield f"committed, and not in the log: {sorted(missing)[:5]} ({len(missing)} in all)"
    for client in history.clients:
        for one in client.received:
            if known.get(one.id) != one.cursor:
                yield f"{client.name} saw activity {one.id} at {one.cursor}, the log has it at {known.get(one.id)}"
                break


def nothing_lost(history: History) -> Iterator[str]:
    """I2: everything after the start that matches came, or a gap said that it would not."""
    for client in history.clients:
        if client.kind is Kind.NEITHER:
            continue  # each of its connections starts anew: nothing is promised between them
        had = {one.id for one in client.received} | client.healed
        missing = [row for row in _expected(client, history) if row.id not in had and not _told(client, row.cursor)]
        if missing:
            yield (
                f"{client.name} ({client.kind}) never got activity {missing[0].id} at {missing[0].cursor}"
                f" ({len(missing)} of {len(history.log)} in all); it started at {client.start}, and had"
                f" {_around(client, missing[0].cursor)}"
            )


def in_order(history: History) -> Iterator[str]:
    """I2: what comes for the first time comes in the order of the log, and only what was asked for.

    What was handed over before, and got lost on its way, comes again when the process that had it gives it up: then its
    `deliveryAttempt` says that it may be late. So may what a gap told of, once it was redriven.
    """
    for client in history.clients:
        seen: set[int] = set()
        last = Cursor(0)
        for one in client.received:
            if one.id in seen:
                continue
            seen.add(one.id)
            if one.cursor < last and one.attempt == 1 and not _told(client, one.cursor):
                yield f"{client.name} got {one.cursor} for the first time after {last}"
                break
            last = max(last, one.cursor)
        types = {row.id: row.type for row in history.log}
        if client.types and (alien := [one for one in client.received if types.get(one.id) not in client.types]):
            yield f"{client.name} got activity {alien[0].id}, which its filter hides"


def repeats_show(history: History) -> Iterator[str]:
    """I3: on one connection nothing comes twice unless its attempt says so."""
    for client in history.clients:
        on: dict[tuple[int, int], int] = {}
        for one in client.received:
            key = (one.connection, one.id)
            if key in on and one.attempt <= on[key]:
                yield f"{client.name} got {one.cursor} twice on one connection, as attempt {on[key]} and {one.attempt}"
                break
            on[key] = one.attempt


def stream_is_the_log(history: History) -> Iterator[str]:
    """I1, I8: from its first entry on, the stream in Redis holds the log, whole, and nothing else but garbage.

    What a stranger has written may have overtaken entries on their way: then readers find the hole by `prev`.
    """
    log = {row.cursor: row.id for row in history.log}
    for cursor, activity in history.stream:
        if activity is not None and log.get(cursor) != activity:
            yield f"Redis has activity {activity} at {cursor}, PostgreSQL {log.get(cursor)}"
            return
    if history.stream:
        held = [cursor for cursor, _ in history.stream]
        absent = [cursor for cursor in sorted(log.keys() - set(held)) if cursor > held[0]]
        overtaken = [cursor for cursor in absent if cursor < held[-1] and not _intact(history.stream, cursor)]
        if absent := [cursor for cursor in absent if cursor not in overtaken]:
            yield f"Redis lacks {absent[0]} ({len(absent)} in all)"


def pending_small(history: History) -> Iterator[str]:
    """I4: once everybody has confirmed everything, nothing is pending."""
    for where, count in history.pending.items():
        if count:
            yield f"{count} entries are pending {where}, and all clients have confirmed all"


def letters_heal(history: History) -> Iterator[str]:
    """I4: what was given up for one subscriber was redriven to it; what nobody could be shown, to all who listen."""
    for client in history.clients:
        types = {row.id: row.type for row in history.log}
        for letter in history.letters:
            if letter.activity is None or letter.state != "REDRIVEN":
                continue
            own = letter.subscriber == client.subscriber
            everybodys = (
                letter.subscriber == "*"
                and letter.id in history.redriven_in_peace
                and client.kind in LISTENING
                and client.start < letter.cursor
                and (client.types is None or types.get(letter.activity) in client.types)
            )
            if own and letter.id in history.redriven_in_peace and not _told(client, letter.cursor):
                yield f"{client.name} was not told of letter {letter.id}, {letter.cursor}, until it was redriven"
            if own and not letter.healed:
                yield f"letter {letter.id} was redriven to {client.name} and has not arrived"
            if (own or everybodys) and letter.activity not in client.healed | {one.id for one in client.received}:
                yield f"{client.name} never got activity {letter.activity} of the redriven letter {letter.id}"


def letters_kept(history: History) -> Iterator[str]:
    """I8: whatever a client was told is dead has a letter in PostgreSQL, for that client or for everybody."""
    for client in history.clients:
        mine = [one.cursor for one in history.letters if one.subscriber in {"*", client.subscriber}]
        for gap in client.gaps:
            if gap.reason == "DEAD_LETTERED" and not any(gap.since <= one <= gap.through for one in mine):
                yield f"{client.name} was told that {gap.through} is dead, and there is no letter"
                break


def conserved(history: History) -> Iterator[str]:
    """I5: every process can account for every entry."""
    for server, count in history.unaccounted.items():
        if count:
            yield f"{server} cannot account for {count:g} entries"


def private(history: History) -> Iterator[str]:
    """I6: nobody hears of what another has read."""
    for client in history.clients:
        own = history.marked.get(client.user, set())
        for _, ids in client.read_states:
            if alien := ids - own:
                yield f"{client.name} of {client.user} was told that {sorted(alien)[:5]} are read"
                break


def nobody_waits(history: History) -> Iterator[str]:
    """I7: those who read nothing hold nobody up."""
    if history.slowest_calm > CALM:
        yield f"in the calm an activity took {history.slowest_calm:.1f} s, while some clients read nothing"


def marks_kept(history: History) -> Iterator[str]:
    """I8, I9: every path shows as read what was marked, and nothing else; and counts the rest."""
    for user, promised in history.promised.items():
        if lost := promised - history.marked.get(user, set()):
            yield f"{user} was told that {sorted(lost)[:5]} are marked, and they are not"
    for user, paths in history.shown.items():
        marked = history.marked.get(user, set())
        for path, shown in paths.items():
            wrong = [activity for activity, is_read in shown if is_read != (activity in marked)]
            if wrong:
                yield f"{path} shows {user} activity {wrong[0]} as {'unread' if wrong[0] in marked else 'read'}"
        expected = len(history.log) - len(marked & {row.id for row in history.log})
        if user in history.unread and history.unread[user] != expected:
            yield f"{user} has {expected} unread, feed says {history.unread[user]}"
    for user, paths in history.shown.items():
        if len({tuple(shown) for shown in paths.values()}) > 1:
            yield f"{', '.join(paths)} do not show {user} the same"


CHECKS: dict[str, Callable[[History], Iterator[str]]] = {
    "I1 one log": one_log,
    "I1, I8 the stream is the log": stream_is_the_log,
    "I2 nothing lost silently": nothing_lost,
    "I2 in order": in_order,
    "I3 repeats show": repeats_show,
    "I4 the PEL stays small": pending_small,
    "I4 dead letters heal": letters_heal,
    "I5 conservation": conserved,
    "I6 no viewer leaks": private,
    "I7 one slow reader slows nobody": nobody_waits,
    "I8 dead letters are kept": letters_kept,
    "I8, I9 marks are kept, and every path says the same": marks_kept,
}


def _expected(client: ClientHistory, history: History) -> list[Row]:
    return [
        row for row in history.log if row.cursor > client.start and (client.types is None or row.type in client.types)
    ]


def _intact(stream: Sequence[tuple[Cursor, int | None]], cursor: Cursor) -> bool:
    """Whether the entry after a place in the stream is one of ours."""
    return next(activity for at, activity in stream if at > cursor) is not None


def _around(client: ClientHistory, cursor: Cursor) -> str:
    """What a client got before and after a place, and on which of its connections."""
    before = [one for one in client.received if one.cursor < cursor][-1:]
    after = [one for one in client.received if one.cursor > cursor][:1]
    return " and ".join(f"{one.id} on connection {one.connection}" for one in (*before, *after)) or "nothing"


def _told(client: ClientHistory, cursor: Cursor) -> bool:
    return any(gap.since < cursor <= gap.through for gap in client.gaps)
