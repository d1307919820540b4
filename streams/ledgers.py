"""A ledger for each shard: each has its own budget of its own Redis, and none waits for another's."""

from collections.abc import Sequence
from typing import Protocol

from streams.each import in_each
from streams.keys import shard_of
from streams.ledger import Ledger
from streams.receipts import Receipt
from streams.subscribers import Subscriber


class Receiving(Protocol):
    """Where receipts go: one ledger, or one of several."""

    def __len__(self) -> int:
        """How many subscribers' receipts wait."""
        ...

    def record(self, receipt: Receipt) -> None:
        """Note a receipt."""
        ...

    async def settle(self, subscriber: Subscriber) -> None:
        """Write what waits for one subscriber. Raises StreamsUnavailable."""
        ...

    async def flush(self) -> None:
        """Write all that waits now. Raises StreamsUnavailable; what was not written waits on."""
        ...


class Ledgers:
    """Gives each receipt to the ledger of its subscriber's shard. Whoever owns the ledgers runs them."""

    def __init__(self, ledgers: Sequence[Ledger]) -> None:
        """One for each shard, in their order."""
        self._ledgers = ledgers

    def __len__(self) -> int:
        return sum(map(len, self._ledgers))

    def _of(self, subscriber: Subscriber) -> Ledger:
        return self._ledgers[shard_of(subscriber.name, len(self._ledgers))]

    def record(self, receipt: Receipt) -> None:
        """Note a receipt; it is written within two seconds, later if its shard is away."""
        self._of(receipt.subscriber).record(receipt)

    async def settle(self, subscriber: Subscriber) -> None:
        """Write what waits for one subscriber. Raises StreamsUnavailable."""
        await self._of(subscriber).settle(subscriber)

    async def flush(self) -> None:
        """Write all that waits now, everywhere. Raises StreamsUnavailable; what was not written waits on."""
        await in_each(ledger.flush() for ledger in self._ledgers)
