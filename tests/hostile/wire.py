"""Requests written byte by byte, and what comes back: a client library would mend what is to be wrong here."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import orjson

from tests.support.server import token

LONGEST_ANSWER = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hostile:
    """Bytes for one connection, and the answer they get: its status, and `extensions.code` of its first error.

    Status None: the connection ends without an answer. Code None: the answer has no errors, or is no JSON.
    """

    name: str
    raw: bytes
    status: int | None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole HTTP answer; status None if there was none."""

    status: int | None
    body: bytes

    @property
    def code(self) -> str | None:
        """`extensions.code` of the first error, or ActivityRefused, which is data."""
        try:
            errors = orjson.loads(self.body).get("errors")
        except (orjson.JSONDecodeError, AttributeError):
            return None
        if errors:
            return str(errors[0].get("extensions", {}).get("code"))
        return "ActivityRefused" if b'"ActivityRefused"' in self.body else None

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Cut the first answer out of the bytes of a connection."""
        head, _, body = raw.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 "):
            return cls(None, raw)
        return cls(int(head[9:12]), body)


async def exchange(url: str, raw: bytes, *, within: float = 20.0) -> Answer:
    """Send the bytes on a connection of their own, and read to its end."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    received = bytearray()
    try:
        async with asyncio.timeout(within):
            sending = asyncio.create_task(_send(writer, raw), name="hostile bytes")
            try:
                while len(received) < LONGEST_ANSWER and (some := await reader.read(65_536)):
                    received += some
            except ConnectionError:
                pass  # cut while we were sending: what had arrived is the answer
            await sending
    finally:
        writer.close()
    return Answer.read(bytes(received))


async def _send(writer: asyncio.StreamWriter, raw: bytes) -> None:
    try:
        writer.write(raw)
        await writer.drain()
    except ConnectionError:
        pass  # refused before all was sent, as it should be


def request(
    method: str = "POST",
    target: str | bytes = "/graphql",
    *,
    headers: Mapping[str, str | bytes] | None = None,
    body: bytes = b"",
    user: str | None = "alice",
    scope: str = "read",
) -> bytes:
    """One request that asks for the connection to be closed. A header given as b"" is left out."""
    fields: dict[str, str | bytes] = {
        "Host": "division-bell.test",
        "Connection": "close",
        "Accept": "application/graphql-response+json",
        **({"Authorization": f"Bearer {token(user, scope)}"} if user else {}),
        **({"Content-Type": "application/json", "Content-Length": str(len(body))} if method == "POST" else {}),
        **(headers or {}),
    }
    lines = [b"%s: %s" % (name.encode(), _bytes(value)) for name, value in fields.items() if value != b""]
    return b"\r\n".join([b"%s %s HTTP/1.1" % (method.encode(), _bytes(target)), *lines, b"", body])


def operation(query: str, variables: object = None, *, scope: str = "read", **more: Any) -> bytes:
    """A POST of one operation."""
    fields = {"query": query, **({} if variables is None else {"variables": variables}), **more}
    return request(body=orjson.dumps(fields), scope=scope)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
