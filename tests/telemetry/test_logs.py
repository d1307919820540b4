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
