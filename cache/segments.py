"""Read marks as bits: where the bit of a log number is, and how a stretch of bits is read."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SIZE = 65_536
"""Log numbers in a segment: at most 8 KB. One bitmap for all would take up to 512 MB and block Redis while it grows."""
FIRST_BIT = 8
"""Bit 0 says "warmed". In front, because a marker behind the data would make every sparse segment a full one."""
WARMED = 0x80


def segment_of(n: int) -> int:
    """The segment that log number `n` is in."""
    return n // SIZE


def state_key(user: str) -> str:
    """Hash: `version`, `through` and `above` of the marks that the segments hold; see lua/common.lua."""
    return f"user:reads:{{{user}}}:state"


def segment_key(user: str, segment: int) -> str:
    """Bitmap: the marks in one segment. The braces keep a user's keys in one slot of a cluster."""
    return f"user:reads:{{{user}}}:{segment}"


def keys_of(user: str, *, first: int, last: int) -> list[str]:
    """The state's key and those of the segments from `first` to `last`."""
    return [state_key(user), *(segment_key(user, segment) for segment in range(first, last + 1))]


def pack(numbers: Iterable[int], *, first: int, last: int) -> list[bytes]:
    """The warmed segments `first` to `last` with the bits of `numbers`, each no longer than its last bit needs."""
    segments = [bytearray([WARMED]) for _ in range(first, last + 1)]
    for n in numbers:
        bits = segments[n // SIZE - first]
        byte, bit = divmod(FIRST_BIT + n % SIZE, 8)
        if byte >= len(bits):
            bits.extend(bytes(byte + 1 - len(bits)))
        bits[byte] |= 0x80 >> bit
    return [bytes(bits) for bits in segments]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The bytes of one segment from the one that has the bit of `low`; what they do not reach is not read."""

    low: int
    bits: bytes

    def has(self, n: int) -> bool:
        """Whether `n`, of this segment and not below `low`, is marked."""
        byte, bit = divmod(FIRST_BIT + n % SIZE, 8)
        byte -= (FIRST_BIT + self.low % SIZE) // 8
        return byte < len(self.bits) and bool(self.bits[byte] & (0x80 >> bit))


def stretches(low: int, parts: Sequence[bytes]) -> dict[int, Stretch]:
    """The parts of consecutive segments, by segment; the first part begins at `low`, the others with their segment."""
    first = segment_of(low)
    return {first + k: Stretch(low if k == 0 else (first + k) * SIZE, part) for k, part in enumerate(parts)}
