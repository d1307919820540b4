"""Every field through GraphQL: what it answers, whom it refuses, and with which code."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import GraphQLNonNull, GraphQLScalarType, is_enum_type, is_input_object_type, is_list_type
from strawberry.types import ExecutionResult

from app import Floor
from resolvers.identity import Scope
from schema.context import Context
from schema.root import build_schema
from tests.support.composed import composed, publish, viewer
from tests.support.parliament import insert_bill, insert_mp

FEED = """query ($first: Int! = 20, $after: String, $filter: ActivityFilter) {
  feed(first: $first, after: $after, filter: $filter) {
    head unreadCount servedBy pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    nodes { id } edges { id cursor isRead node { id type title metadata mp { id name } bill { id number } } } } }"""
PUBLISH = """mutation ($input: PublishActivityInput!) { publishActivity(input: $input) {
  __typename
  ... on PublishedActivity { activity { id title metadata occurredAt } }
  ... on ActivityRefused { message } } }"""
MARK = """mutation ($ids: [ID!]!) {
  markRead(activityIds: $ids) { edges { id isRead } readState { unreadCount version } } }"""


class Asking:
    """Executes operations as a viewer."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.schema = build_schema()

    async def result(self, query: str, *scopes: Scope, user: str = "ada", **variables: Any) -> ExecutionResult:
        """The whole result."""
        context = Context(viewer=viewer(user, *scopes), services=self.floor.services)
        return await self.schema.execute(query, variable_values=variables, context_value=context)

    async def __call__(self, query: str, *scopes: Scope, user: str = "ada", **variables: Any) -> dict[str, Any]:
        """The data of an operation without errors."""
        result = await self.result(query, *scopes, user=user, **variables)
        assert not result.errors, result.errors
        assert result.data is not None
        return result.data

    async def code(self, query: str, *scopes: Scope, **variables: Any) -> str:
        """The code of an operation's one error."""
        result = await self.result(query, *scopes, **variables)
        assert result.errors
        [error] = result.errors
        return str((error.extensions or {})["code"])


@pytest.fixture
async def ask(database_url: str, redis_url: str) -> AsyncIterator[Asking]:
    """Operations on a running floor."""
    async with composed(database_url, redis_url) as floor:
        yield Asking(floor)


async def test_feed_shows_activities_with_the_viewers_marks(ask: Asking) -> None:
    """A page, its edges in Relay's shape, and marks that are the viewer's own."""
    mp, bill = await insert_mp(ask.floor.engine), await insert_bill(ask.floor.engine)
    await publish(ask.floor, 3, mp_id=mp, bill_id=bill)
    first = (await ask(FEED, first=2))["feed"]
    marked = await ask(
        MARK,
        ids=[first["nodes"][0]["id"]],
    )
    again = (await ask(FEED, first=2))["feed"]
    rest = (await ask(FEED, first=2, after=first["pageInfo"]["endCursor"]))["feed"]
    bobs = (await ask(FEED, user="bob"))["feed"]

    assert [edge["node"]["title"] for edge in first["edges"]] == ["Activity 2", "Activity 1"]
    assert (first["edges"][0]["node"]["mp"]["name"], first["edges"][0]["node"]["bill"]["number"]) == (
        "Ada Byron",
        "C-1",
    )
    assert (
        [edge["isRead"] for edge in first["edges"]],
        [edge["isRead"] for edge in again["edges"]],
        again["unreadCount"],
    ) == ([False, False], [True, False], 2)
    assert {
        "edges": [{"id": first["edges"][0]["id"], "isRead": True}],
        "readState": {"unreadCount": 2, "version": 1},
    } == (marked["markRead"])
    assert (
        [edge["node"]["title"] for edge in rest["edges"]],
        rest["pageInfo"]["hasNextPage"],
        rest["pageInfo"]["hasPreviousPage"],
    ) == (["Activity 0"], False, True)
    assert bobs["unreadCount"] == 3
    assert not {edge["id"] for edge in bobs["edges"]} & {edge["id"] for edge in first["edges"]}
    assert first["servedBy"] == "BITMAP"


async def test_everything_can_be_marked_read(ask: Asking) -> None:
    """MarkAllRead through feed.head leaves nothing unread."""
    await publish(ask.floor, 3)
    head = (await ask(FEED))["feed"]["head"]
    mark_all = "mutation ($head: Cursor!) { markAllRead(through: $head) { edges { id } readState { unreadCount } } }"

    assert (await ask(mark_all, head=head))["markAllRead"] == {"edges": [], "readState": {"unreadCount": 0}}
    assert await ask.code(mark_all, head="8000000000000-0") == "CURSOR_FROM_THE_FUTURE"


async def test_published_activity_can_be_read(ask: Asking) -> None:
    """What was published is answered at once, and found by its ID; what was refused says why."""
    good = {"type": "VOTE", "title": " Division 41 ", "metadata": {"ayes": 302}, "occurredAt": "2026-11-24T10:00:00Z"}
    published = (await ask(PUBLISH, Scope.PUBLISH, input=good))["publishActivity"]
    id_ = published["activity"]["id"]
    found = await ask("query ($id: ID!) { activity(id: $id) { title metadata } }", id=id_)
    nothing = await ask('{ activity(id: "999999") { title } }')

    assert published["activity"]["title"] == "Division 41"
    assert found["activity"] == {"title": "Division 41", "metadata": {"ayes": 302}}
    assert nothing["activity"] is None
    for wrong in (
        {"title": ""},
        {"metadata": [1]},
        {"mpId": "77"},
        {"billId": "x"},
        {"occurredAt": "2026-11-24T10:00:00"},
    ):
        refused = (await ask(PUBLISH, Scope.PUBLISH, input=good | wrong))["publishActivity"]
        assert refused["__typename"] == "ActivityRefused"
        assert refused["message"]


async def test_updates_and_health(ask: Asking) -> None:
    """The poll has events, cursors, read state and advice; health recommends what its transport says."""
    head = await publish(ask.floor, 2)
    updates = (
        await ask(
            '{ updates(since: "0-0") { cursor head hasMore readState { unreadCount } transport { mode }'
            " events { __typename cursor ... on ActivityAdded { deliveryAttempt activity { title } } } } }"
        )
    )["updates"]
    health = (await ask("{ health { healthy redis database recommendation transport { mode } } }"))["health"]

    assert (str(head), str(head), False, 2) == (
        updates["cursor"],
        updates["head"],
        updates["hasMore"],
        updates["readState"]["unreadCount"],
    )
    assert [event["activity"]["title"] for event in updates["events"]] == ["Activity 0", "Activity 1"]
    assert health["healthy"]
    assert health["recommendation"] == health["transport"]["mode"] == updates["transport"]["mode"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{ feed(first: 0) { head } }", "BAD_USER_INPUT"),
        ("{ feed(first: 101) { head } }", "BAD_USER_INPUT"),
        ('{ feed(after: "1790000000000-0") { head } }', "CURSOR_INVALID"),
        ('{ feed(filter: {mpIds: ["x"]}) { head } }', "BAD_USER_INPUT"),
        ('{ feed(filter: {types: ["NONE"]}) { head } }', "GRAPHQL_VALIDATION_FAILED"),
        ('{ updates(since: "yesterday") { head } }', "CURSOR_INVALID"),
        ('{ activity(id: "-1") { id } }', "BAD_USER_INPUT"),
        ('{ activity(id: "99999999999999999999999") { id } }', "BAD_USER_INPUT"),
        ('mutation { markRead(activityIds: ["x"]) { edges { id } } }', "BAD_USER_INPUT"),
    ],
)
async def test_wrong_input_has_its_code(ask: Asking, query: str, code: str) -> None:
    """A client can act on the code; the sentence is for people."""
    assert code == await ask.code(query)


async def test_too_many_ids_are_refused(ask: Asking) -> None:
    """Lists are bounded."""
    query = "mutation ($ids: [ID!]!) { markRead(activityIds: $ids) { edges { id } } }"

    assert await ask.code(query, ids=[str(k) for k in range(1, 502)]) == "BAD_USER_INPUT"


def argument(type_: Any) -> str:
    """Some value of an input type."""
    if isinstance(type_, GraphQLNonNull):
        return argument(type_.of_type)
    if is_list_type(type_):
        return f"[{argument(type_.of_type)}]"
    if is_enum_type(type_):
        return str(next(iter(type_.values)))
    if is_input_object_type(type_):
        required = {name: field for name, field in type_.fields.items() if isinstance(field.type, GraphQLNonNull)}
        return "{" + ", ".join(f"{name}: {argument(field.type)}" for name, field in required.items()) + "}"
    assert isinstance(type_, GraphQLScalarType)
    return {"Cursor": '"0-0"', "Int": "1", "ID": '"1"', "Boolean": "true", "String": '"x"'}[type_.name]


async def test_every_root_field_refuses_a_viewer_without_its_scope(ask: Asking) -> None:
    """By construction: a new field that forgets its check fails here."""
    graphql = ask.schema._schema
    checked = []
    for operation, type_ in (("query", graphql.query_type), ("mutation", graphql.mutation_type)):
        assert type_ is not None
        for name, field in type_.fields.items():
            needed = [f"{k}: {argument(a.type)}" for k, a in field.args.items() if isinstance(a.type, GraphQLNonNull)]
            call = f"{name}({', '.join(needed)})" if needed else name
            other = Scope.READ if name == "publishActivity" or "eadLetter" in name else Scope.PUBLISH
            assert await ask.code(f"{operation} {{ {call} {{ __typename }} }}", other) == "FORBIDDEN", name
            checked.append(name)
    context = Context(viewer=viewer("ada", Scope.OPS), services=ask.floor.services)
    results: Any = await ask.schema.subscribe("subscription { activityAdded { cursor } }", context_value=context)
    [error] = [error for result in [one async for one in results] for error in result.errors]
    assert error.extensions["code"] == "FORBIDDEN"
    assert {"feed", "acknowledge", "deadLetters", "redriveDeadLetter", "publishActivity"} <= set(checked)
