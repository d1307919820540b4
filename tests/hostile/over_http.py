"""Hostile HTTP: methods, targets, headers, framing, media types, bodies, and who else's browser may ask."""

from urllib.parse import quote

from tests.hostile.wire import Hostile, operation, request

FINE = b'{"query":"{ __typename }"}'
GET_FINE = "/graphql?query=" + quote("{ __typename }")
BAD, TYPE, METHOD = "BAD_REQUEST", "UNSUPPORTED_MEDIA_TYPE", "METHOD_NOT_ALLOWED"


def methods() -> list[Hostile]:
    """Only GET and POST are served, and GET changes nothing."""
    served = [
        Hostile(f"method {name}", request(name), 405, METHOD)
        for name in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PURGE")
    ]
    mutation = quote('mutation { markRead(activityIds: ["1"]) { readState { version } } }')
    named = quote('query A { __typename } mutation B { markRead(activityIds: ["1"]) { readState { version } } }')
    return [
        *served,
        Hostile("method HEAD", request("HEAD"), 405),
        Hostile("method that is none", request("GRAPHQL"), 400),
        Hostile("CONNECT", request("CONNECT", "example.org:443"), 400),
        Hostile("GET of a mutation", request("GET", f"/graphql?query={mutation}"), 405, METHOD),
        Hostile(
            "GET choosing a mutation by name", request("GET", f"/graphql?query={named}&operationName=B"), 405, METHOD
        ),
        Hostile(
            "GET of a mutation as a stream",
            request("GET", f"/graphql?query={mutation}", headers={"Accept": "text/event-stream"}),
            405,
            METHOD,
        ),
        Hostile(
            "method override",
            request("GET", f"/graphql?query={mutation}", headers={"X-HTTP-Method-Override": "POST"}),
            405,
            METHOD,
        ),
    ]


def targets() -> list[Hostile]:
    """Paths and query strings."""
    elsewhere = [
        "/graphql/", "//graphql", "/GraphQL", "/graphql/..", "/graphiql/../settings.py", "/graphiql/assets/../../app.py",
        "/graphiql/assets/..%2f..%2f..%2fsettings.py", "/graphiql/assets/%2e%2e/%2e%2e/index.html", "/.env", "/.git/config",
        "/graphiql/assets/..%5c..%5capp.py", "/graphiql/assets//etc/passwd", "/graphiql/assets/%00", "/%", "/graphql%00",
        "/graphiql/assets/" + "a" * 300, "/graphql;x=1", "/metrics/../graphql/x", "/debug", "/admin",
    ]  # fmt: skip
    parameters: dict[str, tuple[str, int, str]] = {
        "no query": ("/graphql?x=1", 400, BAD),
        "empty query": ("/graphql?query=", 400, BAD),
        "query of spaces": ("/graphql?query=%20%20", 400, BAD),
        "variables that are no JSON": (GET_FINE + "&variables=%7B", 400, BAD),
        "variables that are a list": (GET_FINE + "&variables=%5B%5D", 400, BAD),
        "variables that are a number": (GET_FINE + "&variables=1", 400, BAD),
        "extensions that are text": (GET_FINE + "&extensions=%22x%22", 400, BAD),
        "a query of invalid UTF-8": ("/graphql?query=%ff%fe", 400, "GRAPHQL_PARSE_FAILED"),
        "a null byte in the query": ("/graphql?query=%7B%00%7D", 400, "GRAPHQL_PARSE_FAILED"),
        "variables nested deeply": (GET_FINE + "&variables=" + quote('{"a":' * 500 + "1" + "}" * 500), 400, BAD),
    }
    return [
        *(Hostile(f"GET {path[:60]}", request("GET", path), 404) for path in elsewhere),
        *(
            Hostile(f"GET with {what}", request("GET", path), status, code)
            for what, (path, status, code) in parameters.items()
        ),
        Hostile("a target of 40 KB", request("GET", GET_FINE + "&x=" + "a" * 40_000), 431),
        Hostile("a target of 200 KB", request("GET", GET_FINE + "&x=" + "a" * 200_000), 431),
        Hostile("a target with spaces", request("GET", "/graphql ? query"), 400),
        Hostile("a target with a line feed", request("GET", "/graphql\nX: y"), 400, BAD),
    ]


def heads() -> list[Hostile]:
    """Headers that are too large, malformed, or mean two things at once."""
    many = {f"X-{number}": "a" * 40 for number in range(1_000)}
    smuggled = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
    chunked: dict[str, str | bytes] = {"Transfer-Encoding": "chunked", "Content-Length": b""}
    return [
        Hostile("a header of 40 KB", request(headers={"X": "a" * 40_000}, body=FINE), 431),
        Hostile("a header of 1 MB", request(headers={"X": "a" * 1_000_000}, body=FINE), 431),
        Hostile("a thousand headers", request(headers=many, body=FINE), 431),
        Hostile("a header's name of 40 KB", request(headers={"X" * 40_000: "a"}, body=FINE), 431),
        Hostile("a cookie of 40 KB", request(headers={"Cookie": "a=" + "b" * 40_000}, body=FINE), 431),
        Hostile("a null byte in a header", request(headers={"X": b"a\0b"}, body=FINE), 400),
        Hostile("a line feed in a header", request(headers={"X": b"a\n b"}, body=FINE), 400),
        Hostile("a bare carriage return in a header", request(headers={"X": b"a\rb"}, body=FINE), 400),
        Hostile("a space before the colon", request(headers={"X ": "a"}, body=FINE), 400),
        Hostile("a header without a name", request(headers={"": "a"}, body=FINE), 400),
        Hostile("a folded header", request(headers={"X": b"a\r\n folded"}, body=FINE), 400),
        Hostile("two different lengths", request(headers={"Content-length": "5"}, body=FINE), 400),
        Hostile("length and chunks", request(headers={"Transfer-Encoding": "chunked"}, body=b"0\r\n\r\n" + smuggled), 400),
        Hostile("chunked, obfuscated", request(headers=chunked | {"Transfer-Encoding": "xchunked"}, body=smuggled), 400),
        Hostile("chunked twice", request(headers=chunked | {"Transfer-Encoding": "chunked, identity"}, body=smuggled), 400),
        Hostile("a negative length", request(headers={"Content-Length": "-1"}, body=FINE), 400),
        Hostile("a length in hex", request(headers={"Content-Length": "0x1b"}, body=FINE), 400),
        Hostile("a length with a plus", request(headers={"Content-Length": "+27"}, body=FINE), 400),
        Hostile("a length beyond 64 bits", request(headers={"Content-Length": "9" * 30}, body=FINE), 400),
        Hostile("a length of 1 TB", request(headers={"Content-Length": str(10**12)}, body=FINE), 413, "PAYLOAD_TOO_LARGE"),
        Hostile("a chunk of negative size", request(headers=chunked, body=b"-1\r\nx\r\n0\r\n\r\n"), 400),
        Hostile("a chunk beyond 64 bits", request(headers=chunked, body=b"f" * 20 + b"\r\nx"), 400),
        Hostile("a chunk that is no number", request(headers=chunked, body=b"zz\r\nx\r\n0\r\n\r\n"), 400),
        Hostile("an unknown version", request(body=FINE).replace(b"HTTP/1.1", b"HTTP/9.9", 1), 400),
        Hostile("HTTP/2 without asking", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        Hostile("TLS where none is", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), 400),
        Hostile("bytes of nothing", bytes(range(256)) * 4, 400),
        Hostile("a Redis command", b"*1\r\n$8\r\nFLUSHALL\r\n", 400),
        Hostile("an Expect that is none", request(headers={"Expect": "a-miracle"}, body=FINE), 200),
        Hostile("another host", request(headers={"Host": "evil.example"}, body=FINE), 200),
        Hostile("a Host with a path", request(headers={"Host": "a/../b\\c"}, body=FINE), 200),
        Hostile("a forwarded address", request(headers={"X-Forwarded-For": "1.2.3.4, ::1, '; DROP"}, body=FINE), 200),
        Hostile("a traceparent that is none", request(headers={"traceparent": "00-" + "z" * 500}, body=FINE), 200),
        Hostile("an upgrade to WebSocket", request("GET", headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Accept": "application/json",
        }), 400, BAD),
        Hostile("an upgrade to h2c", request(headers={"Connection": "Upgrade, close", "Upgrade": "h2c"}, body=FINE), 400, BAD),
    ]  # fmt: skip


def media() -> list[Hostile]:
    """Content types that browsers send across sites without asking, and others that are none of ours."""
    types: dict[str, str | bytes] = {
        "none": b"",
        "empty": " ",
        "text": "text/plain",
        "text that says JSON": "text/plain; application/json",
        "a form": "application/x-www-form-urlencoded",
        "a form with files": "multipart/form-data; boundary=x",
        "bare GraphQL": "application/graphql",
        "XML": "application/xml",
        "JSON's cousin": "application/jsonp",
        "JSON as text": "text/json",
        "two of them": "text/plain, application/json",
        "nonsense": b"\xff\xfe;;;=",
    }
    accepts = {
        "HTML": "text/html;q=1, x/y;q=0",
        "an image": "image/png",
        "nothing": "*/*;q=0",
        "nonsense": "////,;;;q=,",
        "a stream of nothing": "text/event-stream;q=0",
    }
    wrong = [
        Hostile(f"content type: {name}", request(headers={"Content-Type": kind}, body=FINE), 415, TYPE)
        for name, kind in types.items()
    ]
    unwanted = [
        Hostile(f"accepts {name}", request(headers={"Accept": kind}, body=FINE), 406, "NOT_ACCEPTABLE")
        for name, kind in accepts.items()
    ]
    stream = b'{"query":"subscription { activityAdded { cursor } }"}'
    json_only = request(headers={"Accept": "application/json"}, body=stream)
    return [
        *wrong,
        *unwanted,
        Hostile("a subscription as JSON", json_only, 406, "NOT_ACCEPTABLE"),
        Hostile("ten thousand media ranges", request(headers={"Accept": "a/b," * 5_000}, body=FINE), 406, "NOT_ACCEPTABLE"),
        Hostile("a quality that is not finite", request(headers={"Accept": "*/*;q=nan"}, body=FINE), 200),
        Hostile("a compressed body", request(headers={"Content-Encoding": "gzip"}, body=b"\x1f\x8b" + bytes(50)), 400, BAD),
        Hostile("form of another site", request(
            headers={"Content-Type": "text/plain", "Origin": "https://evil.example", "Cookie": "token=x"},
            body=FINE, user=None,
        ), 401, "UNAUTHENTICATED"),
    ]  # fmt: skip


def bodies() -> list[Hostile]:
    """Bodies that are not one JSON object with a query."""
    broken = {
        "nothing": b"",
        "half an object": b'{"query":"{ __typename }"',
        "a trailing comma": b'{"query":"{ __typename }",}',
        "two objects": FINE + FINE,
        "a number": b"1",
        "null": b"null",
        "text": b'"{ __typename }"',
        "NaN": b"NaN",
        "a batch": b"[" + FINE + b"]",
        "an empty batch": b"[]",
        "a batch of a thousand": b"[" + b",".join([FINE] * 1_000) + b"]",
        "invalid UTF-8": b'{"query":"\xff\xfe"}',
        "overlong UTF-8": b'{"query":"\xc0\xaf"}',
        "half a surrogate": b'{"query":"\\ud800"}',
        "UTF-16": '{"query":"{ __typename }"}'.encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + FINE,
        "null bytes": bytes(1_000),
        "lists nested 100,000 deep": b"[" * 100_000,
        "objects nested 100,000 deep": b'{"a":' * 100_000,
        "closed lists nested 900 deep": b'{"query":"{ __typename }","variables":{"a":' + b"[" * 900 + b"]" * 900 + b"}}",
        "a list of 100,000 in variables": b'{"query":"{ __typename }","variables":{"a":[' + b"0," * 99_999 + b"0]}}",
        "a control character in text": b'{"query":"{ __type\x01name }"}',
        "no query": b'{"variables":{}}',
        "a query of null": b'{"query":null}',
        "a query that is a list": b'{"query":["{ __typename }"]}',
        "a query that is an object": b'{"query":{"$ne":""}}',
        "a query of spaces": b'{"query":"   "}',
        "a name that is a number": b'{"query":"{ __typename }","operationName":1}',
        "variables that are a list": b'{"query":"{ __typename }","variables":[]}',
        "variables that are text": b'{"query":"{ __typename }","variables":"{}"}',
        "extensions that are a list": b'{"query":"{ __typename }","extensions":[1]}',
        "a hash that is none": b'{"documentId":"sha256:../../etc/passwd"}',
        "a hash of nothing known": b'{"documentId":"sha256:' + b"0" * 64 + b'"}',
        "Apollo's hash, unknown": b'{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"' + b"a" * 64 + b'"}}}',
        "Apollo's hash of another query": FINE[:-1]
        + b',"extensions":{"persistedQuery":{"version":1,"sha256Hash":"' + b"a" * 64 + b'"}}}',
        "a hash that is an object": b'{"documentId":{"a":1}}',
    }  # fmt: skip
    special = {
        "a hash of nothing known": "PERSISTED_QUERY_NOT_FOUND",
        "Apollo's hash, unknown": "PERSISTED_QUERY_NOT_FOUND",
    }
    chunked: dict[str, str | bytes] = {"Transfer-Encoding": "chunked", "Content-Length": b""}
    endless = b"".join(b"10000\r\n" + b" " * 65_536 + b"\r\n" for _ in range(40))
    return [
        *(Hostile(f"body: {name}", request(body=body), 400, special.get(name, BAD)) for name, body in broken.items()),
        Hostile("a body of 2 MB", request(body=FINE + b" " * 2**21), 413, "PAYLOAD_TOO_LARGE"),
        Hostile("chunks without end", request(headers=chunked, body=endless), 413, "PAYLOAD_TOO_LARGE"),
        Hostile("a key ten thousand times", request(body=b"{" + b'"query":"{ __typename }",' * 9_999 + FINE[1:]), 200),
        Hostile("keys that reach for Python", operation("{ __typename }", {"__class__": {"__init__": 1}}), 200),
    ]
