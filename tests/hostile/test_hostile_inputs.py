"""Hundreds of hostile inputs, each with the answer it gets, against a real server."""

import asyncio

import psutil
import pytest

from tests.hostile import operations, over_http, tokens
from tests.hostile.wire import Hostile, exchange, request
from tests.support.server import ServerProcess

FINE = request(body=over_http.FINE)
MAY_GROW = 48 * 1024 * 1024
"""Bytes over the second run of all: caches are full after the first."""


def everything() -> list[Hostile]:
    """The whole table, by what it attacks."""
    tables = (
        over_http.methods, over_http.targets, over_http.heads, over_http.media, over_http.bodies,
        tokens.forged, tokens.claimed, tokens.carried,
        operations.documents, operations.values, operations.changes, operations.rights,
    )  # fmt: skip
    return [one for table in tables for one in table()]


async def wrong_answers(url: str, inputs: list[Hostile]) -> list[str]:
    """What was answered otherwise than expected, the request after each one included."""
    wrong = []
    for one in inputs:
        answer = await exchange(url, one.raw)
        if (answer.status, answer.code) != (one.status, one.code):
            wrong.append(
                f"{one.name}: {answer.status} {answer.code}, not {one.status} {one.code}: {answer.body[:300]!r}"
            )
        after = await exchange(url, FINE)
        if after.status != 200:
            wrong.append(f"{one.name}: the next request got {after.status}")
    return wrong


def memory(server: ServerProcess) -> int:
    """Resident bytes."""
    return int(psutil.Process(server.pid).memory_info().rss)


@pytest.mark.timeout(300)
async def test_every_hostile_input_gets_its_answer_and_costs_nothing_that_stays(server: ServerProcess) -> None:
    """Each input has its status and code, the next request is served, and a second run of all needs no more memory."""
    inputs = everything()
    names = [one.name for one in inputs]

    assert len(set(names)) == len(names) >= 200
    wrong = await wrong_answers(server.url, inputs)
    assert not wrong, "\n".join(wrong)
    before = memory(server)
    await asyncio.gather(*(exchange(server.url, one.raw) for one in inputs))

    assert memory(server) - before < MAY_GROW
    assert "Traceback" not in server.output
