"""What can be set, by environment variables of the same names in capitals, or a `.env` file."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


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

    database_url: str | None = Field(None, description="postgresql://user:password@host:5432/database")
    redis_url: str | None = Field(None, description="redis://host:6379/0, rediss:// or unix:///path")
    auth_secret: SecretStr | None = Field(None, description="HS256 secret of the tokens, at least 32 bytes")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    workers: int = Field(1, ge=1, le=64, description="server processes, each on a core of its own")
    state_dir: Path = Field(Path(".state"), description="where the demo keeps its databases")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    demo_activity: str = Field("on", pattern="^(on|off)$", description="off: the demo invents nothing after its fill")

    stream_retention: Seconds = Field(timedelta(days=30), description="what Redis keeps; PostgreSQL keeps all")
    stream_max_length: int = Field(1_000_000, ge=1_000)
    ring_size: int = Field(5_000, ge=10, description="recent activities a process keeps in memory")
    feed_window: int = Field(5_000, ge=10, description="recent activities that feed answers without a query")
    view_refresh: Seconds = Field(timedelta(seconds=30), description="of the view that stands in for Redis")
    heartbeat: Seconds = Field(timedelta(seconds=15), description="longest silence on a stream")
    bookmark_every: Seconds = Field(timedelta(seconds=10))
    max_delivery_attempts: int = Field(3, ge=1, le=100, description="failed ones, before an entry is a dead letter")
    replay_cap: int = Field(10_000, ge=100, description="entries a stream goes back at most; updates has all")
    max_stream_age: Seconds = Field(timedelta(hours=1), description="longest life of a stream, less up to a fifth")
    drain_seconds: float = Field(10, ge=0.5, le=600, description="from SIGTERM to the end of the last stream")
    max_streams: int = Field(15_000, ge=1, description="open streams of a process; a process has 20,000 files or so")
    max_streams_per_user: int = Field(20, ge=1, description="open streams of a user, in all processes")
    max_streams_all: int = Field(1_000_000, ge=1, description="open streams of all processes")
    max_connects_per_minute: int = Field(120, ge=1, description="streams a user may open in a minute")
    max_connects_per_second: int = Field(2_000, ge=1, description="streams a process opens in a second")
    database_pool: int = Field(10, ge=2, le=200)
