"""Directories for servers."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reachable_directory() -> Iterator[Path]:
    """A new directory that the user nobody can reach, as pytest's own are not; removed afterwards."""
    made = Path(tempfile.mkdtemp(prefix="divisionbell-test-", dir="/tmp"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
