"""Clients of all kinds, which come back whatever happens, and write down all they were ever sent."""

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from httpx_sse import SSEError, aconnect_sse

from streams.cursor import Cursor
from telemetry.tasks import end
from tests.chaos.cluster import Cluster
from tests.chaos.history import DEVICE, DEVICES, ClientHistory, Gap, Kind, Received
from tests.chaos.schedule import SERVERS
from tests.support.arena import ACKNOWLEDGE
from tests.support.network import cut_off, unread
from tests.support.server import NO_TLS, token
from tests.support.waiting import wait_until

EVENTS = """
    __typename
    cursor
    ... on ActivityAdded { deliveryAttempt activity { id } }
    ... on FeedGap { since through reason }
    ... on GapHealed { activities { id } }
    ... on ReadStateChanged { activityIds readState { version } }
    ... on StreamNotice { kind }
"""
SUBSCRIPTION = f"""
subscription ($since: Cursor, $filter: ActivityFilter, $subscriber: ID, $confirm: Confirmation!) {{
  activityAdded(since: $since, filter: $filter, subscriber: $subscriber, confirm: $confirm) {{ {EVENTS} }}
}}
"""
UPDATES = f"""
query ($since: Cursor!, $filter: ActivityFilter) {{
  updates(since: $since, first: 50, filter: $filter) {{ cursor hasMore events {{ {EVENTS} }} }}
}}
"""
CONFIRMING = frozenset({Kind.CONFIRMING, Kind.REFUSING})
CURSORS = frozenset({Kind.CURSOR, Kind.FILTERED, Kind.SLOW, Kind.POLLING, Kind.SWITCHING})
FAILURES = (httpx.HTTPError, SSEError, OSError, json.JSONDecodeError, KeyError, TypeError)
"""What a broken connection, a refusal or half an answer shows as."""


REFUSES_FOR = 1.5
"""Seconds for which a stream lives on whose client confirms nothing any more: then its end is a failed attempt."""


class ChaosClient:
    """One subscriber. `calm` ends its bad habits but that of a slow one not to read while `asleep`."""

    def __init__(self, history: ClientHistory, cluster: Cluster, seed: int) -> None:
        self.history = history
        self._cluster = cluster
        self._chance = random.Random(seed)
        self._connection = 0
        self.cursor: str | None = None
        self.asleep = False
        self.calm = False
        self._ending = asyncio.timeout(None)
        self._refuses = False

    @property
    def had(self) -> set[int]:
        """IDs of the activities it got."""
        return {one.id for one in self.history.received} | self.history.healed

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self._connection += 1
            with contextlib.suppress(*FAILURES):
                async with self._http() as http:
                    await self._once(http)
            await asyncio.sleep(self._chance.uniform(0.05, 0.2))

    def _http(self) -> httpx.AsyncClient:
        # With a device ID alone, what a proxy had is lost to the device: the promise is about the peer's kernel.
        url = self._cluster.url(self._chance.randrange(SERVERS), direct=self.history.kind is Kind.DEVICE)
        headers = {"Authorization": f"Bearer {token(self.history.user)}"}
        return httpx.AsyncClient(base_url=url, headers=headers, timeout=15, trust_env=False, verify=NO_TLS)

    async def _once(self, http: httpx.AsyncClient) -> None:
        kind = self.history.kind
        if kind is Kind.POLLING or (kind is Kind.SWITCHING and self._chance.random() < 0.5):
            for _ in range(self._chance.randint(1, 8)):
                await self._poll(http)
                await asyncio.sleep(self._chance.uniform(0.1, 0.4))
        else:
            lasts = self._chance.uniform(0.5, 3) if kind is Kind.SWITCHING else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(lasts) as self._ending:
                    await self._stream(http)

    def _filter(self) -> Mapping[str, Any] | None:
        return {"types": sorted(self.history.types)} if self.history.types else None

    async def _poll(self, http: httpx.AsyncClient) -> None:
        if self.cursor is None:
            answer = (await http.post("/graphql", json={"query": "{ feed(first: 1) { head } }"})).json()
            self._began(answer["data"]["feed"]["head"])
        variables = {"since": self.cursor, "filter": self._filter()}
        answer = (await http.post("/graphql", json={"query": UPDATES, "variables": variables})).json()
        updates = answer["data"]["updates"]
        for event in updates["events"]:
            await self._take(event, http)
        self.cursor = updates["cursor"]

    async def _stream(self, http: httpx.AsyncClient) -> None:
        kind = self.history.kind
        variables = {
            "since": self.cursor if kind in CURSORS else None,
            "subscriber": DEVICE if kind in DEVICES else None,
            "confirm": "CLIENT" if kind in CONFIRMING else "SOCKET",
            "filter": self._filter(),
        }
        body = {"query": SUBSCRIPTION, "variables": variables}
        self._refuses = False
        async with aconnect_sse(http, "POST", "/graphql", json=body) as source, self._tunnel(source.response):
            async for sent in source.aiter_sse():
                if sent.data:
                    await self._take(sent.json()["data"]["activityAdded"], http)
                while self.asleep:  # noqa: ASYNC110 - a client that does not read; nobody tells it
                    await asyncio.sleep(0.1)

    @contextlib.asynccontextmanager
    async def _tunnel(self, response: httpx.Response) -> AsyncIterator[None]:
        """A device's network is gone after a while, and its stream later on; the server has to find out by itself.

        What has arrived is read: that the peer's kernel has it is all that a device without a cursor is promised.
        """
        if self.history.kind is not Kind.DEVICE or self._chance.random() < 0.3:
            yield
            return
        connection = response.extensions["network_stream"].get_extra_info("socket")
        entering = asyncio.create_task(self._enter_tunnel(connection), name="tunnel")
        try:
            yield
        finally:
            await end([entering])

    async def _enter_tunnel(self, connection: socket.socket) -> None:
        await asyncio.sleep(self._chance.uniform(0.2, 2))
        if self.calm:
            return
        cut_off(connection)
        await asyncio.sleep(self._chance.uniform(0.5, 3))
        await wait_until(lambda: not unread(connection), description="all that arrived is read", every=0.05)
        await asyncio.sleep(0.05)  # and from there it comes to `_take`, which waits for nothing
        self._end_in(0)

    def _end_in(self, seconds: float) -> None:
        self._ending.reschedule(asyncio.get_running_loop().time() + seconds)

    def _began(self, cursor: str) -> None:
        self.history.starts.append(Cursor.parse(cursor))
        self.cursor = self.cursor or cursor

    async def _take(self, event: Mapping[str, Any], http: httpx.AsyncClient) -> None:
        history = self.history
        match event["__typename"]:
            case "StreamNotice" if event["kind"] == "HELLO":
                self._began(event["cursor"])
            case "FeedGap":
                history.gaps.append(Gap(Cursor.parse(event["since"]), Cursor.parse(event["through"]), event["reason"]))
            case "GapHealed":
                history.healed |= {int(activity["id"]) for activity in event["activities"]}
            case "ReadStateChanged":
                ids = frozenset(int(one) for one in event["activityIds"])
                history.read_states.append((event["readState"]["version"], ids))
            case "ActivityAdded":
                one = int(event["activity"]["id"])
                at = Cursor.parse(event["cursor"])
                history.received.append(Received(one, at, event["deliveryAttempt"], self._connection))
        if event["__typename"] in {"ActivityAdded", "FeedGap", "StreamNotice"}:
            self.cursor = event["cursor"]
        if history.kind in CONFIRMING and event["__typename"] in {"ActivityAdded", "FeedGap"}:
            await self._confirm(event, http)

    async def _confirm(self, event: Mapping[str, Any], http: httpx.AsyncClient) -> None:
        """Nothing beyond what is refused: a confirmation counts for everything before it."""
        unloved = "activity" in event and int(event["activity"]["id"]) % 5 == 0
        if unloved and self.history.kind is Kind.REFUSING and not (self.calm or self._refuses):
            self._refuses = True
            self._end_in(REFUSES_FOR)
        if not self._refuses:
            variables = {"through": event["cursor"], "subscriber": DEVICE}
            await http.post("/graphql", json={"query": ACKNOWLEDGE, "variables": variables})
