"""Log lines."""

import io
import json
import logging

import pytest

from telemetry import logs


@pytest.fixture(autouse=True)
def _loggers_as_they_were() -> object:
    root, ours = logging.getLogger(), logging.getLogger("divisionbell")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    ours.setLevel(before[2])


class Terminal(io.StringIO):
    """A stream that a person reads."""

    def isatty(self) -> bool:
        """Yes."""
        return True


def test_record_is_one_json_object_a_line() -> None:
    """Message, level, whatever `extra` gave, and the traceback, all on one line."""
    stream = io.StringIO()
    logs.configure(stream=stream)
    try:
        int("line one\nline two")
    except ValueError:
        logging.getLogger("divisionbell.x").exception("failed for %s", "ada", extra={"cursor": "1-0"})

    [line] = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert (fields["message"], fields["level"], fields["cursor"]) == ("failed for ada", "ERROR", "1-0")
    assert "line two" in fields["traceback"]


def test_person_at_a_terminal_gets_readable_lines() -> None:
    """Time, level, message, then what else there is as key=value."""
    stream = Terminal()
    logs.configure(stream=stream)

    logging.getLogger("divisionbell.x").warning("slow", extra={"seconds": 3})

    assert stream.getvalue().endswith("warning slow seconds=3\n")


def test_other_peoples_chatter_is_left_out() -> None:
    """Libraries speak up from WARNING on, ours from the level that is set."""
    stream = io.StringIO()
    logs.configure(level="DEBUG", stream=stream)

    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("divisionbell.x").debug("ours")

    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["ours"]


def test_one_of_several_processes_says_which_it_is() -> None:
    """Lines of all workers end in one place."""
    stream = io.StringIO()
    logs.configure(stream=stream, worker=1)

    logging.getLogger("divisionbell.x").warning("slow")

    assert json.loads(stream.getvalue())["worker"] == 1


def test_no_secret_reaches_a_line() -> None:
    """Passwords of URLs, bearer tokens and tokens as such, in messages, fields and tracebacks."""
    for stream in (io.StringIO(), Terminal()):
        logs.configure(stream=stream)
        log = logging.getLogger("divisionbell.x")
        try:
            int("postgresql://divisionbell:hunter2@db:5432/feed")
        except ValueError:
            log.exception(
                "failed", extra={"header": "Authorization: Bearer hunter2.abc", "url": "redis://:hunter2@r/0"}
            )
        log.warning("token eyJhbGciOiJIUzI1NiJ9.eyJodW50ZXIyIjoxfQ.hunter2 refused")

        assert "hunter2" not in stream.getvalue()
        assert "divisionbell:***@db:5432" in stream.getvalue()


def test_what_a_client_wrote_cannot_look_like_a_line() -> None:
    """On a terminal, line ends and escape sequences in fields are shown, not obeyed."""
    stream = Terminal()
    logs.configure(stream=stream)

    logging.getLogger("divisionbell.x").warning("refused", extra={"device": "a\n12:00:00 error   fake\x1b[2J"})

    assert stream.getvalue().endswith("warning refused device=a\\n12:00:00 error   fake\\x1b[2J\n")


def test_message_that_repeats_is_said_twenty_times_in_ten_seconds() -> None:
    """And how many were left out, by the first one after them; other messages are not held up."""
    now = [0.0]
    repeats = logs.Repeats(clock=lambda: now[0])

    def record(message: str) -> logging.LogRecord:
        return logging.makeLogRecord({"name": "divisionbell.x", "levelno": logging.WARNING, "msg": message})

    passed = [repeats.filter(record("away")) for _ in range(50)]
    assert passed == [True] * logs.BURST + [False] * (50 - logs.BURST)
    assert repeats.filter(record("something else"))
    now[0] = logs.WINDOW
    first, second = record("away"), record("away")
    assert repeats.filter(first)
    assert repeats.filter(second)
    assert first.__dict__["left_out"] == 50 - logs.BURST
    assert "left_out" not in second.__dict__


def test_many_different_messages_take_a_bounded_memory() -> None:
    """Of more than can be remembered, the oldest are forgotten."""
    repeats = logs.Repeats()
    for number in range(logs.MOST_MESSAGES + 10):
        repeats.filter(logging.makeLogRecord({"msg": str(number)}))

    assert len(repeats._said) == logs.MOST_MESSAGES
