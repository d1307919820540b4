"""Where sources come from."""

import http.server
import io
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from resolvers.importing import fetching
from resolvers.importing.records import ImportRefused


class Answers(http.server.BaseHTTPRequestHandler):
    """Has one page, one that breaks off, and one that is not HTTP."""

    def do_GET(self) -> None:
        """200 for /here, else 404."""
        if self.path == "/garbage":
            self.wfile.write(b"garbage\r\n\r\n")
            return
        if self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"content")
            return
        found = self.path == "/here"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(b"content" if found else b"")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    """A web server on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_file_address_and_standard_input_are_read(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three kinds of source give their bytes."""
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"content")))
    (tmp_path / "file").write_bytes(b"content")

    assert [fetching.fetch(source) for source in (str(tmp_path / "file"), f"{address}/here", "-")] == [b"content"] * 3


def test_what_cannot_be_read_is_refused_with_its_name(address: str, tmp_path: Path) -> None:
    """A missing file or page, a folder, an answer that breaks off, and what is no address each say so."""
    for source, reason in (
        (str(tmp_path / "none"), "No such file"),
        (f"{address}/gone", "answers 404"),
        (str(tmp_path), "cannot read"),
        (f"{address}/short", "broke off after 7 of 1000 bytes"),
        (f"{address}/garbage", "cannot read .*garbage"),
        (f"{address}/a b", "cannot read"),
        ("http://[", "cannot read"),
        ("a\0b", "cannot read .*null"),
    ):
        with pytest.raises(ImportRefused, match=reason):
            fetching.fetch(source)


def test_what_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over the limit is not read into memory whole."""
    monkeypatch.setattr(fetching, "LARGEST", 10)
    (tmp_path / "file").write_bytes(b"x" * 11)

    with pytest.raises(ImportRefused, match="larger than"):
        fetching.fetch(str(tmp_path / "file"))
