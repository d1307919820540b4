"""What chaos has found and nobody has mended yet (docs/chaos.md): CI does not fail on it, `make chaos` does."""

from collections.abc import Sequence

from tests.chaos.checker import Violation
from tests.chaos.schedule import Fault, Schedule

AFTER_A_STALE_REPLICA = "I4 the PEL stays small"
"""Entries whose confirmation the replica did not have are pending again, while their device's stream goes on."""


def unknown(found: Sequence[Violation], schedule: Schedule) -> list[Violation]:
    """The violations that are news."""
    failed_over = any(step.fault is Fault.FAILOVER for step in schedule.steps)
    return [one for one in found if not (failed_over and one.promise == AFTER_A_STALE_REPLICA)]
