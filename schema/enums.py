"""The resolvers' enums as GraphQL enums: import them from here, so that they are described before they are used."""

import strawberry

from resolvers.activities import ActivityType
from resolvers.events import GapReason, GapRecovery, NoticeKind
from resolvers.feed import FeedSource
from telemetry.health import Transport

__all__ = ["ActivityType", "FeedSource", "GapReason", "GapRecovery", "NoticeKind", "Transport"]

strawberry.enum(ActivityType, description="What kind of thing was done.")
strawberry.enum(FeedSource, description="Which path answered.")
strawberry.enum(GapReason, description="Why activities are missing from a stream.")
strawberry.enum(GapRecovery, description="What a client does about a gap.")
strawberry.enum(NoticeKind, description="What a notice is about.")
strawberry.enum(Transport, description="How a client should get its updates.")
