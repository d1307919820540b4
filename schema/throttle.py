"""Refusing who asks too often, by user and by address."""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from starlette.requests import Request

from resolvers.errors import TooMany
from resolvers.identity import Viewer
from resolvers.rates import CONNECTS_OF_ADDRESS, OPERATIONS, OPERATIONS_OF_ADDRESS, spend
from schema.refusals import HttpRefusal
from streams.rates import Rates

NOWHERE = "unix"
"""The address of whoever comes over a Unix socket."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """Counts requests; all of these raise HttpRefusal (429) beyond a limit."""

    rates: Rates

    def operation(self, request: Request, viewer: Viewer) -> None:
        """An operation of a viewer."""
        self._spend(OPERATIONS, viewer.user)
        self._spend(OPERATIONS_OF_ADDRESS, address_of(request))

    def stranger(self, request: Request) -> None:
        """A request whose token does not count."""
        self._spend(OPERATIONS_OF_ADDRESS, address_of(request))

    def connect(self, request: Request) -> None:
        """A stream is about to open. How many a user opens is counted with the open ones, in `streams.connections`."""
        self._spend(CONNECTS_OF_ADDRESS, address_of(request))

    def _spend(self, limit: str, key: str) -> None:
        try:
            spend(self.rates, limit, key)
        except TooMany as error:
            raise HttpRefusal(429, error.code, str(error), retry_after=error.wait) from error


def address_of(request: Request) -> str:
    """Who is counted for the request's peer: an address, of IPv6 the network that one household gets."""
    client = request.scope.get("client")
    return _counted(client[0]) if client else NOWHERE


@lru_cache(maxsize=10_000)
def _counted(host: str) -> str:
    if ":" not in host:
        return host[:64]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:  # what a trusted proxy wrote, whatever it is
        return host[:64]
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or f"{IPv6Address(int(address) >> 64 << 64)}/64")
