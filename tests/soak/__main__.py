"""`python -m tests.soak`: SECONDS (3600) of everything at once; exit status 1 if something grows.

WRITE_DOCS=1 renews docs/soak.md.
"""

import asyncio
import os
import signal
import sys

from rich.console import Console

from tests.soak import report
from tests.soak.running import soak

SHORTEST = 30.0
console = Console(highlight=False, soft_wrap=True, width=160)


def main() -> int:
    """The exit status: 1 if something grows or was missed, 130 after Ctrl-C."""
    seconds = float(os.environ.get("SECONDS") or 3_600)
    if seconds < SHORTEST:
        console.print(f"SECONDS is at least {SHORTEST:.0f}: the first 20 warm up")
        return 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        soaked = asyncio.run(soak(seconds, say=_say))
    except KeyboardInterrupt:
        console.print("stopped; every server that was started has ended")
        return 130
    console.print(report.for_terminal(soaked))
    console.print(", ".join(f"{name} {soaked.counts[name]:,}" for name in report.COUNTED))
    for what in sorted(set(soaked.counts) - set(report.COUNTED)):
        console.print(f"- {what}: {soaked.counts[what]:,} times")
    console.print(f"the workers used {soaked.cores:.0%} of a core")
    for problem in soaked.problems:
        console.print(f"- {problem}")
    console.print("nothing grows, and nothing was missed" if not soaked.problems else "NOT FLAT")
    if os.environ.get("WRITE_DOCS"):
        report.DOCUMENT.write_text(report.document(soaked))
        console.print(f"written to {report.DOCUMENT}")
    return int(bool(soaked.problems))


def _say(what: str) -> None:
    """A line at once, also into a file."""
    console.print(what)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
