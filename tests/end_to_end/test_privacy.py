"""Two users on one server: neither ever sees what the other has read, or where the other's device stands."""

import asyncio
from typing import Any

from tests.support.server import Client, ServerProcess, Stream
from tests.support.waiting import wait_until

PUBLISH = """mutation($t: String!) {
  publishActivity(input: {type: VOTE, title: $t}) { ... on PublishedActivity { activity { id } } }
}"""
ACKNOWLEDGE = "mutation($c: Cursor!, $s: ID!) { acknowledge(through: $c, subscriber: $s) { __typename } }"
FEED = "{ feed(first: 10) { head unreadCount edges { isRead node { id title } } } }"
STREAM = """subscription($subscriber: ID) { activityAdded(subscriber: $subscriber, confirm: CLIENT) {
  __typename cursor
  ... on ActivityAdded { activity { id title } }
  ... on ReadStateChanged { activityIds readState { unreadCount } }
  ... on StreamNotice { kind }
} }"""


async def fresh(server: ServerProcess, titles: list[str]) -> list[str]:
    """Publish, and wait until the feed has all; their IDs."""
    async with Client(server.url, "carol", "publish") as carol, Client(server.url, "carol") as reader:
        published = [(await carol.ask(PUBLISH, t=title))["publishActivity"]["activity"]["id"] for title in titles]

        async def shown() -> bool:
            edges = (await reader.ask(FEED))["feed"]["edges"]
            return {edge["node"]["id"] for edge in edges} >= set(published)

        await wait_until(shown, description="the feed has what was published", every=0.05)
    return published


def unread(feed: dict[str, Any]) -> tuple[int, set[str]]:
    """The count, and the IDs shown as read."""
    return feed["unreadCount"], {edge["node"]["id"] for edge in feed["edges"] if edge["isRead"]}


async def test_one_users_marks_are_never_in_anothers_feed(server: ServerProcess) -> None:
    """Many feeds of two users at once, through the same kept documents and edges, each show their own user's marks."""
    ids = await fresh(server, [f"Division {n}" for n in range(4)])
    async with Client(server.url, "alice") as alice, Client(server.url, "bob") as bob:
        await alice.ask("mutation($i: [ID!]!) { markRead(activityIds: $i) { readState { version } } }", i=ids[:3])
        feeds = await asyncio.gather(*(who.ask(FEED) for _ in range(40) for who in (alice, bob)))

    assert all(unread(answer["feed"]) == (1, set(ids[:3])) for answer in feeds[0::2])
    assert all(unread(answer["feed"]) == (4, set()) for answer in feeds[1::2])


async def test_one_users_marks_are_never_in_anothers_stream(server: ServerProcess) -> None:
    """Two users share one rendered subscription; a change of read state goes to its own user's stream alone."""
    first = await fresh(server, ["Before"])
    async with (
        Client(server.url, "alice") as alice,
        Client(server.url, "bob") as bob,
        opened(alice, "phone") as of_alice,
        opened(bob, "phone") as of_bob,
    ):
        hellos = [await stream.event() for stream in (of_alice, of_bob)]
        await alice.ask("mutation($i: [ID!]!) { markRead(activityIds: $i) { readState { version } } }", i=first)
        change = await of_alice.event()
        await fresh(server, ["After"])
        seen_by_alice, seen_by_bob = await of_alice.event(), await of_bob.event()

    assert [hello["kind"] for hello in hellos] == ["HELLO", "HELLO"]
    assert (change["__typename"], change["activityIds"]) == ("ReadStateChanged", first)
    assert seen_by_bob["activity"]["title"] == "After"  # and nothing of Alice's before it
    assert seen_by_alice["activity"] == seen_by_bob["activity"]


async def test_same_device_name_of_two_users_is_two_positions(server: ServerProcess) -> None:
    """What Bob confirms for his phone moves nothing for Alice's; a name written like her group's reaches nothing."""
    async with Client(server.url, "alice") as alice, Client(server.url, "bob") as bob:
        async with opened(alice, "phone") as of_alice, opened(bob, "phone") as of_bob:
            assert {(await stream.event())["kind"] for stream in (of_alice, of_bob)} == {"HELLO"}
            await fresh(server, ["Unconfirmed"])
            cursor = (await of_alice.event())["cursor"]
            await of_bob.event()
            await bob.ask(ACKNOWLEDGE, c=cursor, s="phone")
            for name in ("alice:phone", "alice%3Aphone", "users:alice:phone", "../alice", "*"):
                refused = await bob.post(ACKNOWLEDGE, c=cursor, s=name)
                assert refused["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"

        async with opened(alice, "phone") as again:
            titles = await titles_until(again, "Unconfirmed")

    assert titles == ["Unconfirmed"]


def opened(client: Client, device: str) -> Any:
    """The subscription of this module, for a device."""
    return client.subscribe(query=STREAM, subscriber=device)


async def titles_until(stream: Stream, title: str) -> list[str]:
    """Titles of activities up to one."""
    found: list[str] = []
    while not found or found[-1] != title:
        event = await stream.event()
        if event["__typename"] == "ActivityAdded":
            found.append(event["activity"]["title"])
    return found
