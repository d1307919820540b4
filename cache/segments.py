"""Read marks as bits: where the bit of a log number is, and how a stretch of bits is read."""

from collections.abc import Iterable, Iterator, Sequence

SIZE = 65_536
"""Log numbers in a segment: at most 8 KB. One bitmap for all would take up to 512 MB and block Redis while it grows."""
FIRST_BIT = 8
"""Bit 0 says "warmed". In front, because a marker behind the data would make every sparse segment a full one."""
WARMED = 0x80
NEAR = 256
_NEAR = (1 << NEAR) - 1


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


def join(parts: Sequence[bytes], *, low: int, high: int) -> int:
    """The bits of the log numbers `low` to `high` as one integer, in which bit k is that of `high - k`.

    Each part has the bytes of one segment, from the one with the first bit that is wanted; what it is too short for is
    not marked, and what follows the last bit that is wanted does not count.
    """
    joined = 0
    for segment, part in enumerate(parts, start=segment_of(low)):
        first, last = max(low, segment * SIZE), min(high, (segment + 1) * SIZE - 1)
        end = FIRST_BIT + last % SIZE
        length = end // 8 - (FIRST_BIT + first % SIZE) // 8 + 1
        bits = int.from_bytes(part[:length].ljust(length, b"\0"), "big") >> (7 - end % 8)
        joined = joined << (last - first + 1) | bits & ones(last - first + 1)
    return joined


def ones(count: int) -> int:
    """The integer whose lowest `count` bits are set."""
    return (1 << max(count, 0)) - 1


def count_after(part: bytes, *, low: int, head: int) -> int:
    """How many bits are set behind that of `head`, in bytes of its segment that begin with that of `low`."""
    end = FIRST_BIT + head % SIZE
    begin = FIRST_BIT + (low % SIZE if segment_of(low) == segment_of(head) else 0)
    tail = part[end // 8 - begin // 8 :]
    return (int.from_bytes(tail, "big") & ones(8 * len(tail) - end % 8 - 1)).bit_count()


def newest(bits: int, *, high: int) -> Iterator[int]:
    """The log numbers whose bits are set in an integer such as `join` makes, the newest first.

    A step looks at 256 bits: 0.07 us, where one of 10,000 takes 0.2, and who reads a page takes twenty steps.
    """
    while bits:
        near, bits = bits & _NEAR, bits >> NEAR
        while near:
            lowest = near & -near
            yield high - lowest.bit_length() + 1
            near ^= lowest
        high -= NEAR
