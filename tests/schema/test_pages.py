"""The explorer's page, settings and assets, served from a small made-up build."""

import gzip
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, Response
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from schema.assets import accepted_encodings
from schema.pages import Explorer, FeedPage, Identity

SCRIPT = "console.log('bell')\n" * 100
PAGE = '<!doctype html><script type="module" src="./assets/index-abc.js"></script>'
READER = Identity(name="Reader", description="reads the feed", token="tok-reader")


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """What a build leaves behind, in miniature, with a file beside it that nobody may see."""
    assets = tmp_path / "dist" / "assets"
    assets.mkdir(parents=True)
    (tmp_path / "secret.js").write_text("secret")
    (tmp_path / "dist" / "index.html").write_text(PAGE)
    (assets / "index-abc.js").write_text(SCRIPT)
    (assets / "index-abc.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (assets / "index-abc.js.br").write_bytes(b"made up: httpx is not to decode it")
    (assets / "style-abc.css").write_text("body {}")
    (assets / "codicon-abc.ttf").write_bytes(b"\0\1\0\0")
    (assets / "bell-abc.svg").write_text("<svg/>")
    return tmp_path / "dist"


@asynccontextmanager
async def browser(dist: Path, *, identities: Sequence[Identity] = (), root: str = "") -> AsyncIterator[AsyncClient]:
    """A client of an application that shows the explorer at /graphql, too; `root` is where it is mounted."""
    explorer = Explorer(dist=dist, identities=lambda: identities)
    app = Starlette(routes=[Route("/graphql", explorer.page), *explorer.routes()])
    outer = Starlette(routes=[Mount(root, app)]) if root else app
    transport = ASGITransport(app=outer)
    async with AsyncClient(transport=transport, base_url="http://bell", headers={"Accept-Encoding": ""}) as client:
        yield client


def script_of(page: Response) -> str:
    """The address that a browser makes of the page's script."""
    source = page.text.split('src="')[1].split('"')[0]
    return str(page.url.join(source))


@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
@pytest.mark.parametrize("path", ["/graphql", "/graphiql/"])
async def test_the_page_finds_its_assets_wherever_it_is_served(dist: Path, root: str, path: str) -> None:
    """From the endpoint and from the mount, at the top or below a root path, the script's address leads to it."""
    async with browser(dist, root=root) as client:
        page = await client.get(root + path)
        script = await client.get(script_of(page))

    assert page.status_code == 200
    assert script.text == SCRIPT
    assert script.url.path == f"{root}/graphiql/assets/index-abc.js"


@pytest.mark.parametrize("path", ["/graphql", "/graphiql/"])
async def test_the_page_is_confined_and_never_stale(dist: Path, path: str) -> None:
    """The page may load and ask nothing but this origin, be framed by nobody, and is checked anew at every visit."""
    async with browser(dist) as client:
        headers = (await client.get(path)).headers

    policy = dict(rule.strip().split(" ", 1) for rule in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == policy["worker-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"
    assert headers["vary"] == "Accept"


async def test_the_feeds_page_is_confined_more_than_the_explorer(dist: Path) -> None:
    """It stands at the top, finds its assets, allows no style but its own files, and learns what the demo offers."""
    page = FeedPage(dist, lambda: [READER], lambda request: {"faults": [request.url.path]})
    async with AsyncClient(
        transport=ASGITransport(app=Starlette(routes=page.routes())), base_url="http://bell"
    ) as client:
        shown = await client.get("/")
        script = await client.get(script_of(shown))
        config = await client.get("/config.json")

    assert "'unsafe" not in shown.headers["content-security-policy"]
    assert shown.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert script.text == SCRIPT
    assert config.json() == {
        "endpoint": "graphql",
        "identities": [{"name": "Reader", "description": "reads the feed", "token": "tok-reader"}],
        "demo": {"faults": ["/config.json"]},
    }


async def test_the_mount_without_its_slash_leads_to_the_page(dist: Path) -> None:
    """Somebody who types /graphiql gets the page, below a root path as well."""
    async with browser(dist, root="/bell") as client:
        page = await client.get("/bell/graphiql", follow_redirects=True)

    assert page.url.path == "/bell/graphiql/"
    assert page.status_code == 200


async def test_the_settings_name_the_endpoint_and_the_identities(dist: Path) -> None:
    """The endpoint resolves to the one beside the mount, and tokens are kept in no cache."""
    async with browser(dist, identities=[READER], root="/bell") as client:
        response = await client.get("/bell/graphiql/config.json")

    config = response.json()
    assert response.url.join(config["endpoint"]).path == "/bell/graphql"
    assert config["identities"] == [{"name": "Reader", "description": "reads the feed", "token": "tok-reader"}]
    assert response.headers["cache-control"] == "no-store"


async def test_outside_the_demo_no_identity_is_offered(dist: Path) -> None:
    """Unless somebody passes identities, the settings hold none; and a token never shows in a log."""
    app = Starlette(routes=Explorer(dist=dist).routes())
    async with AsyncClient(transport=ASGITransport(app=app), base_url="http://bell") as client:
        assert (await client.get("/graphiql/config.json")).json()["identities"] == []

    assert READER.token not in repr(READER)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("index-abc.js", "text/javascript; charset=utf-8"),
        ("style-abc.css", "text/css; charset=utf-8"),
        ("codicon-abc.ttf", "font/ttf"),
        ("bell-abc.svg", "image/svg+xml"),
    ],
)
async def test_assets_are_kept_for_good(dist: Path, name: str, media_type: str) -> None:
    """A hashed name never changes what it stands for, so a browser asks for it once; its type is ours to say."""
    async with browser(dist) as client:
        response = await client.get(f"/graphiql/assets/{name}")

    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert response.headers["content-type"] == media_type
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in response.headers


async def test_an_asset_comes_in_the_best_encoding_the_client_takes(dist: Path) -> None:
    """Compressed bytes are read from the disk as they are, under the type and with the length of what is sent."""
    async with browser(dist) as client:
        path = "/graphiql/assets/index-abc.js"
        gzipped = await client.get(path, headers={"Accept-Encoding": "gzip, deflate"})
        async with client.stream("GET", path, headers={"Accept-Encoding": "gzip, br"}) as smallest:
            raw = b"".join([part async for part in smallest.aiter_raw()])

    assert gzipped.text == SCRIPT
    assert gzipped.headers["content-encoding"] == "gzip"
    assert gzipped.headers["content-type"] == smallest.headers["content-type"] == "text/javascript; charset=utf-8"
    assert smallest.headers["content-encoding"] == "br"
    assert raw == (dist / "assets" / "index-abc.js.br").read_bytes()
    assert int(smallest.headers["content-length"]) == len(raw)
    assert gzipped.headers["etag"] != smallest.headers["etag"]


async def test_an_asset_too_small_to_compress_comes_as_it_is(dist: Path) -> None:
    """Where the build wrote no encoding, a client that would take one gets the file itself."""
    async with browser(dist) as client:
        response = await client.get("/graphiql/assets/style-abc.css", headers={"Accept-Encoding": "gzip, br"})

    assert response.text == "body {}"
    assert "content-encoding" not in response.headers


async def test_an_asset_that_is_known_is_not_sent_again(dist: Path) -> None:
    """A client that names the entity tag it has is told that it still holds, without a body."""
    async with browser(dist) as client:
        path, gzipped = "/graphiql/assets/index-abc.js", {"Accept-Encoding": "gzip"}
        etag = (await client.get(path, headers=gzipped)).headers["etag"]
        again = await client.get(path, headers={**gzipped, "If-None-Match": etag})

    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.js",
        "..%2f..%2fsecret.js",
        "%2e%2e/%2e%2e/secret.js",
        "..%5c..%5csecret.js",
        "%2fetc%2fpasswd",
        "index-abc.js%00",
        "index-abc.js.gz",
        "link.js",
        "",
    ],
)
async def test_nothing_outside_the_assets_can_be_fetched(dist: Path, path: str) -> None:
    """Neither dots nor encoded slashes, links, folders or the encodings' own names lead to a file."""
    (dist / "assets" / "link.js").symlink_to(dist.parent / "secret.js")
    async with browser(dist) as client:
        response = await client.get(f"http://bell/graphiql/assets/{path}")

    assert response.status_code == 404
    assert "secret" not in response.text


async def test_a_missing_build_is_explained_until_it_is_there(tmp_path: Path) -> None:
    """Before the build the page says which command makes it; afterwards the same server shows the page."""
    async with browser(tmp_path) as client:
        before = await client.get("/graphql")
        asset = await client.get("/graphiql/assets/index-abc.js")
        (tmp_path / "index.html").write_text(PAGE)
        after = await client.get("/graphql")

    assert before.status_code == 503
    assert "<code>make pages</code>" in before.text
    assert before.headers["content-type"] == "text/html; charset=utf-8"
    assert before.headers["cache-control"] == "no-store"
    assert asset.status_code == 404
    assert after.status_code == 200


@pytest.mark.parametrize(
    ("header", "encodings"),
    [
        ("", []),
        ("identity", []),
        ("gzip, deflate, br, zstd", ["br", "gzip"]),
        ("GZIP;q=0.5", ["gzip"]),
        ("br;q=0, gzip; q=1.0", ["gzip"]),
        ("*", ["br", "gzip"]),
        ("*;q=0.1, br;q=0.000", ["gzip"]),
    ],
)
def test_encodings_are_chosen_as_http_says(header: str, encodings: list[str]) -> None:
    """A weight of 0 refuses an encoding, a star stands for those not named, and upper case is no matter."""
    assert accepted_encodings(header) == encodings
