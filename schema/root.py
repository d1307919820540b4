"""The schema put together."""

from resolvers.errors import Refusal, TooMany, Unavailable
from schema.access import enforce
from schema.events import ActivityAdded, FeedGap, GapHealed, ReadStateChanged, StreamNotice
from schema.executable import USUAL, ExecutableSchema
from schema.limits import Limits
from schema.memo import MOST_VALUES
from schema.mutation import Mutation
from schema.query import Query
from schema.refusals import ExpectedError
from schema.scalars import configuration
from schema.straight import straighten
from schema.subscription import Subscription
from telemetry.metrics import Metrics


def explain(error: BaseException) -> ExpectedError | None:
    """What clients may know of an exception: the resolvers' refusals, word for word."""
    if isinstance(error, ExpectedError):
        return error
    if isinstance(error, TooMany):
        return ExpectedError(error.code, str(error), extensions={"retryAfterSeconds": error.seconds})
    if isinstance(error, Refusal):
        return ExpectedError(error.code, str(error), temporary=isinstance(error, Unavailable))
    return None


def build_schema(
    metrics: Metrics | None = None, *, limits: Limits = USUAL, kept_values: int = MOST_VALUES
) -> ExecutableSchema:
    """The GraphQL schema; `schema.graphql` beside this file is its printed form. Raises Undecided."""
    schema = ExecutableSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[ActivityAdded, FeedGap, GapHealed, ReadStateChanged, StreamNotice],
        config=configuration(),
        explain=explain,
        limits=limits,
        kept_values=kept_values,
        metrics=metrics,
    )
    of_graphql_core = schema._schema  # noqa: SLF001 - of which Strawberry's is made
    straighten(of_graphql_core, schema.config)
    enforce(of_graphql_core)
    return schema
