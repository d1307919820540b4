"""`python -m tests.chaos.serve serve`: the server of a round. The product at a round's pace, and what breaks in it.

A round has seconds where the product has minutes: a stream that lived for a second says something about the entry first
in its line, and letters that were redriven are told again every five seconds.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import streams.in_flight
import streams.janitor
from cli import commands
from schema.rendering import Rendering
from tests.chaos.bugs import BUGS

BROKEN = "CHAOS_BROKEN"
"""Variable with a path: while there is such a file, an activity whose title begins with UNRENDERABLE has no frame."""
BUG = "CHAOS_BUG"
"""Variable with the name of a planted bug."""
UNRENDERABLE = "unrenderable"


def quicken() -> None:
    """Seconds instead of minutes."""
    streams.in_flight.LIVED = timedelta(seconds=1)
    streams.janitor.SELDOM = timedelta(seconds=5)


def break_rendering(while_there: Path) -> None:
    """A bad deploy, mended when the file is gone."""
    frame = Rendering.frame

    def broken(self: Rendering, event: Any, cursor: str | None) -> tuple[bytes, BaseException | None]:
        title = getattr(getattr(event, "activity", None), "title", "")
        if title.startswith(UNRENDERABLE) and while_there.exists():
            return b"", ValueError("a bad deploy")
        return frame(self, event, cursor)

    Rendering.frame = broken  # type: ignore[method-assign]


if __name__ == "__main__":
    quicken()
    break_rendering(Path(os.environ[BROKEN]))
    if bug := os.environ.get(BUG):
        BUGS[bug]()
    commands(prog_name="python -m tests.chaos.serve")
