"""The schema put together."""

from resolvers.errors import Refusal, Unavailable
from schema.access import enforce
from schema.events import ActivityAdded, FeedGap, GapHealed, ReadStateChanged, StreamNotice
from schema.executable import ExecutableSchema
from schema.mutation import Mutation
from schema.query import Query
from schema.refusals import ExpectedError
from schema.scalars import configuration
from schema.subscription import Subscription
from telemetry.metrics import Metrics


def explain(error: BaseException) -> ExpectedError | None:
    """What clients may know of an exception: the resolvers' refusals, word for word."""
    if isinstance(error, ExpectedError):
        return error
    if isinstance(error, Refusal):
        return ExpectedError(error.code, str(error), temporary=isinstance(error, Unavailable))
    return None


def build_schema(metrics: Metrics | None = None) -> ExecutableSchema:
    """The GraphQL schema; `schema.graphql` beside this file is its printed form. Raises Undecided."""
    schema = ExecutableSchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=[ActivityAdded, FeedGap, GapHealed, ReadStateChanged, StreamNotice],
        config=configuration(),
        explain=explain,
        metrics=metrics,
    )
    enforce(schema._schema)  # noqa: SLF001 - graphql-core's, of which Strawberry's is made
    return schema
