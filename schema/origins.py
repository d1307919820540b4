"""Where requests come from: pages that may use this server from a browser, and proxies that may speak for clients."""

from collections.abc import Sequence
from ipaddress import ip_network
from urllib.parse import urlsplit

from starlette.requests import Request

CSRF_HEADER = "x-csrf-protection"
"""Any value. A page of another origin cannot send it without a preflight, which CORS refuses."""
ALLOWED_HEADERS = ("Authorization", "Content-Type", "Last-Event-ID", "If-None-Match", "traceparent", CSRF_HEADER)
EXPOSED_HEADERS = ("Retry-After", "ETag")
PREFLIGHT_LASTS = 7_200
"""Seconds: the longest that Chromium keeps one."""


def parse_origins(text: str) -> tuple[str, ...]:
    """Origins separated by commas. Raises ValueError for what a browser would never send."""
    origins = tuple(part.strip() for part in text.split(",") if part.strip())
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or f"{parts.scheme}://{parts.netloc}" != origin or "@" in origin:
            raise ValueError(
                f"CORS_ORIGINS: {origin!r} is no origin; write each as https://app.example.org, without a path."
                " '*' is not taken: list the pages that may read with their users' rights."
            )
    return origins


def parse_proxies(text: str) -> tuple[str, ...]:
    """Addresses and networks separated by commas. Raises ValueError for anything else."""
    proxies = tuple(part.strip() for part in text.split(",") if part.strip())
    for proxy in proxies:
        try:
            ip_network(proxy, strict=False)
        except ValueError as error:
            raise ValueError(
                f"TRUSTED_PROXIES: {proxy!r} is no address or network; write the proxies' own, as 10.0.0.0/8,::1."
                " Whoever is named there chooses which address a client has."
            ) from error
    return proxies


def is_ours(request: Request, allowed: Sequence[str]) -> bool:
    """Whether a request that a browser authenticated by itself, with a cookie, comes from a page that may do that.

    The browser says so: by `Sec-Fetch-Site` or `Origin`, which no page can choose; or, where it sends neither, by a
    header that only a page of an allowed origin can set.
    """
    headers = request.headers
    if headers.get("sec-fetch-site") == "same-origin":
        return True
    origin = headers.get("origin")
    if origin is not None:
        return origin in allowed or origin == f"{request.url.scheme}://{headers.get('host', '')}"
    return CSRF_HEADER in headers
