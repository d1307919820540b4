"""Loads and their figures."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import quantiles
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Figure:
    """One load: requests a second, and milliseconds of the median and the slowest twentieth."""

    per_second: float
    p50: float
    p95: float


async def load(ask: Callable[[int], Awaitable[object]], *, at_once: int, seconds: float) -> Figure:
    """Have `at_once` askers call `ask(k)` for some seconds; k counts up over all of them."""
    took: list[float] = []
    counter = iter(range(10**9))
    until = time.perf_counter() + seconds

    async def asker() -> None:
        while (start := time.perf_counter()) < until:
            await ask(next(counter))
            took.append((time.perf_counter() - start) * 1_000)

    start = time.perf_counter()
    await asyncio.gather(*(asker() for _ in range(at_once)))
    cuts = quantiles(took, n=20)
    return Figure(len(took) / (time.perf_counter() - start), cuts[9], cuts[18])


class Poster:
    """A connection that posts prepared requests and reads answers by their length: 20 us a request, httpx takes 500."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def connect(self, count: int) -> None:
        """Open connections."""
        for _ in range(count):
            pair = await asyncio.open_connection(self._url.hostname, self._url.port, limit=2**20)
            self._free.put_nowait(pair)

    def request(self, body: bytes, headers: dict[str, str]) -> bytes:
        """The bytes of a POST of JSON."""
        head = {"Host": "localhost", "Content-Type": "application/json", "Accept": "application/json", **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**head, "Content-Length": str(len(body))}.items())
        return f"POST {self._url.path} HTTP/1.1\r\n{lines}\r\n".encode() + body

    async def post(self, request: bytes) -> bytes:
        """Send one, return the body of its answer. Raises RuntimeError for any status but 200."""
        reader, writer = pair = await self._free.get()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        self._free.put_nowait(pair)
        if b" 200 " not in head[:16]:
            raise RuntimeError(f"{head[:100]!r} {body[:200]!r}")
        return body

    def close(self) -> None:
        """Close what is free."""
        while not self._free.empty():
            self._free.get_nowait()[1].close()
