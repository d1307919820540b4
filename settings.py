"""What can be set, by environment variables of the same names in capitals, or a `.env` file."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, DirectoryPath, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict


def _seconds(value: object) -> object:
    """A plain number is seconds; pydantic alone takes `P30D` and `00:00:10`, but not `10`."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str | int | float) else value
    except ValueError:
        return value


Seconds = Annotated[timedelta, BeforeValidator(_seconds), Field(gt=timedelta(0))]
"""A span of time: seconds, or ISO 8601 such as P30D."""


class Settings(BaseSettings):
    """Read by `cli.py` and `app.py` only; everything below gets what it needs by keyword."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    database_url: str | None = Field(None, description="postgresql://user:password@host:5432/database?sslmode=require")
    redis_url: str | None = Field(
        None,
        description="redis://host:6379/0, rediss:// or unix:///path; redis+cluster://host,… or redis+sentinel://host,…/name",
    )
    secrets_dir: DirectoryPath | None = Field(None, description="with files named auth_secret, database_url, …")
    auth_secret: SecretStr | None = Field(
        None, description="HS256 secret of the tokens, at least 32 bytes, no repetition"
    )
    auth_jwks_url: str | None = Field(
        None, description="instead of a secret: an identity provider's keys, by https; needs issuer and audience"
    )
    auth_algorithm: Literal["RS256", "ES256"] = Field("RS256", description="that the keys at auth_jwks_url sign with")
    auth_issuer: str | None = Field(None, description="what tokens must say as iss")
    auth_audience: str | None = Field(None, description="what tokens must say as aud")
    auth_leeway: Seconds = Field(timedelta(seconds=30), description="that clocks may differ")
    auth_scope_claim: str = Field("scope", min_length=1, description="the claim with the scopes")
    auth_cookie: str | None = Field(
        None, pattern="^[A-Za-z0-9_-]+$", description="a cookie that may carry the token, for an EventSource: __Host-…"
    )
    cors_origins: str = Field("", description="pages that may use the API: https://app.example.org,…; no *")
    trusted_proxies: str = Field(
        "", description="addresses or networks whose X-Forwarded-For and -Proto are believed: 127.0.0.1,10.0.0.0/8"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="processes on this port, each on a core of its own")
    state_dir: Path = Field(Path(".state"), description="of the demo's databases, and of notes about renders")
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="JSON lines, or readable ones on a terminal"
    )

    introspection: bool = Field(True, description="off: the schema is not described, names are not suggested")
    trusted_documents: Path | None = Field(None, description="JSON of operations by their SHA-256")
    trusted_documents_only: bool = Field(False, description="on: nothing else is executed")
    max_query_depth: int = Field(10, ge=3, description="levels of an operation")
    max_query_tokens: int = Field(2_000, ge=200, description="words and marks of a document")
    max_query_fields: int = Field(300, ge=30, description="fields, with those of fragments")
    max_query_aliases: int = Field(30, ge=0, description="fields under another name")
    max_query_cost: int = Field(
        10_000, ge=1_000, description="in completed fields; docs/graphql.md says how they count"
    )
    max_body_bytes: int = Field(1024 * 1024, ge=1024, description="of a request")
    operation_within: Seconds = Field(timedelta(seconds=10), description="for a query or a mutation")
    headers_within: Seconds = Field(timedelta(seconds=10), description="from a connection's start, or a first byte")
    body_within: Seconds = Field(timedelta(seconds=30), description="from the first byte to the last of a body")
    max_operations_per_minute: int = Field(1_200, ge=1, description="of a user, in all processes")
    max_operations_per_minute_per_address: int = Field(12_000, ge=1, description="of IPv6 a /64; strangers too")
    max_connects_per_minute_per_address: int = Field(6_000, ge=1, description="streams opened from one address")
    max_marks_per_minute: int = Field(6_000, ge=1, description="IDs a user marks, and activities they publish")

    demo_activity: str = Field("on", pattern="^(on|off)$", description="off: the demo invents nothing after its fill")

    stream_retention: Seconds = Field(timedelta(days=30), description="what Redis keeps; PostgreSQL keeps all")
    stream_shards: int = Field(1, ge=1, le=64, description="copies of the stream, each with a part of the devices")
    stream_max_length: int = Field(1_000_000, ge=1_000, description="entries that Redis keeps at most")
    ring_size: int = Field(5_000, ge=10, description="recent activities a process keeps in memory")
    kept_frames: int = Field(64 * 1024 * 1024, ge=65_536, description="bytes of rendered events a process keeps")
    kept_values: int = Field(20_000, ge=100, description="completed activities, MPs and bills a process keeps")
    feed_window: int = Field(5_000, ge=10, description="recent activities that feed answers without a query")
    view_refresh: Seconds = Field(timedelta(seconds=30), description="of the view that stands in for Redis")
    heartbeat: Seconds = Field(timedelta(seconds=15), description="longest silence on a stream")
    bookmark_every: Seconds = Field(timedelta(seconds=10), description="that a stream says how far it has come")
    max_delivery_attempts: int = Field(3, ge=1, le=100, description="failed ones, before an entry is a dead letter")
    replay_cap: int = Field(10_000, ge=100, description="entries a stream goes back at most; updates has all")
    max_stream_age: Seconds = Field(timedelta(hours=1), description="longest life of a stream, less up to a fifth")
    drain_seconds: float = Field(10, ge=0.5, le=600, description="from SIGTERM to the end of the last stream")
    max_streams: int = Field(15_000, ge=1, description="open streams of a process; a process has 20,000 files or so")
    max_streams_per_user: int = Field(20, ge=1, description="open streams of a user, in all processes")
    max_streams_all: int = Field(1_000_000, ge=1, description="open streams of all processes")
    max_connects_per_minute: int = Field(120, ge=1, description="streams a user may open in a minute")
    max_connects_per_second: int = Field(2_000, ge=1, description="streams a process opens in a second")
    database_pool: int = Field(10, ge=2, le=200, description="connections of a process, twice as many at most")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - made anew below
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then `.env`, then the files of SECRETS_DIR, as Docker and Kubernetes mount them."""
        directory = os.environ.get("SECRETS_DIR")
        files = SecretsSettingsSource(
            settings_cls, secrets_dir=directory if directory and Path(directory).is_dir() else None
        )
        return init_settings, env_settings, dotenv_settings, files
