"""How often a user or an address may do something; the numbers are settings."""

from resolvers.errors import TooMany
from streams.rates import Rates

OPERATIONS, OPERATIONS_OF_ADDRESS, CONNECTS_OF_ADDRESS, MARKS = (
    "operations",
    "operations_of_address",
    "connects_of_address",
    "marks",
)
_SENTENCES = {
    OPERATIONS: "You send operations too often.",
    OPERATIONS_OF_ADDRESS: "Too many operations come from your address.",
    CONNECTS_OF_ADDRESS: "Too many streams are opened from your address.",
    MARKS: "You mark or publish too much at once.",
}


def spend(rates: Rates, limit: str, key: str, cost: int = 1) -> None:
    """Count `cost` of what `key` may do in a minute. Raises TooMany."""
    wait = rates.hit(limit, key, cost)
    if wait is not None:
        raise TooMany(f"{_SENTENCES[limit]} Wait, and back off between attempts.", wait=wait)
