"""Faults that a visitor of the demo orders, against a real demo with its own Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from tests.support.directories import reachable_directory
from tests.support.server import Client, ServerProcess, token
from tests.support.waiting import wait_until

UPDATES = """
query ($since: Cursor!) { updates(since: $since) { events { ... on ActivityAdded { activity { title } } } } }
"""


class Visitor(Client):
    """Somebody at the demo's page."""

    def __init__(self, url: str, user: str) -> None:
        super().__init__(url, user)
        self.url = url
        self._page = httpx.AsyncClient(base_url=url, trust_env=False, timeout=20)
        self._headers = {"Authorization": f"Bearer {token(user)}"}

    async def __aexit__(self, *_: object) -> None:
        await self._page.aclose()
        await super().__aexit__()

    async def order(self, fault: str, *, on: bool = True) -> httpx.Response:
        """Order a fault, or its end."""
        return await self._page.post("/demo/chaos", json={"fault": fault, "on": on}, headers=self._headers)

    async def redis(self) -> bool:
        """Whether the server has Redis."""
        return bool((await self.ask("{ health { redis } }"))["health"]["redis"])

    async def config(self) -> dict[str, Any]:
        """What the page is told."""
        found: dict[str, Any] = (await self._page.get("/config.json")).json()
        return found


@pytest.fixture
async def demo() -> AsyncIterator[ServerProcess]:
    """A demo of its own, in which nothing happens by itself."""
    with reachable_directory() as directory:
        environment = {"STATE_DIR": str(directory / "state"), "DEMO_ACTIVITY": "off"}
        async with ServerProcess("demo", environment=environment) as running:
            yield running
            await running.stop()


async def test_redis_is_stopped_and_started_at_the_same_place(demo: ServerProcess) -> None:
    """Polls go on while it is away, an open stream shows what happened meanwhile, and the demo ends in order."""
    async with (
        Visitor(demo.url, "alice") as alice,
        Client(demo.url, "press-office", "read publish") as press,
        alice.subscribe() as stream,
    ):
        since = (await stream.hello())["cursor"]
        await alice.order("redis")
        await wait_until(lambda: _not(alice.redis), description="Redis is away")
        await press.ask('mutation { publishActivity(input: {type: VOTE, title: "Meanwhile"}) { __typename } }')

        async def polled() -> bool:
            events = (await alice.ask(UPDATES, since=since))["updates"]["events"]
            return [event["activity"]["title"] for event in events if event] == ["Meanwhile"]

        await wait_until(polled, description="it comes by polling")
        await alice.order("redis", on=False)
        await wait_until(alice.redis, description="Redis is back")
        assert await stream.titles(1) == ["Meanwhile"]
    assert await demo.stop() == 0


async def _not(asked: Callable[[], Any]) -> bool:
    return not await asked()


async def test_a_stalled_stream_is_silent_for_its_user_alone(demo: ServerProcess) -> None:
    """A flood reaches others at once, and the one who ordered it when the fault heals, with nothing missing."""
    async with (
        Visitor(demo.url, "alice") as alice,
        Visitor(demo.url, "bob") as bob,
        alice.subscribe() as stalled,
        bob.subscribe() as stream,
    ):
        await stalled.hello()
        await stream.hello()
        await alice.order("stall")
        late = asyncio.create_task(stalled.titles(500))
        await alice.order("flood")
        flood = await stream.titles(500)
        assert not late.done()
        await alice.order("stall", on=False)
        assert await late == flood


async def test_streams_are_cut_and_refused(demo: ServerProcess) -> None:
    """A cut ends them without a last word; while refused, the user gets 503, and others a stream."""
    async with Visitor(demo.url, "alice") as alice, Visitor(demo.url, "bob") as bob:
        async with alice.subscribe() as stream:
            await stream.hello()
            await alice.order("cut")
            with pytest.raises(httpx.RemoteProtocolError):
                await stream.event()
        await alice.order("refuse")
        with pytest.raises(Exception, match="Content-Type"):
            async with alice.subscribe() as stream:
                await stream.hello()
        async with bob.subscribe() as stream:
            await stream.hello()
        await alice.order("refuse", on=False)
        async with alice.subscribe() as stream:
            await stream.hello()


async def test_a_token_that_expired_is_replaced_by_another(demo: ServerProcess) -> None:
    """Streams end with a notice, the old token is refused, and the page's settings hold one that counts."""
    async with Visitor(demo.url, "alice") as alice, alice.subscribe() as stream:
        await stream.hello()
        await alice.order("expire")
        closing = await stream.event()
        refused = await alice.post("{ health { redis } }")
        fresh = (await alice.config())["identities"][0]
        async with httpx.AsyncClient(base_url=demo.url, trust_env=False) as http:
            answer = await http.post(
                "/graphql",
                json={"query": "{ health { redis } }"},
                headers={"Authorization": f"Bearer {fresh['token']}"},
            )

    assert closing["kind"] == "CLOSING"
    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert fresh["name"] == "Alice"
    assert answer.json() == {"data": {"health": {"redis": True}}}


async def test_only_a_demo_on_this_machine_takes_orders(demo: ServerProcess) -> None:
    """A visitor through a proxy is offered no faults; `serve` knows neither faults nor identities."""
    proxied = {"X-Forwarded-For": "192.0.2.7", "Authorization": f"Bearer {token('alice')}"}
    async with Visitor(demo.url, "alice") as alice, httpx.AsyncClient(base_url=demo.url, trust_env=False) as http:
        offered = (await alice.config())["demo"]
        elsewhere = (await http.get("/config.json", headers=proxied)).json()["demo"]
        refused = await http.post("/demo/chaos", json={"fault": "redis"}, headers=proxied)

    assert offered == {"speed": 6, "faults": ["redis", "stall", "cut", "refuse", "flood", "expire"]}
    assert elsewhere == {}
    assert refused.status_code == 403


async def test_serve_takes_no_orders(server: ServerProcess) -> None:
    """The address is not there, and the page's settings offer nobody to be."""
    async with Visitor(server.url, "alice") as alice:
        assert (await alice.order("redis")).status_code == 404
        assert await alice.config() == {"endpoint": "graphql", "identities": [], "demo": {}}
