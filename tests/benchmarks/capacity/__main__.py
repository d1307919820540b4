"""`make capacity`: writes docs/capacity.md; with numbers of one's own it prints what they need."""

import argparse

from tests.benchmarks.capacity.document import DOCUMENT, document, table
from tests.benchmarks.capacity.model import Costs, Demand
from tests.benchmarks.capacity.recorded import Recorded


def main() -> None:
    """Print; without arguments write as well."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.capacity", description=__doc__)
    parser.add_argument("--subscribers", type=int)
    parser.add_argument("--share", type=float, default=0.1, help="of them who want an activity, 0.1 if left out")
    parser.add_argument("--activities", type=float, default=1.0, help="a second")
    parser.add_argument("--pages", type=float, default=1.0, help="of the feed, an hour each")
    parser.add_argument("--marks", type=float, default=5.0, help="an hour each")
    given = parser.parse_args()
    recorded = Recorded()
    if given.subscribers is None:
        page = document(recorded)
        DOCUMENT.write_text(page, encoding="utf-8")
        print(page)  # noqa: T201 - what was asked for
        return
    demand = Demand(given.subscribers, given.share, given.activities, given.pages, given.marks)
    print("\n".join(table([demand], Costs.of(recorded))))  # noqa: T201 - what was asked for


if __name__ == "__main__":
    main()
