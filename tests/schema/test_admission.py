"""Limits on streams: every refusal has its status, its code, its Retry-After and its label."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import pytest
from redis.asyncio import Redis

from resolvers.identity import Scope, Viewer
from schema.admission import Admission
from schema.refusals import HttpRefusal
from streams.connections import Connections, Limits
from telemetry.metrics import Metrics

PLENTY = 100
MINUTE = timedelta(minutes=1)


def viewer(user: str) -> Viewer:
    """Somebody who may read."""
    return Viewer(user, frozenset({Scope.READ}), datetime.now(UTC) + MINUTE)


def admission(redis: Redis, metrics: Metrics, **limits: int) -> Admission:
    """The limits of a process, and of all, as given; all others are out of reach."""
    of_all = Limits(
        per_user=limits.get("per_user_everywhere", PLENTY),
        all_users=limits.get("all_users", PLENTY),
        connects=limits.get("connects", PLENTY),
        window=MINUTE,
    )
    return Admission(
        connections=Connections(redis=redis, process="p1", limits=of_all),
        metrics=metrics,
        per_process=limits.get("per_process", PLENTY),
        per_user=limits.get("per_user", PLENTY),
        per_second=limits.get("per_second", PLENTY),
    )


@pytest.mark.parametrize(
    ("limit", "refusal"),
    [
        ("per_process", ("process_limit", 503, "OVERLOADED", range(10, 11))),
        ("per_second", ("process_rate", 503, "OVERLOADED", range(1, 2))),
        ("all_users", ("global_limit", 503, "OVERLOADED", range(10, 11))),
        ("per_user", ("user_limit", 429, "TOO_MANY_STREAMS", range(10, 11))),
        ("per_user_everywhere", ("user_limit", 429, "TOO_MANY_STREAMS", range(10, 11))),
        ("connects", ("connect_rate", 429, "TOO_MANY_CONNECTS", range(1, 61))),
    ],
)
async def test_stream_beyond_a_limit_is_told_which_and_when_to_come_back(
    redis: Redis, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, limit: str, refusal: tuple[str, int, str, range]
) -> None:
    """The first stream of the limit opens, the second is refused before it starts, and counts nowhere as open."""
    reason, status, code, retry_after = refusal
    monkeypatch.setattr("schema.admission.time.monotonic", lambda: 1_000.0)
    door = admission(redis, metrics, **{limit: 1})
    await door.admit(viewer("ada"))

    with pytest.raises(HttpRefusal) as refused:
        await door.admit(viewer("ada"))

    assert (refused.value.status, refused.value.code) == (HTTPStatus(status), code)
    assert int(refused.value.headers["Retry-After"]) in retry_after
    assert refused.value.payload()["errors"][0]["extensions"]["retryAfterSeconds"] in retry_after
    get = metrics.registry.get_sample_value
    assert get("sse_connections_refused_total", {"reason": reason}) == 1
    assert (get("sse_connections_active"), get("sse_users_active")) == (1, 1)


async def test_rate_of_a_process_is_that_of_one_second(
    redis: Redis, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who comes back a second later, as told, gets in."""
    now = [1_000.0]
    monkeypatch.setattr("schema.admission.time.monotonic", lambda: now[0])
    door = admission(redis, metrics, per_second=1)
    await door.admit(viewer("ada"))
    with pytest.raises(HttpRefusal):
        await door.admit(viewer("eve"))

    now[0] += 1
    await door.admit(viewer("eve"))

    assert metrics.registry.get_sample_value("sse_users_active") == 2


async def test_place_that_is_left_is_free_again(redis: Redis, metrics: Metrics) -> None:
    """Here at once, and in all processes too: nobody stands in their own way."""
    door = admission(redis, metrics, per_user=1, per_user_everywhere=1, per_process=1)
    leave = await door.admit(viewer("ada"))

    leave()
    await door.admit(viewer("ada"))

    assert metrics.registry.get_sample_value("sse_connections_active") == 1


async def test_who_is_refused_for_all_processes_holds_no_place_here(redis: Redis, metrics: Metrics) -> None:
    """The place that was taken while Redis was asked is given back."""
    door = admission(redis, metrics, connects=1, per_process=2)
    await door.admit(viewer("ada"))
    for _ in range(3):
        with pytest.raises(HttpRefusal):
            await door.admit(viewer("ada"))

    await door.admit(viewer("eve"))

    assert metrics.registry.get_sample_value("sse_connections_active") == 2
