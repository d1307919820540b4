"""JSON lines, for any source; docs/import-format.md describes them."""

import difflib
from datetime import datetime
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from resolvers.activities import ActivityType
from resolvers.importing.records import ActivityRecord, BillRecord, ImportProblem, ImportRefused, MpRecord
from resolvers.storable import storable_instant, storable_metadata

WITHOUT_NULL = r"^[^\x00]*$"
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=WITHOUT_NULL)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class MpLine(_Strict):
    """An MP."""

    name: Text
    party: Text | None = None
    riding: Text | None = None


class BillLine(_Strict):
    """A bill."""

    number: Text
    title: Text | None = None


class ActivityLine(_Strict):
    """One line."""

    source: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,39}$")]
    id: Annotated[str, Field(min_length=1, max_length=200, pattern=WITHOUT_NULL)]
    type: ActivityType
    title: Text
    occurred_at: Annotated[AwareDatetime, AfterValidator(storable_instant)]
    summary: Annotated[str, Field(max_length=5_000, pattern=WITHOUT_NULL)] | None = None
    url: Annotated[str, Field(max_length=2_000, pattern=r"^https?://[^\s\x00]+$")] | None = None
    mp: MpLine | None = None
    bill: BillLine | None = None
    metadata: Annotated[dict[str, Any], AfterValidator(storable_metadata)] = Field(default_factory=dict)

    def record(self) -> ActivityRecord:
        """The record it stands for."""
        return ActivityRecord(
            source_id=f"{self.source}:{self.id}",
            type=self.type,
            title=self.title,
            occurred_at=datetime.fromisoformat(self.occurred_at.isoformat()),
            summary=self.summary,
            url=self.url,
            mp=MpRecord(self.mp.name, self.mp.riding, self.mp.party) if self.mp else None,
            bill=BillRecord(self.bill.number, self.bill.title or self.bill.number) if self.bill else None,
            metadata=self.metadata,
        )


def read(content: bytes) -> tuple[list[ActivityRecord], list[ImportProblem]]:
    """Every line's record. Raises ImportRefused, naming the line, when one is not as described; nothing is skipped."""
    records: list[ActivityRecord] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        if not line.strip():
            continue
        record = _read_line(line, number)
        if record.source_id in seen:
            raise ImportRefused(f"line {number}: {record.source_id!r} stands on line {seen[record.source_id]} already")
        seen[record.source_id] = number
        records.append(record)
    if not records:
        raise ImportRefused("there is nothing in it: a JSON object on each line is expected")
    return records, []


def _read_line(line: bytes, number: int) -> ActivityRecord:
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ImportRefused(f"line {number}: not JSON ({error})") from error
    try:
        return ActivityLine.model_validate(parsed).record()
    except ValidationError as error:
        first = error.errors()[0]
        raise ImportRefused(f"line {number}: {_explain(first['type'], first['loc'], first['msg'])}") from error


def _explain(kind: str, where: tuple[int | str, ...], message: str) -> str:
    path = ".".join(str(part) for part in where) or "the line"
    if kind != "extra_forbidden":
        return f"'{path}': {message}"
    nested: dict[object, type[BaseModel]] = {"mp": MpLine, "bill": BillLine}
    model: type[BaseModel] = ActivityLine if len(where) == 1 else nested.get(where[0], ActivityLine)
    known = list(model.model_fields)
    near = difflib.get_close_matches(str(where[-1]), known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
    return f"'{path}' is not a key of this format; {hint}"
