"""The peer: the same feed as Strawberry's documentation would have it, one SQL query and stock execution.

uvicorn tests.benchmarks.feed.stock:app, with DATABASE_URL.
"""

import os
from datetime import datetime
from typing import Any

import asyncpg
import strawberry
from starlette.requests import Request
from starlette.responses import Response
from strawberry.asgi import GraphQL
from strawberry.types import Info

USUAL = """
SELECT a.id, a.type, a.title, a.summary, a.url, a.occurred_at, a.created_at,
    m.id AS mp_id, m.name, m.party, m.riding, b.id AS bill_id, b.number, b.title AS bill_title,
    r.activity_id IS NOT NULL AS is_read
FROM activities a
LEFT JOIN user_activity_reads r ON r.activity_id = a.id AND r.user_id = $1
LEFT JOIN mps m ON m.id = a.mp_id
LEFT JOIN bills b ON b.id = a.bill_id
"""
ORDER = "ORDER BY a.created_at DESC, a.id DESC LIMIT 20"


@strawberry.type
class MP:
    """A member."""

    id: strawberry.ID
    name: str
    party: str | None
    riding: str | None


@strawberry.type
class Bill:
    """A bill."""

    id: strawberry.ID
    number: str
    title: str


@strawberry.type
class Activity:
    """An activity."""

    id: strawberry.ID
    type: str
    title: str
    summary: str | None
    url: str | None
    occurred_at: datetime
    created_at: datetime
    is_read: bool
    mp: MP
    bill: Bill


@strawberry.type
class Query:
    """The feed."""

    @strawberry.field
    async def feed(self, info: Info[dict[str, Any], None]) -> list[Activity]:
        """The newest 20."""
        rows = await info.context["pool"].fetch(USUAL + ORDER, info.context["user"])
        return [
            Activity(
                **{name: row[name] for name in ("id", "type", "title", "summary", "url", "is_read")},
                occurred_at=row["occurred_at"],
                created_at=row["created_at"],
                mp=MP(id=row["mp_id"], name=row["name"], party=row["party"], riding=row["riding"]),
                bill=Bill(id=row["bill_id"], number=row["number"], title=row["bill_title"]),
            )
            for row in rows
        ]


class Stock(GraphQL[Any, None]):
    """With a pool of 10, as ours."""

    pool: asyncpg.Pool | None = None

    async def get_context(self, request: Request | Any, response: Response | Any) -> dict[str, Any]:  # noqa: ARG002 - Strawberry's
        """The user, from a header: no token to verify."""
        if self.pool is None:
            self.pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10)
        return {"user": request.headers["x-user"], "pool": self.pool}


app = Stock(strawberry.Schema(query=Query))
