"""The names of everything that is ours in Redis."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass


def shard_of(name: str, shards: int) -> int:
    """Which of so many shards a subscriber, or a user, belongs to: the same in every process and every version."""
    return zlib.crc32(name.encode()) % shards if shards > 1 else 0


def keys_of(shards: int) -> "Sequence[Keys]":
    """The keys of each shard."""
    return tuple(Keys(shard) for shard in range(shards))


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one shard. The braces keep all of them in one slot of a Redis Cluster: scripts touch several."""

    shard: int = 0

    def _key(self, of: str) -> str:
        return f"{{activities:{self.shard}}}:{of}"

    @property
    def stream(self) -> str:
        """Stream: the log's entries."""
        return self._key("stream")

    @property
    def positions(self) -> str:
        """Hash: subscriber -> `<position> <epoch> <process, or - when no stream is open>`."""
        return self._key("positions")

    @property
    def groups(self) -> str:
        """Sorted set: subscribers that have a consumer group, by when it was last used (ms)."""
        return self._key("groups")

    @property
    def pending(self) -> str:
        """Hash: subscriber -> number of entries in its PEL. Subscribers without any are not in it."""
        return self._key("pending")

    @property
    def pending_since(self) -> str:
        """Sorted set: the same subscribers, by when their oldest entry became pending (ms)."""
        return self._key("pending_since")

    @property
    def pending_total(self) -> str:
        """Number: all pending entries."""
        return self._key("pending_total")

    @property
    def suspects(self) -> str:
        """Hash: subscriber -> `<cursor> <failed attempts> <first ms> <last ms>` of the entry first in its line."""
        return self._key("suspects")

    @property
    def mail(self) -> str:
        """Hash: subscriber -> what its stream has to be told once: `dead:<cursor>` and `heal:<letter>:<cursor>`."""
        return self._key("mail")

    @property
    def dead_letters(self) -> str:
        """Stream: a copy of the newest dead letters; PostgreSQL has all of them."""
        return self._key("dlq")

    @property
    def processes(self) -> str:
        """Sorted set: server processes, by their last sign of life (ms)."""
        return self._key("processes")

    @property
    def signals(self) -> str:
        """Stream: what one process tells the others."""
        return self._key("signals")

    @property
    def lethal(self) -> str:
        """Hash: cursor -> how many processes died while they rendered it."""
        return self._key("lethal")

    @property
    def connections(self) -> str:
        """Hash: user -> open streams in all processes; the field `*` has the sum."""
        return self._key("connections")

    def connections_of(self, process: str) -> str:
        """Hash: the same of one process, so that a dead one's share can be taken back."""
        return self._key(f"connections:{process}")

    def connects(self, user: str) -> str:
        """Number: streams the user has opened in the current window of time."""
        return self._key(f"connects:{user}")

    def rate(self, limit: str, key: str, window: int) -> str:
        """Number: what `key` did of what `limit` limits, in a minute numbered since 1970."""
        return self._key(f"rate:{limit}:{key}:{window}")


def index_of(keys: Keys) -> list[str]:
    """What `reindex` in lua/common.lua takes, in its order."""
    return [keys.stream, keys.groups, keys.pending, keys.pending_since, keys.pending_total]
