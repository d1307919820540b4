"""Clients of all kinds, which come back whatever happens, and write down all they were ever sent."""

import asyncio
import contextlib
import json
import random
from collections.abc import Mapping
from typing import Any

import httpx
from httpx_sse import SSEError, aconnect_sse

from streams.cursor import Cursor
from tests.chaos.cluster import Cluster
from tests.chaos.history import ClientHistory, Gap, Kind, Received
from tests.chaos.schedule import SERVERS
from tests.support.arena import ACKNOWLEDGE
from tests.support.server import NO_TLS, token

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
DEVICES = frozenset({Kind.DEVICE, Kind.CONFIRMING})
CURSORS = frozenset({Kind.CURSOR, Kind.FILTERED, Kind.SLOW, Kind.POLLING, Kind.SWITCHING})
FAILURES = (httpx.HTTPError, SSEError, OSError, json.JSONDecodeError, KeyError, TypeError)
"""What a broken connection, a refusal or half an answer shows as."""


class ChaosClient:
    """One subscriber. `calm` ends its bad habits but that of a slow one not to read while `asleep`."""

    def __init__(self, history: ClientHistory, cluster: Cluster, seed: int) -> None:
        self.history = history
        self._cluster = cluster
        self._chance = random.Random(seed)
        self._connection = 0
        self.cursor: str | None = None
        self.asleep = False

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
                async with asyncio.timeout(lasts):
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
            "subscriber": "phone" if kind in DEVICES else None,
            "confirm": "CLIENT" if kind is Kind.CONFIRMING else "SOCKET",
            "filter": self._filter(),
        }
        body = {"query": SUBSCRIPTION, "variables": variables}
        async with aconnect_sse(http, "POST", "/graphql", json=body) as source:
            async for sent in source.aiter_sse():
                if sent.data:
                    await self._take(sent.json()["data"]["activityAdded"], http)
                while self.asleep:  # noqa: ASYNC110 - a client that does not read; nobody tells it
                    await asyncio.sleep(0.1)

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
        if history.kind is Kind.CONFIRMING and event["__typename"] in {"ActivityAdded", "FeedGap"}:
            variables = {"through": event["cursor"], "subscriber": "phone"}
            await http.post("/graphql", json={"query": ACKNOWLEDGE, "variables": variables})
