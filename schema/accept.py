"""Which of our media types a request's Accept header likes best (RFC 9110, section 12.5.1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

JSON = "application/json"
GRAPHQL_JSON = "application/graphql-response+json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"

RESPONSES = (JSON, GRAPHQL_JSON, EVENT_STREAM)
"""What an operation can be answered as; the first one wins where the client does not care."""


@dataclass(frozen=True, slots=True)
class MediaRange:
    """One entry of an Accept header. `specificity`: 0 for `*/*`, 1 for `text/*`, 2 for a full type."""

    pattern: str
    specificity: int
    quality: float
    position: int

    def matches(self, media_type: str) -> bool:
        if self.specificity == 2:
            return self.pattern == media_type
        return self.specificity == 0 or media_type.startswith(self.pattern[:-1])


@lru_cache(maxsize=256)
def preferred(accept: str | None, offers: tuple[str, ...]) -> str | None:
    """The offer the client likes best: by quality, then its place in the header, then its place in `offers`.

    An offer's quality is that of the most specific range that matches it, so `text/event-stream;q=0, */*` refuses the
    stream. None means that nothing offered is acceptable. No header accepts everything.
    """
    ranges = parse(accept or "*/*")
    ranked: list[tuple[float, int, int]] = []
    for place, offer in enumerate(offers):
        matching = [candidate for candidate in ranges if candidate.matches(offer)]
        if not matching:
            continue
        best = max(matching, key=lambda candidate: candidate.specificity)
        if best.quality > 0:
            ranked.append((-best.quality, best.position, place))
    return offers[min(ranked)[2]] if ranked else None


def parse(accept: str) -> list[MediaRange]:
    """The media ranges of an Accept header, in its order; parameters but `q`, and what is none, are left out."""
    ranges = []
    for position, entry in enumerate(accept.split(",")):
        pattern, *parameters = (part.strip().lower() for part in entry.split(";"))
        kind, slash, subtype = pattern.partition("/")
        if not (kind and slash and subtype):
            continue
        specificity = 2 - (subtype == "*") - (kind == "*")
        ranges.append(MediaRange(pattern, specificity, _quality(parameters), position))
    return ranges


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 1.0
            return min(max(quality, 0.0), 1.0) if math.isfinite(quality) else 1.0
    return 1.0
