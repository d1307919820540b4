"""Faults on order: whom they meet, how they heal, who may order them."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette
from starlette.requests import Request

from resolvers.errors import Unauthenticated
from resolvers.identity import Scope, Viewer
from schema.chaos import FLOOD, HEALS_AFTER, Chaos, Fault, Means
from schema.demo import chaos_routes
from schema.faulty import MOST_HELD, FaultyConnection, FaultyTransport
from schema.refusals import HttpRefusal
from schema.wire import EXTENSION
from tests.support.running import in_background
from tests.support.waiting import wait_until


def viewer(user: str) -> Viewer:
    """Somebody who may read."""
    return Viewer(user, frozenset({Scope.READ}), datetime.now(UTC) + timedelta(hours=1))


ALICE, BOB = viewer("alice"), viewer("bob")


class Transport(asyncio.Transport):
    """Keeps what was written, and whether it was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.ended = ""

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return bool(self.ended)

    def abort(self) -> None:
        self.ended = "aborted"

    def close(self) -> None:
        self.ended = "closed"

    def get_write_buffer_size(self) -> int:
        return 0

    def detach(self) -> tuple[asyncio.Transport, bool]:
        """As a connection that is nothing but a transport."""
        return self, False


class World:
    """What faults are made with, and a clock that is moved by hand."""

    def __init__(self, *, own_redis: bool = True) -> None:
        self.now = 1_000.0
        self.redis = True
        self.flooded = 0
        self.expired: list[str] = []
        self.chaos = Chaos(
            Means(redis=self if own_redis else None, flood=self.flood),
            expire=self.expired.append,
            clock=lambda: self.now,
        )

    async def flood(self, count: int) -> None:
        self.flooded += count

    async def stop_redis(self) -> None:
        self.redis = False

    async def start_redis(self) -> None:
        self.redis = True

    def connect(self, who: Viewer) -> tuple[Transport, asyncio.Transport]:
        """Open a stream: the peer's end, and what the stream writes to."""
        peer = Transport()
        scope: dict[str, Any] = {"type": "http", "extensions": {EXTENSION: peer}}
        self.chaos.watch(scope, who)
        connection = scope["extensions"][EXTENSION]
        assert isinstance(connection, FaultyConnection)
        return peer, connection.detach()[0]


async def test_a_stalled_stream_keeps_what_it_is_told_until_it_heals() -> None:
    """Open streams of the user, and new ones, go silent; other users' do not; afterwards all bytes come, in order."""
    world = World()
    peer, stream = world.connect(ALICE)
    others_peer, others = world.connect(BOB)
    stream.write(b"1")
    await world.chaos.order(Fault.STALL, ALICE, "token")
    stream.write(b"2")
    stream.write(b"3")
    others.write(b"x")
    late_peer, late = world.connect(ALICE)
    late.write(b"4")

    assert (peer.written, late_peer.written, others_peer.written) == ([b"1"], [], [b"x"])
    assert stream.get_write_buffer_size() == 0  # a proxy that is stuck has taken them, as far as we can know

    await world.chaos.heal(Fault.STALL, "alice")
    stream.write(b"5")

    assert (peer.written, late_peer.written) == ([b"1", b"2", b"3", b"5"], [b"4"])


def test_a_silent_transport_is_cut_rather_than_keep_everything() -> None:
    """What it keeps has a bound."""
    peer = Transport()
    silent = FaultyTransport(peer)
    silent.silence()
    silent.write(bytes(MOST_HELD))
    kept = peer.is_closing()
    silent.write(b"1")

    assert (kept, peer.is_closing(), peer.written) == (False, True, [])


def test_a_silent_stream_that_ends_says_first_what_it_kept() -> None:
    """An end by the server's own will loses nothing."""
    peer = Transport()
    silent = FaultyTransport(peer)
    silent.silence()
    silent.write(b"last words")
    silent.close()

    assert (peer.written, peer.ended) == ([b"last words"], "closed")


async def test_a_cut_meets_only_streams_of_the_user() -> None:
    """They end without a word, once; a new one opens."""
    world = World()
    peer, _ = world.connect(ALICE)
    others_peer, _ = world.connect(BOB)
    await world.chaos.order(Fault.CUT, ALICE, "token")
    again, _ = world.connect(ALICE)

    assert (peer.ended, others_peer.ended, again.ended) == ("aborted", "", "")
    assert world.chaos.seconds_left("alice") == {}


async def test_refused_streams_are_told_when_to_come_back() -> None:
    """503 until the fault heals; other users are let in."""
    world = World()
    await world.chaos.order(Fault.REFUSE, ALICE, "token")
    world.now += 5
    world.chaos.check_stream(BOB)
    with pytest.raises(HttpRefusal) as refused:
        world.chaos.check_stream(ALICE)

    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "15")

    await world.chaos.heal(Fault.REFUSE, "alice")
    world.chaos.check_stream(ALICE)


async def test_only_the_token_of_the_order_expires() -> None:
    """The user's streams are ended, and a new token of theirs counts at once."""
    world = World()
    await world.chaos.order(Fault.EXPIRE, ALICE, "old")

    with pytest.raises(Unauthenticated):
        world.chaos.check_token("old")
    world.chaos.check_token("new")
    assert world.expired == ["alice"]
    assert list(world.chaos.seconds_left("bob")) == []


async def test_a_flood_is_of_five_hundred() -> None:
    """It is over when it is done."""
    world = World()
    await world.chaos.order(Fault.FLOOD, ALICE, "token")

    assert world.flooded == FLOOD == 500
    assert world.chaos.seconds_left("alice") == {}


async def test_every_fault_heals_by_itself() -> None:
    """After HEALS_AFTER Redis runs, streams speak and open, and the token counts."""
    world = World()
    peer, stream = world.connect(ALICE)
    for fault in (Fault.REDIS, Fault.STALL, Fault.REFUSE, Fault.EXPIRE):
        await world.chaos.order(fault, ALICE, "token")
    stream.write(b"kept")
    assert not world.redis
    assert set(world.chaos.seconds_left("alice").values()) == {20.0}
    assert world.chaos.seconds_left("bob") == {Fault.REDIS: 20.0}

    async with in_background(world.chaos.run()):
        world.now += HEALS_AFTER.total_seconds()
        await wait_until(lambda: not world.chaos.seconds_left("alice"), description="all is healed")

    assert world.redis
    assert peer.written == [b"kept"]
    world.chaos.check_stream(ALICE)
    world.chaos.check_token("token")


async def test_faults_have_a_bound() -> None:
    """Who orders beyond it is refused; a fault that is there already may last longer."""
    world = World()
    for number in range(100):
        await world.chaos.order(Fault.EXPIRE, ALICE, f"token {number}")
    with pytest.raises(HttpRefusal) as refused:
        await world.chaos.order(Fault.STALL, BOB, "token")
    await world.chaos.order(Fault.EXPIRE, ALICE, "token 5")

    assert refused.value.status == 429


async def ask(
    body: Any = None,
    *,
    world: World | None = None,
    client: str = "127.0.0.1",
    host: str = "127.0.0.1:8000",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Send an order, or look, as a browser at `client` would."""

    async def authenticate(request: Request) -> Viewer:
        if request.headers.get("authorization") != "Bearer token":
            raise HttpRefusal(401, "UNAUTHENTICATED", "no")
        return ALICE

    app = Starlette(routes=chaos_routes((world or World()).chaos, authenticate=authenticate))
    transport = ASGITransport(app=app, client=(client, 1))
    sent = {"Authorization": "Bearer token", "Content-Type": "application/json", **(headers or {})}
    async with AsyncClient(transport=transport, base_url=f"http://{host}", headers=sent) as http:
        if body is None:
            return await http.get("/demo/chaos")
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return await http.post("/demo/chaos", **content)


async def test_an_order_is_answered_with_what_is_there() -> None:
    """The faults that can be ordered, and the seconds until each heals."""
    world = World(own_redis=False)
    answer = (await ask({"fault": "stall"}, world=world)).json()
    assert answer == {
        "available": ["stall", "cut", "refuse", "flood", "expire"],
        "secondsLeft": {"stall": 20.0},
    }
    assert (await ask(world=world)).json() == answer
    assert (await ask({"fault": "stall", "on": False}, world=world)).json()["secondsLeft"] == {}
    assert (await ask({"fault": "redis"}, world=world)).status_code == 409


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (200, {"host": "localhost:8000"}),
        (200, {"host": "[::1]:8000", "client": "::1"}),
        (200, {"headers": {"Sec-Fetch-Site": "same-origin"}}),
        (403, {"client": "192.0.2.7"}),
        (403, {"host": "rebound.example"}),
        (403, {"headers": {"X-Forwarded-For": "127.0.0.1"}}),
        (403, {"headers": {"Forwarded": "for=127.0.0.1"}}),
        (403, {"headers": {"Sec-Fetch-Site": "cross-site"}}),
        (401, {"headers": {"Authorization": "Bearer other"}}),
        (415, {"headers": {"Content-Type": "text/plain"}}),
    ],
)
async def test_faults_are_ordered_at_this_machine_only(status: int, more: dict[str, Any]) -> None:
    """Not from elsewhere, not through a proxy, not under another name, not by another site's page, not by nobody."""
    assert (await ask({"fault": "stall"}, **more)).status_code == status


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {}),
        (400, {"fault": "fire"}),
        (400, {"fault": ["stall"]}),
        (400, {"fault": "stall", "on": 1}),
        (400, []),
        (400, b"{"),
        (413, {"fault": "x" * 2_000}),
    ],
)
async def test_what_is_no_order_is_refused(status: int, body: Any) -> None:
    """With a status that says what is wrong with it."""
    assert (await ask(body)).status_code == status
