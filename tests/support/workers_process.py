"""Workers without an application, to test their parent: `python -m tests.support.workers_process HOW DIRECTORY`."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

from starlette.applications import Starlette

from schema.serving import run_server
from schema.worker import Place
from schema.workers import run_workers
from telemetry import logs

DRAIN_WITHIN = timedelta(seconds=2)


def serve(place: Place, ready: Callable[[], None], *, behaviour: str, directory: Path) -> int:
    """Worker 1 behaves as it is told, worker 0 well."""
    if place.number == 1:
        if behaviour == "keeps dying":
            ready()
            time.sleep(0.5)  # the parent asks 20 times a second until all are ready
            return 7
        if (directory / "cannot start").exists():
            return 3
    stopping = asyncio.Event()
    return run_server(
        Starlette(),
        host=place.host,
        port=place.port,
        drain=_nothing,
        drain_within=DRAIN_WITHIN,
        stopping=stopping,
        started=lambda _: ready(),
        listener=place.listener(),
    )


async def _nothing() -> None:
    return None


def _say(url: str) -> None:
    sys.stderr.write(f"serving on {url}\n")


def _main(behaviour: str, directory: Path) -> int:
    logs.configure()
    with contextlib.suppress(KeyboardInterrupt):
        return run_workers(
            partial(serve, behaviour=behaviour, directory=directory),
            count=2,
            host="127.0.0.1",
            port=0,
            drain_within=DRAIN_WITHIN,
            hung_after=timedelta(seconds=2),
            started=_say,
        )
    return 1


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1], Path(sys.argv[2])))
