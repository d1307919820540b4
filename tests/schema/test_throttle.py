"""Who asks too often: counted by user and by address, and an address of IPv6 is a household's network."""

import pytest
from redis.asyncio import Redis
from starlette.requests import Request

from resolvers.rates import CONNECTS_OF_ADDRESS, OPERATIONS, OPERATIONS_OF_ADDRESS
from schema.refusals import HttpRefusal
from schema.throttle import NOWHERE, Throttle, address_of
from streams.rates import Rates
from telemetry.metrics import Metrics
from tests.support.composed import viewer

HOME, ELSEWHERE = "192.0.2.7", "192.0.2.8"


def come(host: str | None) -> Request:
    """A request from an address; None: over a Unix socket, where uvicorn knows no client."""
    return Request({"type": "http", "headers": [], "client": host and (host, 50_000)})


@pytest.fixture
def throttle(redis: Redis) -> Throttle:
    """Two operations a minute of a user, three of an address, and one stream opened from it; the clock stands."""
    most = {OPERATIONS: 2, OPERATIONS_OF_ADDRESS: 3, CONNECTS_OF_ADDRESS: 1}
    return Throttle(Rates(redis=redis, metrics=Metrics(), most=most, now=lambda: 60_000.0))


def test_user_is_counted_wherever_they_come_from(throttle: Throttle) -> None:
    """The third operation of two is refused from another address too, with a time to wait; another user is served."""
    throttle.operation(come(HOME), viewer("ada"))
    throttle.operation(come(ELSEWHERE), viewer("ada"))

    with pytest.raises(HttpRefusal, match="You send operations too often") as refused:
        throttle.operation(come("198.51.100.1"), viewer("ada"))
    throttle.operation(come(HOME), viewer("eve"))

    assert (refused.value.status, refused.value.code) == (429, "RATE_LIMITED")
    assert refused.value.temporary
    assert 0 < int(refused.value.headers["Retry-After"]) <= 120


def test_address_is_counted_whoever_comes_from_there(throttle: Throttle) -> None:
    """Strangers and users use up the same number; who comes from elsewhere is served."""
    throttle.stranger(come(HOME))
    throttle.operation(come(HOME), viewer("ada"))
    throttle.stranger(come(HOME))

    with pytest.raises(HttpRefusal, match="from your address"):
        throttle.operation(come(HOME), viewer("eve"))
    with pytest.raises(HttpRefusal, match="from your address"):
        throttle.stranger(come(HOME))
    throttle.stranger(come(ELSEWHERE))


def test_user_beyond_the_limit_uses_up_nothing_of_their_address(throttle: Throttle) -> None:
    """One loud user behind a shared address does not lock the others out of it."""
    for _ in range(2):
        throttle.operation(come(HOME), viewer("ada"))
    for _ in range(10):
        with pytest.raises(HttpRefusal):
            throttle.operation(come(HOME), viewer("ada"))

    throttle.operation(come(HOME), viewer("eve"))


def test_streams_are_counted_apart_from_operations(throttle: Throttle) -> None:
    """An address that may open no more streams may still ask: that is what its clients fall back to."""
    throttle.connect(come(HOME))
    with pytest.raises(HttpRefusal, match="Too many streams are opened from your address"):
        throttle.connect(come(HOME))

    throttle.operation(come(HOME), viewer("ada"))


def test_network_of_a_household_is_one_address(throttle: Throttle) -> None:
    """Who has 2^64 addresses has one limit, and so has who writes IPv4 as IPv6; the network beside it is another."""
    throttle.connect(come("2001:db8:0:1::1"))
    with pytest.raises(HttpRefusal):
        throttle.connect(come("2001:db8:0:1:ffff:ffff:ffff:ffff"))
    throttle.connect(come("2001:db8:0:2::1"))

    throttle.connect(come(HOME))
    with pytest.raises(HttpRefusal):
        throttle.connect(come(f"::ffff:{HOME}"))


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        (HOME, HOME),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", HOME),
        ("::ffff:c000:207", HOME),
        ("what:a:proxy:wrote", "what:a:proxy:wrote"),
        ("x" * 1_000, "x" * 64),
        (":" * 1_000, ":" * 64),
        (None, NOWHERE),
    ],
)
def test_what_is_counted_for_a_peer(host: str | None, counted: str) -> None:
    """One spelling for each address, a bound for what is none, and one place for all that come by a Unix socket."""
    assert address_of(come(host)) == counted
