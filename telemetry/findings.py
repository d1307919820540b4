"""What the doctor finds: each finding says how things are, and what to do where they are not well."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

MOST_SKEW = 1.0
"""Seconds between two clocks from which latencies say nothing any more."""
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


class Grade(StrEnum):
    """How bad it is."""

    WELL = "well"
    CARE = "care"
    """It runs, and somebody should know."""
    WRONG = "wrong"
    """It does not run, or loses what it must not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` what, how it was `found`, and what to do about it: a `remedy` unless all is well."""

    about: str
    grade: Grade
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        """As a person reads it."""
        return f"{self.about}: {self.found}" + (f"\n      → {self.remedy}" if self.remedy else "")


def well(about: str, found: str) -> Finding:
    """As it should be."""
    return Finding(about, Grade.WELL, found)


def care(about: str, found: str, remedy: str) -> Finding:
    """Not as it should be."""
    return Finding(about, Grade.CARE, found, remedy)


def wrong(about: str, found: str, remedy: str) -> Finding:
    """In the way."""
    return Finding(about, Grade.WRONG, found, remedy)


def judge(*, bad: bool, about: str, found: str, remedy: str, grade: Grade = Grade.CARE) -> Finding:
    """`found` either way; `grade` and `remedy` if it is bad."""
    return Finding(about, grade, found, remedy) if bad else well(about, found)


def skew(about: str, theirs: float, ours: float) -> Finding:
    """Two clocks, in seconds since 1970."""
    return judge(
        bad=abs(theirs - ours) > MOST_SKEW,
        about=about,
        found=f"its clock is {abs(theirs - ours):.1f} s {'ahead of' if theirs > ours else 'behind'} ours",
        remedy="set both machines' clocks by NTP: delivery latency is the difference of the two",
    )


def versions(lock: Path) -> Iterator[Finding]:
    """Python, and whether the packages installed are the ones that were tested together."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield well("Python", python)
    if not lock.exists():
        yield care("packages", f"{lock.name} is not here", "run from a checkout or the image")
        return
    installed = {one.name.lower().replace("_", "-"): one.version for one in metadata.distributions() if one.name}
    pinned = _PINNED.findall(lock.read_text(encoding="utf-8"))
    others = [
        f"{name} {installed[name]} in place of {version}"
        for name, version in pinned
        if name in installed and installed[name] != version
    ]
    shown = "; ".join(others[:5]) + ("; …" if len(others) > 5 else "")
    yield judge(
        bad=bool(others),
        about="packages",
        found=shown or f"those of {lock.name}",
        remedy=f"pip install --require-hashes -r {lock.name}",
    )


def rules(folder: Path) -> Iterator[Finding]:
    """The alerting and recording rules that come with the server, by promtool where it is installed."""
    files = sorted(folder.glob("*.yml"))
    files = [file for file in files if re.search(r"^groups:", file.read_text(encoding="utf-8"), re.MULTILINE)]
    if not files:
        yield care("rules", f"no rules in {folder.name}", "run from a checkout or the image")
        return
    names = ", ".join(file.name for file in files)
    promtool = shutil.which("promtool")
    if promtool is None:
        yield well("rules", f"{names}, not checked: promtool is not installed")
        return
    checked = subprocess.run(  # noqa: S603 - promtool of the PATH, with files of ours
        [promtool, "check", "rules", *map(str, files)], capture_output=True, text=True, timeout=30, check=False
    )
    said = (checked.stderr or checked.stdout).strip()[-500:]
    yield judge(
        bad=checked.returncode != 0,
        about="rules",
        found=said if checked.returncode else f"{names} pass promtool",
        remedy="correct the rules, or take those of this version",
        grade=Grade.WRONG,
    )
