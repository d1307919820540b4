"""Publishing one activity: checked, inserted, and from there the road every INSERT takes."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from resolvers.activities import Activity, ActivityType, BillId, MpId
from resolvers.database.feed import StoredActivities
from resolvers.errors import InvalidInput
from resolvers.storable import EARLIEST, storable_instant, storable_metadata

LONGEST_TITLE = 500
LONGEST_SUMMARY = 5_000
LONGEST_URL = 2_000


async def publish_activity(
    stored: StoredActivities,
    *,
    type_: ActivityType,
    title: str,
    summary: str | None,
    url: str | None,
    mp: MpId | None,
    bill: BillId | None,
    occurred_at: datetime | None,
    metadata: Mapping[str, Any],
    traceparent: str | None,
) -> Activity:
    """Insert an activity. Raises InvalidInput with the first thing that is wrong, and Unavailable."""
    title = title.strip()
    _check(0 < len(title) <= LONGEST_TITLE, f"'title' must have 1 to {LONGEST_TITLE} characters.")
    _check(len(summary or "") <= LONGEST_SUMMARY, f"'summary' must have at most {LONGEST_SUMMARY} characters.")
    _check("\0" not in f"{title}{summary}{url}", "Text cannot contain the character U+0000.")
    if url is not None:
        _check(
            len(url) <= LONGEST_URL and _is_address(url),
            f"'url' must be an http or https address of at most {LONGEST_URL} characters.",
        )
    _check(occurred_at is None or occurred_at.tzinfo is not None, "'occurredAt' needs a time zone, as in …T10:00:00Z.")
    _check_storable(occurred_at, metadata)
    values: dict[str, object] = {
        "type": type_.value,
        "title": title,
        "summary": summary,
        "url": url,
        "mp_id": mp,
        "bill_id": bill,
        "metadata": dict(metadata),
        "traceparent": traceparent,
    }
    if occurred_at is not None:
        values["occurred_at"] = occurred_at
    return await stored.insert(values)


def _check(holds: bool, sentence: str) -> None:
    if not holds:
        raise InvalidInput(sentence)


def _is_address(url: str) -> bool:
    """Whether it can be a link; urlsplit takes line feeds out of an address, and a browser would too."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc) and url.isprintable() and " " not in url


def _check_storable(occurred_at: datetime | None, metadata: Mapping[str, Any]) -> None:
    try:
        storable_metadata(metadata)
    except ValueError as error:
        raise InvalidInput(f"'metadata' cannot be stored: {error}.") from error
    try:
        storable_instant(occurred_at or EARLIEST)
    except ValueError as error:
        raise InvalidInput(f"'occurredAt' cannot be stored: {error}.") from error
