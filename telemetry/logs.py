"""Logging: readable lines on a terminal, one JSON object a line elsewhere."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message", "taskName"}


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
        return orjson.dumps(fields, default=str, option=orjson.OPT_UTC_Z).decode()


class ReadableLines(logging.Formatter):
    """Time of day, level, message, extra as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        extra = "".join(f" {key}={value}" for key, value in _extra(record).items())
        line = f"{clock} {record.levelname.lower():7} {record.getMessage()}{extra}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Mark(logging.Filter):
    def __init__(self, worker: int) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        record.worker = self._worker
        return True


def configure(*, level: str = "INFO", stream: TextIO | None = None, worker: int | None = None) -> None:
    """Send all records to `stream` (standard error) in the form that suits it. Access logs are metrics, not lines.

    `worker`: the number of this process among several, shown in each line.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(ReadableLines() if stream.isatty() else JsonLines())
    if worker is not None:
        handler.addFilter(_Mark(worker))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("divisionbell").setLevel(level)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
