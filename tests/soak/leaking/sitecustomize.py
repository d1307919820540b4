"""Python runs this at its start where the folder is on PYTHONPATH: a worker then takes memory and files, for good."""

import os
import sys
import threading
import time

A_PIECE = 512 * 1024
EVERY = 0.5


def _leak() -> None:
    kept: list[tuple[bytes, int]] = []
    while True:
        kept.append((os.urandom(A_PIECE), os.open(os.devnull, os.O_RDONLY)))
        time.sleep(EVERY)


if any("spawn_main" in word for word in sys.orig_argv):
    threading.Thread(target=_leak, name="leak", daemon=True).start()
