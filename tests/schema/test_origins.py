"""Origins and proxies: what a browser says about the page that asks, and what a setting may say."""

import pytest
from starlette.requests import Request

from schema.origins import CSRF_HEADER, is_ours, parse_origins, parse_proxies

PAGE, EVIL, HERE = "https://app.example", "https://evil.example", "https://bell.example"


def asking(headers: dict[str, str], *, scheme: str = "https") -> Request:
    """A request to bell.example with these headers."""
    sent = {"host": "bell.example", **headers}
    raw = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    scope = {"type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "server": ("bell.example", 443)}
    return Request({**scope, "scheme": scheme, "headers": raw})


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": PAGE},
        {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"},
        {"Origin": HERE},
        {"Sec-Fetch-Site": "same-origin"},
        {CSRF_HEADER: "1"},
    ],
    ids=["allowed", "allowed, and of another site", "its own", "same-origin", "the header"],
)
def test_page_that_may_use_a_visitors_session(headers: dict[str, str]) -> None:
    """One of an allowed origin, one of this server, or whoever can set a header that other pages cannot."""
    assert is_ours(asking(headers), [PAGE])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": EVIL},
        {"Origin": EVIL, CSRF_HEADER: "1"},
        {"Origin": "null", CSRF_HEADER: "1"},
        {"Origin": EVIL, "Sec-Fetch-Site": "same-site"},
        {"Origin": f"{PAGE}.evil.example"},
        {"Origin": f"{PAGE}:8443"},
        {"Origin": "http://app.example"},
        {"Origin": "http://bell.example"},
        {"Origin": f"{HERE}:8443"},
        {"Origin": f"{PAGE}, {EVIL}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Referer": f"{HERE}/"},
    ],
    ids=str,
)
def test_page_that_may_not(headers: dict[str, str]) -> None:
    """Another origin, one that hides itself, one that looks alike: an origin that is told counts before any header."""
    assert not is_ours(asking(headers), [PAGE])


def test_own_origin_is_what_the_request_came_to() -> None:
    """Behind a proxy that ends TLS, the scheme it speaks for decides; none but this origin is allowed here."""
    assert is_ours(asking({"Origin": "http://bell.example"}, scheme="http"), [])
    assert not is_ours(asking({"Origin": HERE}, scheme="http"), [])
    assert is_ours(asking({"host": "bell.example:8443", "Origin": f"{HERE}:8443"}), [])


def test_allowed_origins_are_listed() -> None:
    """Separated by commas, spaces and empty parts ignored."""
    assert parse_origins("") == ()
    assert parse_origins(f" {PAGE}, http://localhost:5173,,") == (PAGE, "http://localhost:5173")


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "app.example",
        f"{PAGE}/",
        f"{PAGE}/feed",
        f"{PAGE}?x",
        f"{PAGE}#x",
        "file:///tmp",
        "https://ada@app.example",
        f"{PAGE} {HERE}/",
        f"{PAGE},ftp://app.example",
    ],
)
def test_origin_that_no_browser_sends_is_refused_at_start(text: str) -> None:
    """A setting that would match nothing, or everything, is told in a sentence that names it."""
    with pytest.raises(ValueError, match="CORS_ORIGINS: "):
        parse_origins(text)


def test_trusted_proxies_are_addresses_and_networks() -> None:
    """Separated by commas; none is trusted unless it is named."""
    assert parse_proxies("") == ()
    assert parse_proxies("10.0.0.0/8, ::1,192.0.2.1") == ("10.0.0.0/8", "::1", "192.0.2.1")


@pytest.mark.parametrize("text", ["*", "proxy.example", "10.0.0.0/33", "10.0.0", "::1,all"])
def test_proxy_that_is_no_address_is_refused_at_start(text: str) -> None:
    """Above all `*`, with which every client could choose the address it is counted by."""
    with pytest.raises(ValueError, match="TRUSTED_PROXIES: "):
        parse_proxies(text)
