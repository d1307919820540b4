"""What PostgreSQL stores of what clients and sources send; anything else would be a fault of ours, not theirs."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

LARGEST_METADATA = 65_536
"""Bytes, as PostgreSQL writes JSON: the limit of its column."""
EARLIEST, LATEST = datetime(1000, 1, 2, tzinfo=UTC), datetime(9998, 12, 31, tzinfo=UTC)
_ESCAPED_NULL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def storable_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The same. Raises ValueError, saying what is wrong with it."""
    given = dict(metadata)
    try:
        compact = orjson.dumps(given).decode()
        # The separators of the standard library are those of jsonb, so the size is the one that the column checks.
        size = len(json.dumps(given, ensure_ascii=False, allow_nan=False).encode())
    except TypeError as error:  # orjson's limits: 254 levels, 64 bits
        raise ValueError("nested too deeply, or with a number beyond 64 bits") from error
    except ValueError as error:
        raise ValueError("with a number that is not finite, or text that is not Unicode") from error
    if size > LARGEST_METADATA:
        raise ValueError(f"larger than {LARGEST_METADATA} bytes")
    if _ESCAPED_NULL.search(compact):
        raise ValueError("holds the character U+0000, which PostgreSQL does not store")
    return given


def storable_instant(instant: datetime) -> datetime:
    """The same, aware. Raises ValueError beyond the years that PostgreSQL and every time zone can show."""
    if not EARLIEST <= instant <= LATEST:
        raise ValueError("not between the years 1000 and 9999")
    return instant
