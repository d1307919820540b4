"""What all consumers of a process work with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from streams.dead_letters import DeadLetters
from streams.history import History
from streams.ledgers import Receiving
from streams.processes import Processes
from streams.subscribers import Subscribers
from streams.tail import Tail
from telemetry.flow import UNKNOWN, Flow

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shared(Generic[T]):
    """One for the process.

    `most_attempts` is MAX_DELIVERY_ATTEMPTS: an entry that failed so often is given up. `type_of`: what metrics call an
    entry's item.
    """

    tail: Tail[T]
    history: History[T]
    ledger: Receiving
    subscribers: Subscribers
    processes: Processes
    dead_letters: DeadLetters
    flow: Flow
    most_attempts: int = 3
    type_of: Callable[[T], str] = lambda _: UNKNOWN
