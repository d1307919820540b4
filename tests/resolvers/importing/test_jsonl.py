"""JSON lines."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from resolvers.activities import ActivityType
from resolvers.importing import jsonl
from resolvers.importing.records import ActivityRecord, BillRecord, ImportRefused, MpRecord

LINE: dict[str, Any] = {
    "source": "gazette",
    "id": "2026-118",
    "type": "BILL_PROGRESS",
    "title": "Bees Bill",
    "occurred_at": "2026-11-24T15:04:05Z",
}


def lines(*changes: dict[str, Any]) -> bytes:
    """A file with a line for each change of LINE."""
    return b"\n".join(orjson.dumps(LINE | change) for change in changes)


def test_line_becomes_a_record() -> None:
    """Every key of the format has its place."""
    more = {
        "summary": "s",
        "url": "https://example.org/1",
        "mp": {"name": "Ada Byron", "riding": "Ealing North", "party": "Ind."},
        "bill": {"number": "C-7"},
        "metadata": {"page": 12},
    }

    records, problems = jsonl.read(lines(more))

    assert problems == []
    assert [
        ActivityRecord(
            source_id="gazette:2026-118",
            type=ActivityType.BILL_PROGRESS,
            title="Bees Bill",
            occurred_at=datetime(2026, 11, 24, 15, 4, 5, tzinfo=UTC),
            summary="s",
            url="https://example.org/1",
            mp=MpRecord("Ada Byron", "Ealing North", "Ind."),
            bill=BillRecord("C-7", "C-7"),
            metadata={"page": 12},
        )
    ] == records


def test_empty_lines_are_passed_over() -> None:
    """A file may end with a newline, and have blank lines between."""
    assert len(jsonl.read(b"\xef\xbb\xbf" + lines({}) + b"\n\n" + lines({"id": "2"}) + b"\n")[0]) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "nothing in it"),
        (b"{", "line 1: not JSON"),
        (lines({}) + b"\n[1]", "line 2: 'the line'"),
        (lines({"titel": "x"}), "did you mean 'title'"),
        (
            lines({"mp": {"name": "A", "ridding": "B"}}),
            "'mp.ridding' is not a key of this format; did you mean 'riding'",
        ),
        (lines({"title": ""}), "'title'"),
        (lines({"title": "a\x00b"}), "'title'"),
        (lines({"id": "a\x00b"}), "'id'"),
        (lines({"summary": "a\x00b"}), "'summary'"),
        (lines({"metadata": {"a": ["\\\x00"]}}), "'metadata': .* U\\+0000"),
        (lines({"metadata": {"a\x00": 1}}), "'metadata': .* U\\+0000"),
        (lines({"metadata": {"a": "é" * 33_000}}), "'metadata': .*larger than 65536"),
        (lines({"occurred_at": "0999-12-31T00:00:00Z"}), "'occurred_at': .*years 1000 and 9999"),
        (lines({"occurred_at": "0001-01-01T00:00:00+05:00"}), "'occurred_at': .*years 1000 and 9999"),
        (lines({"occurred_at": "2026-11-24T15:04:05"}), "timezone"),
        (lines({"url": "javascript:alert(1)"}), "'url'"),
        (lines({"source": "No Spaces"}), "'source'"),
        (lines({}, {}), "line 2: 'gazette:2026-118' stands on line 1 already"),
    ],
)
def test_line_that_is_not_as_described_refuses_the_file(content: bytes, reason: str) -> None:
    """The message names the line, the key and what to do."""
    with pytest.raises(ImportRefused, match=reason.replace("[", r"\[")):
        jsonl.read(content)


def test_backslash_before_u0000_is_no_null() -> None:
    """Metadata may spell the escape out, as a text about JSON would."""
    [record], _ = jsonl.read(lines({"metadata": {"a": "\\u0000"}}))

    assert record.metadata == {"a": "\\u0000"}


@pytest.mark.parametrize("depth", [300, 1_000])
def test_metadata_nested_too_deeply_is_refused_by_line(depth: int) -> None:
    """What could be read but not written again is refused before the database sees it."""
    nested = b"[" * depth + b"]" * depth
    line = (
        b'{"source":"a","id":"1","type":"SPEECH","title":"t","occurred_at":"2026-01-01T00:00:00Z","metadata":{"a":%s}}'
    )

    with pytest.raises(ImportRefused, match=r"line 1: 'metadata'.*nested too deeply"):
        jsonl.read(line % nested)
