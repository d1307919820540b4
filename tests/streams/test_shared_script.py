"""Scripts that many ask at once."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from streams.connection import Call, Script, SharedScript, connect
from streams.errors import StreamsUnavailable
from tests.support.waiting import wait_until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A script that counts its runs, and fails when it is told to."""
    (tmp_path / "common.lua").write_text("")
    (tmp_path / "echo.lua").write_text(
        "redis.call('INCR', KEYS[1]) if ARGV[1] == 'fail' then return redis.error_reply('told so') end return ARGV[1]"
    )
    return tmp_path


async def test_calls_at_once_share_round_trips(redis: Redis, folder: Path) -> None:
    """Each gets its own answer; what comes while one round trip is under way goes with the next."""
    pipelines = []
    script = Script(redis, "echo", folder=folder)
    run = script.all

    async def counted(calls: Sequence[Call]) -> list[Any]:
        pipelines.append(len(calls))
        return await run(calls)

    script.all = counted  # type: ignore[method-assign]
    shared = SharedScript(script, name="echo")

    answers = await asyncio.gather(*(shared(keys=["runs"], args=[k]) for k in range(20)))

    assert [b"%d" % k for k in range(20)] == answers
    assert sum(pipelines) == 20
    assert len(pipelines) <= 2
    assert await redis.get("runs") == b"20"


async def test_server_that_forgot_the_script_is_told_again(redis: Redis, folder: Path) -> None:
    """After a restart each call still runs once."""
    shared = SharedScript(Script(redis, "echo", folder=folder), name="echo")
    for runs in (3, 6):
        await redis.script_flush()
        assert await asyncio.gather(*(shared(keys=["runs"], args=[k]) for k in range(3))) == [b"0", b"1", b"2"]
        assert await redis.get("runs") == b"%d" % runs


async def test_call_that_fails_fails_alone(redis: Redis, folder: Path) -> None:
    """Its error is translated; those that went with it have their answers."""
    shared = SharedScript(Script(redis, "echo", folder=folder), name="echo")

    answers = await asyncio.gather(
        *(shared(keys=["runs"], args=[what]) for what in ("a", "fail", "b")), return_exceptions=True
    )

    assert (answers[0], answers[2]) == (b"a", b"b")
    assert isinstance(answers[1], StreamsUnavailable)


async def test_redis_that_is_away_is_told_to_each(folder: Path) -> None:
    """All who asked learn it."""
    dead = connect("redis://127.0.0.1:9/0")
    shared = SharedScript(Script(dead, "echo", folder=folder), name="echo")

    answers = await asyncio.gather(*(shared(keys=["runs"], args=[k]) for k in range(3)), return_exceptions=True)
    await dead.aclose()

    assert [type(answer) for answer in answers] == [StreamsUnavailable] * 3


async def test_who_waits_behind_a_silent_redis_waits_no_longer(folder: Path) -> None:
    """One time-out for all who ask meanwhile; who asks afterwards has one of its own."""
    asked: list[int] = []

    class Silent(Script):
        """Answers nothing until it is told to."""

        async def all(self, calls: Sequence[Call]) -> list[Any]:
            asked.append(len(calls))
            await released.wait()
            raise StreamsUnavailable("silent")

    released = asyncio.Event()
    shared = SharedScript(Silent(connect("redis://127.0.0.1:9/0"), "echo", folder=folder), name="echo")
    first = asyncio.create_task(shared(keys=[], args=[]))
    await wait_until(lambda: asked == [1], description="the first is under way")
    others = [asyncio.create_task(shared(keys=[], args=[])) for _ in range(5)]
    await asyncio.sleep(0)
    released.set()

    answers = await asyncio.gather(first, *others, return_exceptions=True)
    with pytest.raises(StreamsUnavailable):
        await shared(keys=[], args=[])

    assert [type(answer) for answer in answers] == [StreamsUnavailable] * 6
    assert asked == [1, 1]


async def test_caller_that_leaves_takes_nobody_along(redis: Redis, folder: Path) -> None:
    """A client that disconnects while its look-up is under way is the only one without an answer."""
    shared = SharedScript(Script(redis, "echo", folder=folder), name="echo")
    leaving, staying = (asyncio.create_task(shared(keys=["runs"], args=[k])) for k in "ab")
    await asyncio.sleep(0)
    leaving.cancel()

    assert await staying == b"b"
    assert leaving.cancelled() or leaving.cancelling()
