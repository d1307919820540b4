"""Trusted documents: operations that clients name by the SHA-256 of their text, known to the server beforehand."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from schema.refusals import HttpRefusal

NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
NOT_TRUSTED = "DOCUMENT_NOT_TRUSTED"
_SHA256 = re.compile("[0-9a-f]{64}")


class TrustedDocuments:
    """The texts by their hashes; with `only`, no other text is executed.

    A request names one by `documentId: "sha256:<hex>"`, or as Apollo clients do by `extensions.persistedQuery`. Nobody
    adds a document over HTTP: a client that may send any text can as well send it each time.
    """

    def __init__(self, texts: Mapping[str, str], *, only: bool = False) -> None:
        self._texts = dict(texts)
        self._known = frozenset(texts.values())
        self._only = only

    @classmethod
    def load(cls, path: Path, *, only: bool) -> "TrustedDocuments":
        """Read a JSON object {"<sha256>": "<document>"}, as GraphQL Code Generator writes it with `hashAlgorithm:
        'sha256'`. Raises ValueError for anything else, and for a text that is not what its hash says.
        """
        try:
            found = orjson.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ValueError(f"TRUSTED_DOCUMENTS: {path} cannot be read as JSON: {error}") from error
        if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
            raise ValueError(f'TRUSTED_DOCUMENTS: {path} must be a JSON object {{"<sha256>": "<document>", …}}')
        texts = {name.removeprefix("sha256:"): text for name, text in found.items()}
        for name, text in texts.items():
            if hashlib.sha256(text.encode()).hexdigest() != name:
                raise ValueError(
                    f"TRUSTED_DOCUMENTS: {path}: {name[:80]!r} is not the SHA-256 of its document; write the file anew"
                    " (GraphQL Code Generator: hashAlgorithm: 'sha256')"
                )
        return cls(texts, only=only)

    def __iter__(self) -> Any:  # noqa: ANN401 - an iterator of texts
        return iter(self._texts.values())

    def text(self, request: Mapping[str, Any]) -> object:
        """The document that a request means, or whatever it sends as `query`. Raises HttpRefusal (400)."""
        query = request.get("query")
        name = _name(request)
        if name is None:
            if self._only and not (isinstance(query, str) and query in self._known):
                raise HttpRefusal(
                    400, NOT_TRUSTED, "This server executes the documents of its clients only: name one by its hash."
                )
            return query
        text = self._texts.get(name)
        if text is None and (self._only or query is None):
            raise HttpRefusal(400, NOT_FOUND, "There is no document with that hash here: send its text as query.")
        if query is not None and hashlib.sha256(str(query).encode(errors="replace")).hexdigest() != name:
            raise HttpRefusal(400, "BAD_REQUEST", "The hash is not that of the query: send one of the two.")
        return query if text is None else text


NONE = TrustedDocuments({})


def _name(request: Mapping[str, Any]) -> str | None:
    """The hash that a request names a document by. Raises HttpRefusal (400) for one that is none."""
    name = request.get("documentId")
    if name is None:
        extensions = request.get("extensions")
        persisted = extensions.get("persistedQuery") if isinstance(extensions, dict) else None
        name = persisted.get("sha256Hash") if isinstance(persisted, dict) else None
        if name is None:
            return None
    found = name.removeprefix("sha256:").lower() if isinstance(name, str) else ""
    if not _SHA256.fullmatch(found):
        raise HttpRefusal(400, "BAD_REQUEST", "A document is named by 'sha256:' and the 64 hex digits of its hash.")
    return found
