"""What goes over the wire, the same for every server: the subscription, and an activity of about 450 bytes a frame."""

import json
import time
from collections.abc import Mapping
from typing import Any

SUBSCRIPTION = """
subscription ($since: Cursor, $filter: ActivityFilter, $subscriber: ID) {
  activityAdded(since: $since, filter: $filter, subscriber: $subscriber) {
    __typename
    cursor
    ... on ActivityAdded {
      publishedAt deliveryAttempt
      activity { id type title mp { id name party riding } bill { id number title } }
    }
    ... on StreamNotice { kind }
  }
}
"""
MP = {"id": "1", "name": "Augusta Ada Byron", "party": "Independent", "riding": "Ealing North"}
BILL = {"id": "1", "number": "C-7", "title": "An Act to amend the Standing Orders"}
HELLO = '"HELLO"'
ROOM_FOR_CURSOR = " " * 40
"""Behind `"since":null`: the load client writes a cursor there without changing the length of the request."""


def title(sequence: int) -> str:
    """A title that says which activity it is and when it was published, as the load client reads it."""
    return f"Second reading, division called @@{sequence}:{time.time_ns() // 1_000}@"


def activity(sequence: int) -> dict[str, Any]:
    """An activity as servers without a database of their own hold it."""
    return {"id": str(sequence), "type": "VOTE", "title": title(sequence), "mp": MP, "bill": BILL}


def event(sequence: int) -> dict[str, Any]:
    """The object that `activityAdded` shows."""
    return {
        "__typename": "ActivityAdded",
        "cursor": f"1795527974982-{sequence}",
        "publishedAt": "2026-11-27T14:00:00.000000+00:00",
        "deliveryAttempt": 1,
        "activity": activity(sequence),
    }


def data(sequence: int) -> bytes:
    """The data of an event, for servers that only pass bytes on."""
    return json.dumps({"data": {"activityAdded": event(sequence)}}, separators=(",", ":")).encode()


def subscribe(
    *,
    token: str = "",
    subscriber: str | None = None,
    query: str = SUBSCRIPTION,
    variables: Mapping[str, Any] | None = None,
) -> bytes:
    """The HTTP request that opens `activityAdded`."""
    others = json.dumps({"subscriber": subscriber, **(variables or {})})[1:]
    body = f'{{"query":{json.dumps(query)},"variables":{{"since":null{ROOM_FOR_CURSOR},{others}}}'.encode()
    return (
        b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: text/event-stream\r\n"
        b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s" % (token.encode(), len(body), body)
    )
