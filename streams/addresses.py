"""What REDIS_URL may name: one server, the nodes of a cluster, or the Sentinels that know who is the primary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from redis.asyncio.connection import SSLConnection, parse_url

PORT = 6379
SENTINELS_PORT = 26379
_FORMS = (
    "redis://, rediss:// or unix://, as in redis://localhost:6379/0; redis+cluster://node:6379,node:6379; or"
    " redis+sentinel://sentinel:26379,sentinel:26379/primary's-name"
)


class Kind(Enum):
    """How a server is found."""

    ALONE = ""
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


@dataclass(frozen=True, slots=True)
class Address:
    """A REDIS_URL, taken apart. `nodes` and what follows are empty for a server that is ALONE: `url` says it all.

    `options` are those of connections to servers, `sentinels` those to Sentinels, which have passwords of their own.
    """

    kind: Kind
    url: str
    nodes: Sequence[tuple[str, int]] = ()
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sentinels: Mapping[str, Any] = field(default_factory=dict, repr=False)
    primary: str = ""

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises ValueError, with a sentence that says how a URL may look; it never holds the password."""
        scheme = url.partition("://")[0]
        if scheme in {"redis", "rediss", "unix"}:
            if "," in url.partition("://")[2].partition("/")[0].rpartition("@")[2] and scheme != "unix":
                raise ValueError(f"REDIS_URL names several servers, but not how they belong together: write {_FORMS}")
            return cls(Kind.ALONE, url)
        transport, _, kind = scheme.partition("+")
        if transport not in {"redis", "rediss"} or kind not in {"cluster", "sentinel"}:
            raise ValueError(f"REDIS_URL must start with {_FORMS}")
        return _several(Kind(kind), urlsplit(url), tls=transport == "rediss")


def _several(kind: Kind, parts: SplitResult, *, tls: bool) -> Address:
    user, _, hosts = parts.netloc.rpartition("@")
    nodes = [_node(host, PORT if kind is Kind.CLUSTER else SENTINELS_PORT) for host in hosts.split(",") if host]
    name, _, database = parts.path.strip("/").partition("/")
    if not nodes:
        raise ValueError(f"REDIS_URL names no server: write {_FORMS}")
    if kind is Kind.CLUSTER and (name or database) not in {"", "0"}:
        raise ValueError("REDIS_URL: a cluster has no other database than 0")
    if kind is Kind.SENTINEL and not name:
        raise ValueError("REDIS_URL must say which primary the Sentinels watch: redis+sentinel://host:26379/its-name")
    of_sentinels = {f"sentinel_{what}": what for what in ("username", "password")}
    query = dict(parse_qsl(parts.query))
    sentinels: dict[str, Any] = {what: query.pop(key) for key, what in of_sentinels.items() if key in query}
    scheme, login = "rediss" if tls else "redis", f"{user}@" if user else ""
    # What a URL's options are called, and of which type they are, is redis-py's to say.
    options: dict[str, Any] = dict(parse_url(f"{scheme}://{login}host/{database or 0}?{urlencode(query)}"))
    del options["host"]
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
        sentinels |= {key: value for key, value in options.items() if key.startswith("ssl")}
    if kind is Kind.CLUSTER:
        options.pop("db", None)
    return Address(kind, parts.geturl(), nodes, options, sentinels, name)


def _node(text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or port
    except ValueError:
        host = None
    if not host:
        raise ValueError("REDIS_URL: each server is host:port, separated by commas")
    return host, port
