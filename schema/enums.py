"""The resolvers' enums as GraphQL enums: import them from here, so that they are described before they are used."""

import strawberry

from resolvers.activities import ActivityType
from resolvers.database.letters import LetterState
from resolvers.events import GapReason, GapRecovery, NoticeKind
from resolvers.feed import FeedSource
from streams.steps import Confirmation
from telemetry.advice import Transport

__all__ = [
    "ActivityType",
    "Confirmation",
    "FeedSource",
    "GapReason",
    "GapRecovery",
    "LetterState",
    "NoticeKind",
    "Transport",
]

strawberry.enum(ActivityType, description="What kind of thing was done.")
strawberry.enum(
    Confirmation,
    description=(
        "When an activity counts as delivered: SOCKET, when the peer's kernel has its bytes (behind a proxy that is the"
        " proxy's); CLIENT, when the client acknowledges it."
    ),
)
strawberry.enum(LetterState, name="DeadLetterState", description="What became of a dead letter.")
strawberry.enum(FeedSource, description="Which path answered.")
strawberry.enum(GapReason, description="Why activities are missing from a stream.")
strawberry.enum(GapRecovery, description="What a client does about a gap.")
strawberry.enum(NoticeKind, description="What a notice is about.")
strawberry.enum(Transport, description="How a client should get its updates.")
