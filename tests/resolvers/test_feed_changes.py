"""What the log says about the path that answers the feed."""

import logging

import pytest

from resolvers.feed import QUIET_FOR, Changes, FeedSource, Reason


def test_change_of_path_is_said_once_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """There, and back; while it lasts, and for what a deep page asks, nothing."""
    caplog.set_level(logging.INFO, logger="divisionbell.resolvers")
    now = [0.0]
    changes = Changes(lambda: now[0])

    for source, reason, after in [
        (FeedSource.BITMAP, None, 0),
        (FeedSource.LEFT_JOIN, Reason.TOO_OLD, 0),
        (FeedSource.VIEW, Reason.REDIS, 0),
        (FeedSource.VIEW, Reason.REDIS, QUIET_FOR),
        (FeedSource.BITMAP, None, 0),
    ]:
        now[0] += after
        changes.note(source, reason)

    said = [tuple(getattr(record, name) for name in ("before", "served_by", "reason")) for record in caplog.records]
    assert said == [("BITMAP", "VIEW", "redis"), ("VIEW", "BITMAP", None)]


def test_path_that_flutters_is_said_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """At most one line in ten seconds, and the last state is told after them."""
    caplog.set_level(logging.INFO, logger="divisionbell.resolvers")
    now = [0.0]
    changes = Changes(lambda: now[0])
    for k in range(100):
        now[0] = k * QUIET_FOR / 50
        changes.note(*((FeedSource.VIEW, Reason.REDIS) if k % 2 else (FeedSource.BITMAP, None)))
    assert len(caplog.records) <= 2

    now[0] += QUIET_FOR
    changes.note(FeedSource.BITMAP, None)

    assert caplog.records[-1].served_by == "BITMAP"  # type: ignore[attr-defined]  # of `extra`
