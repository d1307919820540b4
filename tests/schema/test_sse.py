"""What is written on the wire, and which form of answer an Accept header asks for."""

from datetime import timedelta

import orjson
import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st
from strawberry.types import ExecutionResult

from schema import sse
from schema.accept import EVENT_STREAM, GRAPHQL_JSON, HTML, JSON, RESPONSES, preferred
from schema.refusals import HttpRefusal
from schema.requests import Operation, parse_operation


def test_event_with_and_without_a_cursor() -> None:
    """The cursor is the event's id; what has none has no id line, so the browser keeps the one before."""
    result = ExecutionResult(data={"n": 1}, errors=None)

    assert sse.encode_event(result, "1763-0") == b'id: 1763-0\nevent: next\ndata: {"data":{"n":1}}\n\n'
    assert sse.encode_event(result, None) == b'event: next\ndata: {"data":{"n":1}}\n\n'


def test_result_that_was_not_executed_has_no_data_key() -> None:
    """The specification tells a request error from a null by the absence of `data`."""
    refused = ExecutionResult(data=None, errors=[GraphQLError("No.")])
    nothing = ExecutionResult(data=None, errors=[GraphQLError("No.", path=["n"])])

    assert sse.encode_event(refused, None) == b'event: next\ndata: {"errors":[{"message":"No."}]}\n\n'
    assert b'"data":null' in sse.encode_event(nothing, None)


@given(st.text())
def test_any_text_is_one_line_of_data(text: str) -> None:
    """No content can end an event early or forge another one."""
    frame = sse.encode_next({"data": {"text": text}})

    head, data, *rest = frame.split(b"\n")
    assert (head, rest) == (b"event: next", [b"", b""])
    assert orjson.loads(data.removeprefix(b"data: ")) == {"data": {"text": text}}
    assert b"\r" not in frame


def test_comment_cannot_become_an_event() -> None:
    """Whatever a reason says, it stays one line that parsers skip."""
    forged = "over\n\nevent: complete\r\ndata:\n\n"

    assert sse.encode_comment(forged) == b": over event: complete data:\n\n"
    assert sse.encode_opening(timedelta(seconds=1.5), forged) == b": over event: complete data:\nretry: 1500\n\n"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", EVENT_STREAM),
        ("TEXT/Event-Stream", EVENT_STREAM),
        ("text/event-stream, application/json", EVENT_STREAM),
        ("application/json, text/event-stream", JSON),
        ("application/json;q=0.8, text/event-stream;q=0.9", EVENT_STREAM),
        ("*/*, text/event-stream", JSON),
        ("text/event-stream, */*;q=0.1", EVENT_STREAM),
        ("text/event-stream;q=0", None),
        ("text/event-stream;q=0, */*;q=0.1", JSON),
        ("application/*;q=0, */*", EVENT_STREAM),
        ("application/json; charset=utf-8; q=0.5, application/graphql-response+json;q=0.6", GRAPHQL_JSON),
        ("application/json;q=nonsense", JSON),
        ("application/json;q=nan", JSON),
        ("image/png", None),
        ("nonsense", None),
        (",;,", None),
    ],
)
def test_accept_is_read_as_its_specification_says(accept: str | None, chosen: str | None) -> None:
    """Weight first, then the client's order, then ours; the most specific range counts, and q=0 is a refusal."""
    assert preferred(accept, RESPONSES) == chosen


@given(st.text(alphabet="application/jsontextevent-stream*;q=0.19, ", max_size=80))
def test_no_accept_header_is_a_fault(accept: str) -> None:
    """Whatever a client sends, the answer is one of the offers or none."""
    assert preferred(accept, (*RESPONSES, HTML)) in {*RESPONSES, HTML, None}


@pytest.mark.parametrize("name", [0, False, 1.5, [], {}])
def test_operation_name_that_is_no_string_is_refused(name: object) -> None:
    """False and 0 are wrong as well, not absent."""
    with pytest.raises(HttpRefusal, match="operationName"):
        parse_operation({"query": "{ a }", "operationName": name})


def test_empty_operation_name_is_none() -> None:
    """A form that always sends the field means no operation by it."""
    assert parse_operation({"query": "{ a }", "operationName": ""}) == Operation("{ a }")
