"""Hypothesis state machines on real servers: rules are plain functions that run coroutines on a loop of their own."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import connect as connect_database
from streams.connection import connect_alone as connect_redis
from tests.support.running import start_over

T = TypeVar("T")


class World:
    """A database and a Redis of one test, and the loop on which everything about them runs."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._runner = asyncio.Runner()
        self.engine: AsyncEngine
        self.redis: Redis
        self.run(self._connect(database_url, redis_url))

    async def _connect(self, database_url: str, redis_url: str) -> None:
        self.engine = connect_database(database_url, pool_size=4)
        self.redis = connect_redis(redis_url)

    def run(self, work: Awaitable[T]) -> T:
        """Run something awaitable to its end."""

        async def to_its_end() -> T:
            return await work

        return self._runner.run(to_its_end())

    def start_over(self) -> None:
        """Empty both."""
        self.run(start_over(self.engine, self.redis))

    def close(self) -> None:
        """Disconnect."""
        self.run(self.redis.aclose())
        self.run(self.engine.dispose())
        self._runner.close()


def check(machine: Callable[[World], RuleBasedStateMachine], world: World, *, examples: int, steps: int) -> None:
    """Run a machine with many random histories. A failing one is printed step by step, with a blob that replays it."""
    with contextlib.closing(world):
        run_state_machine_as_test(
            lambda: machine(world),  # type: ignore[arg-type]  # it wants to be called, not to be a class
            settings=settings(
                max_examples=examples,
                stateful_step_count=steps,
                deadline=None,
                print_blob=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
