"""Whatever comes in is read or refused by name: nothing else is raised, whatever Hypothesis thinks of."""

import asyncio
import contextlib
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from resolvers.errors import Unauthenticated
from resolvers.identity import Tokens, bearer
from resolvers.importing import hansard, jsonl
from resolvers.importing.records import ImportRefused
from schema.accept import RESPONSES, preferred
from schema.refusals import HttpRefusal
from schema.requests import read_operation
from streams.cursor import Cursor, CursorInvalid
from tests.support.server import SECRET, token

BODY_LIMIT = 4_096
TOKENS = Tokens(secret=SECRET)
GOOD = token("alice", "read publish")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.text(max_size=12), below, max_size=4),
    max_leaves=12,
)
header = st.binary(max_size=60)
requests = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST"]),
        "query_string": st.binary(max_size=80) | st.text(max_size=40).map(lambda text: b"query=" + text.encode()),
        "headers": st.lists(
            st.tuples(
                st.sampled_from([b"content-type", b"content-length", b"accept", b"last-event-id", b"traceparent"]),
                header | st.sampled_from([b"application/json", b"text/event-stream", b"\xb2", b"99999999999"]),
            ),
            max_size=5,
        ),
        "body": st.binary(max_size=200)
        | st.dictionaries(
            st.sampled_from(["query", "variables", "operationName", "extensions", "documentId"]), json_values
        ).map(orjson.dumps),
    }
)


@given(requests)
def test_any_request_is_an_operation_or_a_refusal(made: dict[str, Any]) -> None:
    """A request is read, or refused with a status of its own between 400 and 415."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": made["body"], "more_body": False}

    scope = {"type": "http", "path": "/graphql", **{name: made[name] for name in ("method", "query_string", "headers")}}
    request = Request(scope, receive)
    try:
        operation = asyncio.run(read_operation(request, body_limit=BODY_LIMIT))
    except HttpRefusal as refusal:
        assert refusal.status in {400, 413, 415}
        assert orjson.dumps(refusal.payload())
    else:
        assert operation.query.strip()


@given(st.text(max_size=80))
def test_any_accept_header_is_understood(accept: str) -> None:
    """What a client accepts is one of our media types, or none of them."""
    assert preferred(accept, RESPONSES) in {None, *RESPONSES}


@given(st.text(max_size=60) | st.binary(max_size=60) | st.from_regex(r"\d{1,14}-\d{1,8}", fullmatch=True))
def test_any_text_is_a_cursor_that_is_written_the_same_or_none(text: str | bytes) -> None:
    """No two texts are the same cursor, and nothing but CursorInvalid is raised."""
    with contextlib.suppress(CursorInvalid):
        assert str(Cursor.parse(text)) == (text if isinstance(text, str) else text.decode("ascii"))


@given(st.integers(0, len(GOOD) - 1), st.characters(codec="latin-1"))
def test_a_token_with_any_character_changed_says_the_same_or_counts_no_longer(place: int, letter: str) -> None:
    """Only the last characters of base64, whose spare bits mean nothing, may differ; nobody becomes somebody else."""
    changed = GOOD[:place] + letter + GOOD[place + 1 :]
    with contextlib.suppress(Unauthenticated):
        viewer = asyncio.run(TOKENS.read(bearer(f"Bearer {changed}")))
        assert (viewer.user, viewer.scopes) == ("alice", asyncio.run(TOKENS.read(GOOD)).scopes)


@given(st.text(max_size=200) | st.lists(st.text("abc=_-.AZ09", max_size=30), max_size=5).map(".".join))
def test_any_authorization_is_refused_as_unauthenticated(text: str) -> None:
    """What is no token of ours ends in Unauthenticated, never in another exception."""
    with contextlib.suppress(Unauthenticated):
        asyncio.run(TOKENS.read(bearer(text)))
        raise AssertionError(f"{text!r} counted")
    with contextlib.suppress(Unauthenticated):
        asyncio.run(TOKENS.read(bearer(f"Bearer {text}")))
        raise AssertionError(f"{text!r} counted")


LINE = {"source": "a", "id": "1", "type": "VOTE", "title": "t", "occurred_at": "2026-11-24T15:04:05Z"}
lines = st.lists(
    st.binary(max_size=60)
    | json_values.map(orjson.dumps)
    | st.dictionaries(st.sampled_from([*LINE, "summary", "url", "mp", "bill", "metadata"]), json_values).map(
        lambda change: orjson.dumps(LINE | change)
    ),
    max_size=4,
).map(b"\n".join)


@given(lines)
def test_any_lines_are_records_or_refused(content: bytes) -> None:
    """JSON lines are read whole or refused by a sentence that names a line."""
    try:
        records, _ = jsonl.read(content)
    except ImportRefused as refused:
        assert str(refused)
    else:
        assert records


TAGS = ["Hansard", "ExtractedInformation", "ExtractedItem", "HansardBody", "OrderOfBusiness", "SubjectOfBusiness"]
TAGS += [
    "Intervention",
    "PersonSpeaking",
    "Affiliation",
    "Content",
    "ParaText",
    "Timestamp",
    "FloorLanguage",
    "CatchLine",
]
attributes = st.dictionaries(
    st.sampled_from(["id", "Hr", "Mn", "Name", "Type", "DbId", "language", "Rubric"]),
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters='<&"\ufffe\uffff'), max_size=8
    ),
    max_size=3,
)
xml = st.recursive(
    st.text("abc 0129:,-", max_size=12),
    lambda below: st.builds(
        lambda tag, given, inside: (
            f"<{tag}" + "".join(f' {name}="{value}"' for name, value in given.items()) + f">{''.join(inside)}</{tag}>"
        ),
        st.sampled_from(TAGS),
        attributes,
        st.lists(below, max_size=4),
    ),
    max_leaves=25,
)
FACTS = (
    '<ExtractedInformation><ExtractedItem Name="ParliamentNumber">45</ExtractedItem>'
    '<ExtractedItem Name="SessionNumber">1</ExtractedItem><ExtractedItem Name="MetaNumberNumber">7</ExtractedItem>'
    '<ExtractedItem Name="MetaDateNumYear">2026</ExtractedItem><ExtractedItem Name="MetaDateNumMonth">11</ExtractedItem>'
    '<ExtractedItem Name="MetaDateNumDay">24</ExtractedItem></ExtractedInformation>'
)


@given(xml | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")), st.booleans())
def test_any_sitting_is_records_or_refused(body: str, with_facts: bool) -> None:
    """XML of whatever shape is read, with what was left out, or refused by a sentence."""
    try:
        records, problems = hansard.read(f"<Hansard>{FACTS if with_facts else ''}{body}</Hansard>".encode())
    except ImportRefused as refused:
        assert str(refused)
    else:
        assert records
        assert all(problem.what for problem in problems)


def bombs() -> dict[str, str]:
    """XML that means more than it says."""
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return {
        "a billion laughs": f'<!DOCTYPE Hansard [<!ENTITY l0 "ha">{laughs}]><Hansard>&l9;</Hansard>',
        "quadratic blow-up": f'<!DOCTYPE Hansard [<!ENTITY a "{"a" * 50_000}">]><Hansard>{"&a;" * 5_000}</Hansard>',
        "a file": '<!DOCTYPE Hansard [<!ENTITY f SYSTEM "file:///etc/passwd">]><Hansard>&f;</Hansard>',
        "an address": '<!DOCTYPE Hansard [<!ENTITY f SYSTEM "http://127.0.0.1:9/">]><Hansard>&f;</Hansard>',
        "a foreign definition": '<!DOCTYPE Hansard SYSTEM "http://127.0.0.1:9/x.dtd"><Hansard/>',
        "a parameter entity": '<!DOCTYPE Hansard [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]><Hansard/>',
        "100,000 levels": "<Hansard>" + "<a>" * 100_000 + "</a>" * 100_000 + "</Hansard>",
        "no end": "<Hansard>" + "<a>" * 1_000,
    }


def test_bombs_of_xml_are_refused() -> None:
    """Entities, foreign files and endless depth are refused before anything is expanded or fetched."""
    for name, content in bombs().items():
        try:
            hansard.read(content.encode())
        except ImportRefused:
            continue
        raise AssertionError(f"{name} was read")
