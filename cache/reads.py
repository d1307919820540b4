"""Who has read what, in Redis: one round trip to ask or to mark. PostgreSQL has the truth, and this its versions."""

import asyncio
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cache.scripts import Load
from cache.segments import count_after, join, keys_of, newest, ones, pack, segment_key, segment_of, state_key

KEPT_FOR = timedelta(days=30)
JITTER = 0.1
"""Part of KEPT_FOR by which users' expiries differ: a whole import of users must not go cold in one second."""


@dataclass(frozen=True, slots=True)
class Marks:
    """A user's marks at `version`: all up to log number `through` are read, and `above` of the later ones."""

    version: int
    through: int
    above: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`marks`, and the `numbers` of all marks in the segments from that of `low` to that of `top`, the log's head."""

    marks: Marks
    numbers: Sequence[int]
    low: int
    top: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Which log numbers from `low` to `high` are not read, and how much up to the head that was asked for.

    Bit k of `left` is set if `high - k` is not read. All up to `through` is read, whatever the stretch.
    """

    version: int
    through: int
    unread: int
    low: int
    high: int
    left: int

    def is_read(self, n: int) -> bool:
        """Whether log number `n` of the stretch is read."""
        return not self.left >> (self.high - n) & 1

    def newest_unread(self) -> Iterator[int]:
        """What is not read, newest first."""
        return newest(self.left, high=self.high)


class ReadBits:
    """The bitmaps of all users. Every method raises the Redis client's own error when it does not answer."""

    def __init__(self, *, load: Load, kept_for: timedelta = KEPT_FOR, scattered: bool = False) -> None:
        """`scattered`: users are in different slots of a cluster, so that no script can take two of them."""
        self._scattered = scattered
        self._kept_for = kept_for.total_seconds()
        self._look = load("look")
        self._mark = load("mark")
        self._warm = load("warm")
        self._compare = load("compare")
        self._identity = load("identity")

    async def look(self, user: str, *, low: int, high: int, head: int) -> Seen | None:
        """The marks between the log numbers `low` and `high`; None when PostgreSQL has to be asked.

        `head` is the last log number that counts: what a user marked beyond it, through another process, does not.
        """
        first = segment_of(low)
        keys = keys_of(user, first=first, last=segment_of(head) + 1)
        reply = await self._look(keys=keys, args=[first, low, high, head, self._seconds(user)])
        if not reply:
            return None
        version, through, above, beyond = (int(number) for number in reply[:4])
        if high == head and reply[4]:
            beyond += count_after(reply[4][-1], low=low, head=head)
        unread = head - through - (above - beyond) if through < head else 0
        marked = join(reply[4], low=low, high=high) if high > through else 0
        left = ones(high - max(low - 1, through)) & ~marked
        return Seen(version, through, unread, low, high, left)

    async def mark(self, user: str, numbers: Sequence[int], marks: Marks) -> bool:
        """Follow marks that PostgreSQL has committed, after which it had `marks`. False if that needs a warm first."""
        segments = sorted({segment_of(n) for n in numbers})
        index = {segment: k for k, segment in enumerate(segments, start=2)}
        pairs = [value for n in numbers for value in (index[segment_of(n)], n)]
        keys = [state_key(user), *(segment_key(user, segment) for segment in segments)]
        args = [marks.version, marks.through, marks.above, self._seconds(user), *pairs]
        return bool(await self._mark(keys=keys, args=args))

    async def warm(self, user: str, snapshot: Snapshot) -> bool:
        """Start from what PostgreSQL had. False if newer marks have been made meanwhile: read again."""
        first, last = segment_of(snapshot.low), segment_of(snapshot.top)
        marks = snapshot.marks
        args: list[str | bytes | int] = [first, marks.version, marks.through, marks.above, snapshot.top]
        args += [self._seconds(user), *pack(snapshot.numbers, first=first, last=last)]
        return bool(await self._warm(keys=keys_of(user, first=first, last=last), args=args))

    async def compare(self, versions: Mapping[str, int]) -> int:
        """Stop trusting what is older than the version PostgreSQL has; return for how many users that was so."""
        if not versions:
            return 0
        if self._scattered:
            each = (self._compare(keys=[state_key(user)], args=[version]) for user, version in versions.items())
            return sum(map(int, await asyncio.gather(*each)))
        keys = [state_key(user) for user in versions]
        return int(await self._compare(keys=keys, args=list(versions.values())))

    async def identity(self) -> str:
        """Whose memory this is: another one after a restart or a failover, which may have lost the last writes.

        Of a cluster, that of all primaries.
        """
        return bytes(await self._identity(keys=[], args=[])).decode()

    def _seconds(self, user: str) -> int:
        return int(self._kept_for * (1 - JITTER * (zlib.crc32(user.encode()) % 1_000) / 1_000))
