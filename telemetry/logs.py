"""Logging: readable lines on a terminal, one JSON object a line elsewhere; without secrets, and never in floods."""

import logging
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

from telemetry.tracing import current

BURST = 20
WINDOW = 10.0
"""Seconds in which a message is said BURST times at most; the next one after it says how many were left out."""
MOST_MESSAGES = 1_000

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message", "taskName"}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_SECRETS = [
    (re.compile(r"(?<=://)([^\s:/@\"']*):[^\s@/\"']+(?=@)"), r"\1:***"),
    (re.compile(r"(?i)\b(bearer|basic) [\w.~+/=-]+"), r"\1 ***"),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "***"),
]
"""Passwords in URLs, credentials in headers, tokens wherever they stand: libraries put them into their errors."""


def without_secrets(line: str) -> str:
    """The line with what nobody who reads logs should have taken out."""
    for pattern, shown in _SECRETS:
        line = pattern.sub(shown, line)
    return line


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


class JsonLines(logging.Formatter):
    """One JSON object a record: time, level, logger, message, whatever `extra` gave, the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return without_secrets(orjson.dumps(fields, default=str, option=orjson.OPT_UTC_Z).decode())


class ReadableLines(logging.Formatter):
    """Time of day, level, message, extra as key=value. What somebody else wrote cannot look like a line of its own."""

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        line = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], f"{record.getMessage()}{extra}")
        line = f"{clock} {record.levelname.lower():7} {line}"
        return without_secrets(f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line)


class _Mark(logging.Filter):
    """Notes what a record has to do with: the worker, and the trace."""

    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        if self._worker is not None:
            record.worker = self._worker
        if (span := current()) is not None and span.sampled:
            _, record.trace_id, record.span_id, _ = span.traceparent.split("-")
        return True


@dataclass(slots=True)
class _Said:
    since: float
    count: int = 0


@dataclass(eq=False)
class Repeats(logging.Filter):
    """Lets a message through BURST times in WINDOW seconds, whatever it is about.

    A record that comes after some were left out has their number as `left_out`.
    """

    clock: Callable[[], float] = time.monotonic
    _said: OrderedDict[tuple[object, ...], _Said] = field(default_factory=OrderedDict)

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        key, now = (record.name, record.levelno, record.msg, kind), self.clock()
        said = self._said.get(key)
        if said is None or now - said.since >= WINDOW:
            if said is not None and said.count > BURST:
                record.left_out = said.count - BURST
            said = self._said[key] = _Said(now)
            self._said.move_to_end(key)
            if len(self._said) > MOST_MESSAGES:
                self._said.popitem(last=False)
        said.count += 1
        return said.count <= BURST


def configure(*, level: str = "INFO", stream: TextIO | None = None, worker: int | None = None) -> None:
    """Send all records to `stream` (standard error) in the form that suits it. Access logs are metrics, not lines.

    `worker`: the number of this process among several, shown in each line.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ReadableLines() if stream.isatty() else JsonLines())
    handler.addFilter(Repeats())
    handler.addFilter(_Mark(worker))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("divisionbell").setLevel(level)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
