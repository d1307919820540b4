"""Dead letters, for operators."""

from datetime import UTC, datetime
from typing import Annotated, Self

import strawberry
from strawberry.types import Info

from resolvers.activities import ActivityId
from resolvers.database.letters import StoredLetter
from resolvers.dead_letters import LetterProblem, LettersPage
from resolvers.identity import Scope
from schema.access import open_to
from schema.context import Context
from schema.enums import LetterState
from schema.objects import Activity, PageInfo
from streams.cursor import Cursor


@open_to(Scope.OPS)
@strawberry.type(description="An activity that could not be delivered, to one subscriber or, for `*`, to anybody.")
class DeadLetter:
    id: strawberry.ID
    state: LetterState
    stream: str = strawberry.field(description="The Redis stream it comes from.")
    cursor: Cursor
    subscriber: str = strawberry.field(description="User and device, or `*`.")
    error: str
    delivery_count: int
    first_delivered_at: datetime
    last_delivered_at: datetime
    created_at: datetime
    healed_at: datetime | None = strawberry.field(description="When a redriven letter reached its subscriber.")
    activity_id: strawberry.Private[int | None]

    @strawberry.field(description="Null if it cannot be read.")
    async def activity(self, info: Info[Context, None]) -> Activity | None:
        if self.activity_id is None:
            return None
        found = await info.context.services.stored.find(ActivityId(self.activity_id))
        return Activity.of(found) if found else None

    @classmethod
    def of(cls, stored: StoredLetter) -> Self:
        letter = stored.letter
        return cls(
            id=strawberry.ID(str(stored.id)),
            state=stored.state,
            stream=letter.stream,
            cursor=letter.cursor,
            subscriber=letter.subscriber,
            error=letter.error,
            delivery_count=letter.attempts,
            first_delivered_at=datetime.fromtimestamp(letter.first_ms / 1_000, UTC),
            last_delivered_at=datetime.fromtimestamp(letter.last_ms / 1_000, UTC),
            created_at=stored.created_at,
            healed_at=stored.healed_at,
            activity_id=letter.activity_id,
        )


@open_to(Scope.OPS)
@strawberry.type
class DeadLetterEdge:
    cursor: str
    node: DeadLetter


@open_to(Scope.OPS)
@strawberry.type(description="Dead letters, newest first.")
class DeadLetterConnection:
    edges: list[DeadLetterEdge]
    page_info: PageInfo

    @strawberry.field(description="The letters of the edges.")
    def nodes(self) -> list[DeadLetter]:
        return [edge.node for edge in self.edges]

    @classmethod
    def of(cls, page: LettersPage, *, after: str | None) -> Self:
        edges = [DeadLetterEdge(cursor=str(stored.id), node=DeadLetter.of(stored)) for stored in page.letters]
        return cls(
            edges=edges,
            page_info=PageInfo(
                has_next_page=page.has_next,
                has_previous_page=after is not None,
                start_cursor=edges[0].cursor if edges else None,
                end_cursor=edges[-1].cursor if edges else None,
            ),
        )


@open_to(Scope.OPS)
@strawberry.type(description="The letter as it is now.")
class DeadLetterSettled:
    letter: DeadLetter


@open_to(Scope.OPS)
@strawberry.type(description="Nothing was done, and why.")
class DeadLetterRefused:
    message: str
    current: DeadLetter | None = strawberry.field(description="The letter, if it was settled before.")


DeadLetterPayload = Annotated[
    DeadLetterSettled | DeadLetterRefused, strawberry.union("DeadLetterPayload", description="One of the two.")
]


def to_payload(outcome: StoredLetter | LetterProblem) -> DeadLetterSettled | DeadLetterRefused:
    """The schema's object for what became of an operator's request."""
    if isinstance(outcome, LetterProblem):
        current = DeadLetter.of(outcome.letter) if outcome.letter else None
        return DeadLetterRefused(message=outcome.message, current=current)
    return DeadLetterSettled(letter=DeadLetter.of(outcome))
