"""Asking for many at once."""

import asyncio
from collections.abc import Sequence

import pytest

from streams.together import Together


class Answering:
    """Keeps the batches it was asked; answers when `open` is set."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, questions: Sequence[int]) -> Sequence[str]:
        self.batches.append(list(questions))
        self.begun.set()
        await self.open.wait()
        if 13 in questions:
            raise ValueError("thirteen")
        return [str(question) for question in questions]


async def test_who_asks_alone_waits_for_nobody() -> None:
    """Each is a batch of its own, asked at once."""
    asked = Answering()
    together = Together(asked, name="test")

    assert [await together(number) for number in range(3)] == ["0", "1", "2"]
    assert asked.batches == [[0], [1], [2]]


async def test_what_comes_while_a_batch_is_under_way_is_one_batch() -> None:
    """And so is what comes in the moment after it, as long as somebody waits already."""
    asked = Answering()
    asked.open.clear()
    together = Together(asked, name="test", gather=0.005)
    first = asyncio.create_task(together(0))
    await asked.begun.wait()
    others = [asyncio.create_task(together(number)) for number in (1, 2)]
    await asyncio.sleep(0)

    asked.open.set()
    assert await first == "0"
    late = asyncio.create_task(together(3))

    assert await asyncio.gather(*others, late) == ["1", "2", "3"]
    assert asked.batches == [[0], [1, 2, 3]]


async def test_no_batch_is_larger_than_agreed() -> None:
    """More waits for the next one, which is then asked without a pause."""
    asked = Answering()
    together = Together(asked, name="test", most=4)

    answers = await asyncio.gather(*(together(number) for number in range(10)))

    assert answers == [str(number) for number in range(10)]
    assert [len(batch) for batch in asked.batches] == [4, 4, 2]


async def test_what_fails_fails_for_its_batch_alone() -> None:
    """Who asked with it gets the error; who asks later, an answer."""
    asked = Answering()
    together = Together(asked, name="test", most=2)

    answers = await asyncio.gather(*(together(number) for number in (12, 13, 14, 15)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [ValueError, ValueError, str, str]
    with pytest.raises(ValueError, match="thirteen"):
        await together(13)
    assert await together(16) == "16"
