"""Programs in C, compiled when they have changed; cores and files for what is started."""

import hashlib
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCES = Path(__file__).parent / "load"
BUILT = Path(__file__).parent / ".built"
ALL_CORES = frozenset(os.sched_getaffinity(0))


class CompilerMissing(Exception):
    """There is no C compiler; the message says what to install."""


def build(name: str) -> Path:
    """The program made of load/`name`.c, compiled once for each version of it. Raises CompilerMissing."""
    source = SOURCES / f"{name}.c"
    program = BUILT / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if program.exists():
        return program
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CC", "cc"), "gcc", "clang"))), None)
    if compiler is None:
        raise CompilerMissing(
            "the load client is written in C: install a compiler (Debian and Ubuntu: apt install gcc)"
        )
    BUILT.mkdir(exist_ok=True)
    made = program.with_suffix(f".{os.getpid()}")
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", str(made), str(source)], check=True)
    made.rename(program)
    return program


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started inside runs on this core alone; None: on all that we have."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ALL_CORES if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def allow_many_files() -> None:
    """As many open files as this process, and those it starts, may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
