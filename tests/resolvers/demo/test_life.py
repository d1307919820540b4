"""The demo's parliament in the database."""

from datetime import timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from resolvers.database.engine import connect
from resolvers.database.importing import any_activity, publish_record
from resolvers.demo import life
from resolvers.importing.records import ActivityRecord
from tests.support.running import in_background
from tests.support.waiting import wait_until


async def test_parliament_goes_on_when_postgresql_is_back(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An activity that cannot be published ends neither the story nor the server that tells it."""
    nowhere = connect("postgresql://nobody@127.0.0.1:9/none")
    tried: list[bool] = []
    publish = publish_record

    async def first_in_vain(_: AsyncEngine, record: ActivityRecord) -> bool:
        tried.append(True)
        return await publish(nowhere if len(tried) == 1 else database, record)

    monkeypatch.setattr(life, "publish_record", first_in_vain)
    monkeypatch.setattr(life, "EVERY", timedelta(milliseconds=10))
    async with in_background(life.go_on(database)):
        await wait_until(lambda: any_activity(database), description="the second one is there")
    await nowhere.dispose()

    assert len(tried) >= 2
