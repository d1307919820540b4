"""Faults that a visitor of the demo orders, to see what the page makes of them. Each heals by itself."""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from starlette.types import Scope

from resolvers.errors import Unauthenticated
from resolvers.identity import Viewer
from schema.faulty import FaultyConnection, FaultyTransport
from schema.refusals import HttpRefusal
from schema.wire import EXTENSION

HEALS_AFTER = timedelta(seconds=20)
LOOKS_EVERY = 0.1
MOST_FAULTS = 100
"""Faults that may be there at a time; each user of the demo can have four."""
FLOOD = 500
"""Activities of a flood."""

log = logging.getLogger("divisionbell.schema")


class Fault(StrEnum):
    """What can be ordered. All but REDIS and FLOOD meet nobody but the user who orders them."""

    REDIS = "redis"
    """Redis is stopped, for everybody."""
    STALL = "stall"
    """The user's streams stay open and say nothing more, not even heartbeats."""
    CUT = "cut"
    """The user's streams are cut, once."""
    REFUSE = "refuse"
    """New streams of the user are refused. Those that are open stay; CUT ends them."""
    FLOOD = "flood"
    """FLOOD activities are published in one transaction, once."""
    EXPIRE = "expire"
    """The token that the order came with counts no longer, and the user's streams end as when a token expires."""


ONCE = frozenset({Fault.CUT, Fault.FLOOD})
"""What is over as soon as it is done."""


class RedisSwitch(Protocol):
    """Redis, where it is the demo's own."""

    async def stop_redis(self) -> None:
        """Stop it."""
        ...

    async def start_redis(self) -> None:
        """Start it, if it does not run."""
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What the faults are made with. `redis` is None where Redis is not the demo's own; `flood` takes a number."""

    redis: RedisSwitch | None
    flood: Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Order:
    """A fault that is there. It meets `user`, or everybody (None); EXPIRE only their token with the digest `token`."""

    fault: Fault
    user: str | None
    token: str = ""

    def meets(self, user: str) -> bool:
        return self.user in (None, user)


class Chaos:
    """Makes the faults and heals them. The server asks it before it admits, authenticates and streams."""

    def __init__(
        self, means: Means, *, expire: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`expire` ends all streams of a user as if their token had expired."""
        self._means = means
        self._expire = expire
        self._clock = clock
        self._until: dict[_Order, float] = {}
        self._transports: dict[FaultyTransport, str] = {}
        self._switching = asyncio.Lock()

    def available(self) -> list[Fault]:
        """What can be ordered here."""
        return [fault for fault in Fault if fault is not Fault.REDIS or self._means.redis is not None]

    def seconds_left(self, user: str) -> dict[Fault, float]:
        """The faults that meet this user, and when each heals."""
        now = self._clock()
        return {one.fault: max(0.0, until - now) for one, until in self._until.items() if one.meets(user)}

    async def order(self, fault: Fault, viewer: Viewer, token: str) -> None:
        """Make a fault; one that is there already lasts longer.

        Raises HttpRefusal: 409 for one that is not available, 429 when there are too many; and what the means raise.
        """
        if fault not in self.available():
            raise HttpRefusal(409, "BAD_USER_INPUT", "Redis is not the demo's own here: nobody stops it.")
        if fault in ONCE:
            await self._once(fault, viewer.user)
            return
        order = _Order(
            fault, None if fault is Fault.REDIS else viewer.user, _digest(token) if fault is Fault.EXPIRE else ""
        )
        if order not in self._until and len(self._until) >= MOST_FAULTS:
            raise HttpRefusal(429, "TOO_MANY_FAULTS", "There are faults enough. Wait for some to heal.")
        log.info("a fault was ordered", extra={"fault": fault.value, "user": viewer.user})
        self._until[order] = self._clock() + HEALS_AFTER.total_seconds()
        if fault is Fault.REDIS:
            await self._switch(on=False)
        elif fault is Fault.STALL:
            for transport in self._transports_of(viewer.user):
                transport.silence()
        elif fault is Fault.EXPIRE:
            self._expire(viewer.user)

    async def heal(self, fault: Fault, user: str) -> None:
        """End a fault that meets this user, if it is there."""
        for order in [order for order in self._until if order.fault is fault and order.meets(user)]:
            await self._heal(order)

    async def run(self) -> None:
        """Heal what has lasted for HEALS_AFTER, until cancelled; who ends the servers heals nothing any more."""
        while True:
            await asyncio.sleep(LOOKS_EVERY)
            now = self._clock()
            for order in [order for order, until in self._until.items() if until <= now]:
                await self._heal(order)

    def check_token(self, token: str) -> None:
        """Raises Unauthenticated for a token that was made to expire."""
        digest = _digest(token)
        if any(order.fault is Fault.EXPIRE and order.token == digest for order in self._until):
            raise Unauthenticated("Your token has expired. Get a new one and try again.")

    def check_stream(self, viewer: Viewer) -> None:
        """Raises HttpRefusal (503) where new streams of the user are refused."""
        if (until := self._until.get(_Order(Fault.REFUSE, viewer.user))) is not None:
            wait = timedelta(seconds=max(1.0, until - self._clock()))
            raise HttpRefusal(503, "OVERLOADED", "The demo was told to refuse your streams.", retry_after=wait)

    def watch(self, scope: Scope, viewer: Viewer) -> None:
        """Let the faults of the user's connections meet the one of this request, should it become a stream."""
        extensions = scope.get("extensions") or {}
        if (connection := extensions.get(EXTENSION)) is not None:
            scope["extensions"] = {
                **extensions,
                EXTENSION: FaultyConnection(connection, lambda transport: self._keep(transport, viewer.user)),
            }

    def _keep(self, transport: FaultyTransport, user: str) -> None:
        for known in [known for known in self._transports if known.is_closing()]:
            del self._transports[known]
        self._transports[transport] = user
        if _Order(Fault.STALL, user) in self._until:
            transport.silence()

    def _transports_of(self, user: str) -> list[FaultyTransport]:
        return [transport for transport, who in self._transports.items() if who == user and not transport.is_closing()]

    async def _once(self, fault: Fault, user: str) -> None:
        if fault is Fault.FLOOD:
            await self._means.flood(FLOOD)
            return
        for transport in self._transports_of(user):
            transport.abort()

    async def _heal(self, order: _Order) -> None:
        if order.fault is Fault.REDIS:
            await self._switch(on=True)
        self._until.pop(order, None)
        if order.fault is Fault.STALL and order.user is not None:
            for transport in self._transports_of(order.user):
                transport.speak()

    async def _switch(self, *, on: bool) -> None:
        if self._means.redis is None:
            return
        async with self._switching:  # somebody may start it while it stops
            await (self._means.redis.start_redis() if on else self._means.redis.stop_redis())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
