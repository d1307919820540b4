"""A process whose wall clock can be stepped, by Debian's libfaketime; its monotonic clock goes on as it should."""

from collections.abc import Mapping
from pathlib import Path

LIBRARIES = ("usr/lib/*/faketime/libfaketime.so.1", "usr/lib*/faketime/libfaketime.so.1")


def find_library() -> Path | None:
    """Where libfaketime is, if it is installed (`apt-get install libfaketime`)."""
    return next((path for pattern in LIBRARIES for path in sorted(Path("/").glob(pattern))), None)


class Clock:
    """The clock of one process after another: `environment` is what they have to be started with."""

    def __init__(self, file: Path) -> None:
        """`file` says how far the clock is off."""
        self._file = file
        self._library = find_library()
        self.step(0.0)

    @property
    def can_step(self) -> bool:
        """Whether there is a library to step it with."""
        return self._library is not None

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables of the process."""
        if self._library is None:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # seconds after which the file is read again
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",  # a process that is killed would leave its semaphore behind
            "NO_FAKE_STAT": "1",
        }

    def step(self, seconds: float) -> None:
        """Set it off by so many seconds; the process follows within one."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}")
        new.replace(self._file)
