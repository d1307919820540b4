"""Doing for each shard what one that is away must not keep from the others."""

from collections.abc import Awaitable, Iterable
from typing import TypeVar

from streams.errors import StreamsUnavailable

T = TypeVar("T")


async def in_each(duties: Iterable[Awaitable[T]]) -> list[T]:
    """Await one after the other; raise the last StreamsUnavailable when all have been tried."""
    done: list[T] = []
    failed: StreamsUnavailable | None = None
    for duty in duties:
        try:
            done.append(await duty)
        except StreamsUnavailable as error:
            failed = error
    if failed is not None:
        raise failed
    return done
