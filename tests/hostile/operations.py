"""Hostile GraphQL: documents that are too much, values that are none, and fields that are somebody else's."""

from typing import Any

from tests.hostile.wire import Hostile, operation

PARSE, VALIDATE, INPUT = "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED", "BAD_USER_INPUT"
LONG, DEEP, DEAR = "QUERY_TOO_LONG", "QUERY_TOO_DEEP", "QUERY_TOO_EXPENSIVE"
CURSOR = "CURSOR_INVALID"
TO_FEED = "{ feed { head } }"


def _nested(levels: int) -> str:
    return "{ feed { edges { node { mp { a" + " { a" * levels + " }" * levels + " } } } } }"


def documents() -> list[Hostile]:
    """Refused before anything is executed."""
    doubling = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(30))
    broken: dict[str, tuple[str, str]] = {
        "an open brace": ("{", PARSE),
        "braces without end": ("{" * 1_000, PARSE),
        "brackets in an argument without end": ("{ a(b: " + "[" * 900 + ") }", PARSE),
        "a lone quote": ('{ activity(id: ") { id } }', PARSE),
        "a block string without end": ('{ activity(id: """', PARSE),
        "a control character": ("{ \x07 }", PARSE),
        "words": ("DROP TABLE activities;", PARSE),
        "HTML": ("<script>alert(1)</script>", PARSE),
        "template syntax": ("{{7*7}}", PARSE),
        "an empty selection": ("{ feed { } }", ""),
        "a byte order mark within": ("{ fe\ufeffed }", VALIDATE),
        "ten thousand braces closed": ("{ a " * 5_000 + "}" * 5_000, PARSE),
        "ten thousand fields": ("{ " + "__typename " * 10_000 + "}", LONG),
        "four hundred fields": ("{ " + "__typename " * 400 + "}", LONG),
        "a hundred aliases": ("{ " + " ".join(f"a{n}: __typename" for n in range(100)) + " }", LONG),
        "a hundred times the feed": ("{ " + " ".join(f"a{n}: feed(first: 100) {{ head }}" for n in range(100)) + " }", LONG),
        "a thousand directives": ("{ __typename " + "@skip(if: false) " * 1_000 + "}", LONG),
        "a thousand arguments": ("{ feed(" + "first: 1 " * 1_000 + ") { head } }", LONG),
        "a thousand variables": ("query(" + " ".join(f"$v{n}: Int" for n in range(1_000)) + ") { __typename }", LONG),
        "a thousand operations": (" ".join(f"query Q{n} {{ __typename }}" for n in range(1_000)), LONG),
        "fields that do not exist, 40 deep": (_nested(40), DEEP),
        "twenty levels of inline fragments": ("{ " + "... { " * 20 + "__typename" + " }" * 21, ""),
        "a fragment in itself": ("{ ...F } fragment F on Query { ...F }", VALIDATE),
        "fragments in a circle": ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }", VALIDATE),
        "a circle below fields": (
            "{ feed { edges { node { ...A } } } } fragment A on Activity { mp { ...M } } fragment M on Mp { ...M }",
            VALIDATE,
        ),
        "fragments that double thirty times": ("{ ...F0 } " + doubling + " fragment F30 on Query { __typename }", DEAR),
        "a fragment nobody has": ("{ ...Missing }", VALIDATE),
        "a fragment nobody uses": ("{ __typename } fragment F on Query { __typename }", VALIDATE),
        "the same fragment twice": (
            "{ ...F } fragment F on Query { __typename } fragment F on Query { __typename }", VALIDATE,
        ),
        "an unknown field": ("{ users { password } }", VALIDATE),
        "an unknown argument": ("{ feed(sql: 1) { head } }", VALIDATE),
        "an unknown directive": ("{ __typename @defer }", VALIDATE),
        "a directive twice": ("{ __typename @skip(if: false) @skip(if: false) }", VALIDATE),
        "no selection of an object": ("{ feed }", VALIDATE),
        "a selection of a scalar": ("{ feed { head { x } } }", VALIDATE),
        "an undeclared variable": ("{ activity(id: $id) { id } }", VALIDATE),
        "an unused variable": ("query($id: ID) { __typename }", VALIDATE),
        "an output type as a variable": ("query($a: Activity) { feed(after: $a) { head } }", VALIDATE),
        "fields that disagree": ("{ feed { a: head a: unreadCount } }", VALIDATE),
        "a definition of a type": ("type Query { a: Int } { a }", VALIDATE),
        "no operation": ("fragment F on Query { __typename }", INPUT),
        "two operations and no name": ("query A { __typename } query B { __typename }", INPUT),
        "a feed of everything in everything": (
            "{ " + " ".join(f"a{n}: feed(first: 100) {{ edges {{ node {{ id title }} }} }}" for n in range(29)) + " }", DEAR,
        ),
    }  # fmt: skip
    return [
        Hostile(f"document: {name}", operation(query), 400 if code else 200, code or None)
        for name, (query, code) in broken.items()
    ] + [
        Hostile("an operation that is not there", operation("query A { __typename }", operationName="B"), 400, INPUT),
        Hostile(
            "a name of 10,000 letters", operation("query A { __typename }", operationName="B" * 10_000), 400, INPUT
        ),
        Hostile("introspection ten levels deep", operation(_introspection(10)), 400, VALIDATE),
    ]


def _introspection(levels: int) -> str:
    return "{ __schema { types { " + "fields { type { " * levels + "name" + " } }" * levels + " } } }"


def values() -> list[Hostile]:
    """Arguments and variables: cursors, IDs, sizes, enumerations."""
    since = "query($c: Cursor!) { updates(since: $c) { cursor } }"
    cursors: dict[str, object] = {
        "empty": "", "words": "now", "a star": "*", "a dollar": "$", "a plus": "+", "a dash": "-", "SQL": "0-0'; DROP TABLE x--",
        "a bare number": "1795527974982", "a number, not text": 1795527974982, "true": True, "a list": ["0-0"], "an object": {"a": 1},
        "negative": "-1-0", "a sequence too large": "1-1048576", "beyond a bigint": "9999999999999-0", "a megabyte of digits":
        "1" * 500_000 + "-0", "a leading zero": "01-0", "three parts": "1-2-3", "exponents": "1e3-0", "hex": "0x1-0",
        "Arabic digits": "\u0661-\u0660", "a line feed": "1-0\n", "a null byte": "1-0\0", "a Redis command": "0-0\r\nFLUSHALL\r\n",
        "spaces": " 1-0 ", "an underscore": "1_0-0",
    }  # fmt: skip
    feed = "query($n: Int!, $a: String) { feed(first: $n, after: $a) { head } }"
    sizes: dict[str, object] = {
        "zero": 0, "minus one": -1, "a hundred and one": 101, "the largest Int": 2**31 - 1, "beyond Int": 2**31,
        "beyond 64 bits": 2**63, "a fraction": 1.5, "text": "20", "null": None, "true": True, "a list": [1, 2],
    }  # fmt: skip
    whole = {"zero", "minus one", "a hundred and one", "the largest Int"}
    one = "query($id: ID!) { activity(id: $id) { id } }"
    nobody: dict[str, object] = {"the last bigint": str(2**63 - 1)}
    ids: dict[str, object] = {
        "zero": "0", "minus one": "-1", "beyond a bigint": str(2**63), "a thousand digits": "9" * 1_000, "words": "abc", "SQL": "1 OR 1=1", "empty": "",
        "a null byte": "1\0", "hex": "0x1", "Arabic digits": "\u0661", "a fraction": "1.0", "an underscore": "1_0", "a space": " 1",
    }  # fmt: skip
    return [
        *(Hostile(f"cursor: {name}", operation(since, {"c": text}), 400, CURSOR) for name, text in cursors.items()),
        *(
            Hostile(f"first: {name}", operation(feed, {"n": size}), 200 if name in whole else 400, INPUT)
            for name, size in sizes.items()
        ),
        *(
            Hostile(f"after: {name}", operation(feed, {"n": 1, "a": text}), 200, CURSOR if text else None)
            for name, text in cursors.items()
            if isinstance(text, str)
        ),
        *(Hostile(f"ID: {name}", operation(one, {"id": text}), 200) for name, text in nobody.items()),
        *(Hostile(f"ID: {name}", operation(one, {"id": text}), 200, INPUT) for name, text in ids.items()),
    ]


MARK = "mutation($ids: [ID!]!) { markRead(activityIds: $ids) { readState { version } } }"
PUBLISH = "mutation($i: PublishActivityInput!) { publishActivity(input: $i) { __typename } }"


def changes() -> list[Hostile]:
    """Mutations and filters with too much in them, or with what PostgreSQL would not store."""
    filtered = "query($f: ActivityFilter!) { feed(filter: $f) { head } }"
    marks: dict[str, tuple[object, int, str]] = {
        "five hundred and one": ([str(n) for n in range(501)], 200, INPUT),
        "ten thousand": ([str(n) for n in range(10_000)], 400, "BAD_REQUEST"),
        "words": (["abc"], 200, INPUT),
        "null among them": (["1", None], 400, INPUT),
        "an ID of a megabyte": (["1" * 900_000], 200, INPUT),
        "a list in a list": ([["1"]], 400, INPUT),
        "an object": ({"ids": 1}, 400, INPUT),
    }
    filters: dict[str, Any] = {
        "a type that is none": {"types": ["COUP"]},
        "a key that is none": {"sql": "1=1"},
        "a thousand MPs": {"mpIds": [str(n) for n in range(1_000)]},
        "an MP of words": {"mpIds": ["abc"]},
        "a bill beyond a bigint": {"billIds": [str(2**63)]},
        "a list": [],
        "text": "all",
    }
    good = {"type": "VOTE", "title": "t"}
    published: dict[str, Any] = {
        "a title of 100,000 letters": good | {"title": "a" * 100_000},
        "an empty title": good | {"title": ""},
        "a title with a null byte": good | {"title": "a\0b"},
        "a summary of half a megabyte": good | {"summary": "a" * 500_000},
        "an address of a script": good | {"url": "javascript:alert(1)"},
        "an address of data": good | {"url": "data:text/html,<script>"},
        "an address with half a bracket": good | {"url": "http://[::1"},
        "an address with a line feed": good | {"url": "https://example.org/\n.evil"},
        "an instant before all calendars": good | {"occurredAt": "0001-01-01T00:00:00+14:00"},
        "a null byte in a key of metadata": good | {"metadata": {"\0": 1}},
        "an MP that is none": good | {"mpId": str(2**62)},
        "an instant of words": good | {"occurredAt": "yesterday"},
        "an instant beyond time": good | {"occurredAt": "99999-01-01T00:00:00Z"},
        "metadata that is a list": good | {"metadata": [1]},
        "metadata of 200 KB": good | {"metadata": {"a": "b" * 200_000}},
        "metadata with a null byte": good | {"metadata": {"a": "\0"}},
        "a type that is none": good | {"type": "COUP"},
        "no title": {"type": "VOTE"},
        "its own cursor": good | {"cursor": "1-0"},
    }
    malformed = {"a type that is none", "a key that is none", "a list", "text"}
    unreadable = {"an instant of words", "an instant beyond time", "a type that is none", "no title", "its own cursor"}
    through = "mutation($c: Cursor!) { markAllRead(through: $c) { readState { version } } }"
    acknowledge = "mutation($c: Cursor!, $s: ID!) { acknowledge(through: $c, subscriber: $s) { __typename } }"
    return [
        *(Hostile(f"markRead: {name}", operation(MARK, {"ids": ids}), status, code) for name, (ids, status, code) in marks.items()),
        *(Hostile(f"filter: {name}", operation(filtered, {"f": given}), 400 if name in malformed else 200, INPUT) for name, given in filters.items()),
        *(Hostile(f"publish: {name}", operation(PUBLISH, {"i": given}, scope="publish"), *((400, INPUT) if name in unreadable else (200, "ActivityRefused"))) for name, given in published.items()),
        Hostile("markAllRead beyond the log", operation(through, {"c": "8000000000000-0"}), 200, "CURSOR_FROM_THE_FUTURE"),
        Hostile("acknowledge for a device of 10,000 letters", operation(acknowledge, {"c": "0-0", "s": "a" * 10_000}), 200, INPUT),
        Hostile("acknowledge for another user's device", operation(acknowledge, {"c": "0-0", "s": "bob:phone"}), 200, INPUT),
        Hostile("acknowledge for a device with a star", operation(acknowledge, {"c": "0-0", "s": "*"}), 200, INPUT),
    ]  # fmt: skip


def rights() -> list[Hostile]:
    """Fields that the token's scopes do not open, also where another field of the operation is allowed."""
    no = "FORBIDDEN"
    refused: dict[str, tuple[str, str]] = {
        "dead letters for a reader": ("{ deadLetters { edges { node { id } } } }", "read"),
        "dead letters beside the health": ("{ health { __typename } deadLetters { edges { node { id } } } }", "read"),
        "redrive for a reader": ('mutation { redriveDeadLetter(id: "1") { __typename } }', "read"),
        "discard for a publisher": ('mutation { discardDeadLetter(id: "1") { __typename } }', "publish"),
        "publish for a reader": ('mutation { publishActivity(input: {type: VOTE, title: "t"}) { __typename } }', "read"),
        "publish through an alias": ('mutation { markRead: publishActivity(input: {type: VOTE, title: "t"}) { __typename } }', "read"),
        "the feed for a publisher": ("{ feed { head } }", "publish"),
        "the feed for an operator": ("{ feed { head } }", "ops"),
        "the feed in a fragment": ("{ ...F } fragment F on Query { feed { head } }", "publish"),
        "the feed behind a directive": ("{ feed @include(if: true) { head } }", "publish"),
        "marks for a publisher": ('mutation { markRead(activityIds: ["1"]) { readState { version } } }', "publish"),
    }  # fmt: skip
    return [
        Hostile(f"rights: {name}", operation(query, scope=scope), 200, no) for name, (query, scope) in refused.items()
    ]
