"""The bytes of a file, an address or standard input."""

import sys
import urllib.error
import urllib.request
from datetime import timedelta
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO

from resolvers.importing.records import ImportRefused

LARGEST = 50 * 1024 * 1024
"""Bytes; the longest sittings are about 3 MB."""
WITHIN = timedelta(seconds=30)


def fetch(source: str) -> bytes:
    """All of `source`: a path, an http(s) address, or `-`. Raises ImportRefused."""
    try:
        if source == "-":
            return _read(sys.stdin.buffer, source)
        if source.lower().startswith(("http://", "https://")):
            request = urllib.request.Request(source, headers={"User-Agent": "divisionbell-import"})  # noqa: S310 - http(s)
            with urllib.request.urlopen(request, timeout=WITHIN.total_seconds()) as answer:  # noqa: S310 - http(s)
                return _whole(answer, _read(answer, source), source)
        with Path(source).open("rb") as file:
            return _read(file, source)
    except urllib.error.HTTPError as error:
        raise ImportRefused(f"{source} answers {error.code} {error.reason}: check the address") from error
    except OSError as error:
        raise ImportRefused(f"cannot read {source}: {error.strerror or error}") from error
    except (HTTPException, ValueError) as error:
        # What is no address, no path or no HTTP: an unclosed bracket, a space, a null character, garbage for an answer.
        raise ImportRefused(f"cannot read {source!r}: {str(error).strip() or type(error).__name__}") from error


def _whole(answer: HTTPResponse, content: bytes, source: str) -> bytes:
    # http.client takes a connection that ends early for the end of the file, whatever length was announced.
    announced = answer.headers.get("Content-Length", "")
    if announced.isdecimal() and len(content) < int(announced):
        raise ImportRefused(f"{source} broke off after {len(content)} of {announced} bytes: try again")
    return content


def _read(file: BinaryIO, source: str) -> bytes:
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ImportRefused(f"{source} is larger than {LARGEST // 1024 // 1024} MB: split it")
    return content
