"""Trusted documents: named by hash, as the two conventions of clients do, and required where that is set."""

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from schema.documents import TrustedDocuments
from schema.refusals import HttpRefusal
from schema.requests import DEEPEST_JSON, LONGEST_LIST, parse_operation

TEXT = "{ health { redis } }"
OTHER = "{ health { database } }"
HASH = hashlib.sha256(TEXT.encode()).hexdigest()
UNKNOWN = hashlib.sha256(OTHER.encode()).hexdigest()
OPEN = TrustedDocuments({HASH: TEXT})
ONLY = TrustedDocuments({HASH: TEXT}, only=True)


def apollo(name: object) -> dict[str, Any]:
    """The extensions that Apollo's persisted queries send."""
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": name}}}


@pytest.mark.parametrize("documents", [OPEN, ONLY])
@pytest.mark.parametrize(
    "request_",
    [
        {"documentId": f"sha256:{HASH}"},
        {"documentId": HASH},
        apollo(HASH),
        apollo(HASH) | {"query": TEXT},
        {"query": TEXT},
    ],
)
def test_document_is_found_by_its_hash(documents: TrustedDocuments, request_: dict[str, Any]) -> None:
    """However a client names it, with its text or without."""
    assert parse_operation(request_, documents).query == TEXT


@pytest.mark.parametrize(
    ("documents", "request_", "code"),
    [
        (OPEN, {"documentId": f"sha256:{UNKNOWN}"}, "PERSISTED_QUERY_NOT_FOUND"),
        (OPEN, apollo(UNKNOWN), "PERSISTED_QUERY_NOT_FOUND"),
        (OPEN, apollo(UNKNOWN) | {"query": TEXT}, "BAD_REQUEST"),
        (OPEN, apollo(HASH) | {"query": OTHER}, "BAD_REQUEST"),
        (OPEN, {"documentId": "sha256:short"}, "BAD_REQUEST"),
        (OPEN, {"documentId": 7}, "BAD_REQUEST"),
        (OPEN, apollo(["x"]), "BAD_REQUEST"),
        (OPEN, {"query": None}, "BAD_REQUEST"),
        (ONLY, {"query": OTHER}, "DOCUMENT_NOT_TRUSTED"),
        (ONLY, {"query": [TEXT]}, "DOCUMENT_NOT_TRUSTED"),
        (ONLY, {}, "DOCUMENT_NOT_TRUSTED"),
        (ONLY, apollo(UNKNOWN) | {"query": OTHER}, "PERSISTED_QUERY_NOT_FOUND"),
    ],
)
def test_what_is_not_known_is_refused(documents: TrustedDocuments, request_: dict[str, Any], code: str) -> None:
    """With a code that Apollo's clients act upon, by sending the text, where texts are taken."""
    with pytest.raises(HttpRefusal) as refused:
        parse_operation(request_, documents)

    assert (refused.value.status, refused.value.code) == (400, code)


def test_text_with_a_new_hash_is_executed_where_texts_are(tmp_path: Path) -> None:
    """An Apollo client sends both after it was told that the hash is unknown."""
    assert parse_operation(apollo(UNKNOWN) | {"query": OTHER}, OPEN).query == OTHER


def test_file_of_a_code_generator_is_read(tmp_path: Path) -> None:
    """With or without the name of the hash before it."""
    path = tmp_path / "documents.json"
    path.write_bytes(orjson.dumps({HASH: TEXT, f"sha256:{UNKNOWN}": OTHER}))

    assert sorted(TrustedDocuments.load(path, only=True)) == sorted([TEXT, OTHER])


@pytest.mark.parametrize("content", [b"", b"[]", b'{"x": 7}', orjson.dumps({UNKNOWN: TEXT}), b'{"x": "{ a }"}'])
def test_server_does_not_start_with_another_file(tmp_path: Path, content: bytes) -> None:
    """What cannot be read, or has a hash that is not its text's, is told in a sentence that names the setting."""
    path = tmp_path / "documents.json"
    path.write_bytes(content)

    with pytest.raises(ValueError, match="TRUSTED_DOCUMENTS: "):
        TrustedDocuments.load(path, only=False)


def test_limits_on_the_shape_of_a_request() -> None:
    """The deepest and the longest that are taken, and one more of each."""
    from schema.requests import _decode

    def deep(levels: int) -> bytes:
        return b'{"variables":' * (levels - 1) + b"[]" + b"}" * (levels - 1)

    def long(entries: int) -> bytes:
        return orjson.dumps({"variables": {"ids": list(range(entries))}})

    assert _decode(deep(DEEPEST_JSON), what="It")
    assert _decode(long(LONGEST_LIST), what="It")
    for excess, told in ((deep(DEEPEST_JSON + 1), "levels deep"), (long(LONGEST_LIST + 1), "entries")):
        with pytest.raises(HttpRefusal, match=told):
            _decode(excess, what="It")
