"""Judgements as CSV and JSON lines, in the `model_a, model_b, winner` schema that arena tools read.

What is written is read back exactly. Text is written as it is, so take care with a spreadsheet: to it, a name
that begins with "=" is a formula.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chatlab.compare.model import Comparison, Vote
from chatlab.compare.statistics.judgements import Judgement
from chatlab.errors import UnsupportedContent
from chatlab.ids import RoundId
from chatlab.text_files import decoded

COLUMNS = tuple(field.name for field in fields(Judgement))
REQUIRED = COLUMNS[:3]

_BOTH_BAD = {"both_bad", "bothbad"}  # as newer arena data has it
_ADAPTER = TypeAdapter(Judgement)


def to_csv(judgements: Iterable[Judgement]) -> str:
    out = io.StringIO()
    # Cells are quoted wherever needed; a lone carriage return needs it too, which "\n" alone would not see.
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(asdict(one) for one in judgements)
    return out.getvalue()


def to_jsonl(judgements: Iterable[Judgement]) -> str:
    return "".join(f"{json.dumps(asdict(one))}\n" for one in judgements)


def from_csv(text: str, name: str = "CSV") -> list[Judgement]:
    """Return the judgements of a CSV with a header; columns of other tools are passed over.

    Raises UnsupportedContent, with `name` and the line, for what is no judgement.
    """
    csv.field_size_limit(2**31 - 1)  # Python's own limit is 131,072 characters
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    missing = [column for column in REQUIRED if column not in (reader.fieldnames or ())]
    if missing:
        raise UnsupportedContent(f"{name}:1: the header has no {', '.join(missing)}")
    found = []
    try:
        for row in reader:
            found.append(_judgement(row, f"{name}:{reader.line_num}"))
    except csv.Error as exc:
        raise UnsupportedContent(f"{name}:{reader.line_num}: not CSV ({exc})") from exc
    return found


def from_jsonl(text: str, name: str = "JSONL") -> list[Judgement]:
    """Return the judgements of JSON lines, as `from_csv`."""
    return list(_json_lines(text, name))


def _json_lines(text: str, name: str) -> Iterator[Judgement]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as exc:
            raise UnsupportedContent(f"{name}:{number}: not JSON ({exc})") from exc
        if not isinstance(row, dict):
            raise UnsupportedContent(f"{name}:{number}: a line is a JSON object, with {', '.join(REQUIRED)}")
        yield _judgement(row, f"{name}:{number}")


def write(path: Path, judgements: Iterable[Judgement]) -> None:
    """Write a file: JSON lines if its name ends in .jsonl, else CSV."""
    text = to_jsonl(judgements) if path.suffix == ".jsonl" else to_csv(judgements)
    path.write_text(text, "utf-8", newline="")


def read(path: Path) -> list[Judgement]:
    """Read a file that `write` or another arena tool wrote. Raises UnsupportedContent for any other."""
    try:
        text = decoded(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise UnsupportedContent(f"{path.name} could not be read as UTF-8 text: {exc}") from exc
    return (from_jsonl if path.suffix == ".jsonl" else from_csv)(text, path.name)


def votes_on(compared: Comparison, judgements: Iterable[Judgement], name: str) -> tuple[Vote, ...]:
    """Return what people said of a run's answers in a file, as votes on it.

    Lanes go by their labels, items by the
    prompts' ids, `model_a` on the left. Judgements of another source than people are passed over; without a
    criterion they are on the run's only one.

    Raises UnsupportedContent, with `name`, for a lane, prompt or criterion that the run has not.
    """
    lanes = {lane.label: lane.id for lane in compared.lanes}
    items = {result.item for result in compared.results}
    criteria = {verdict.criterion for verdict in compared.verdicts}
    only = next(iter(criteria)) if len(criteria) == 1 else ""
    found = []
    for one in judgements:
        if one.source != "vote":
            continue
        criterion = one.criterion or only
        for what, given, known in (
            *(("lane", label, lanes.keys()) for label in (one.model_a, one.model_b)),
            ("prompt", one.item, items),
            ("criterion", criterion, criteria or {criterion}),
        ):
            if given not in known:
                there = ", ".join(sorted(known)[:8])
                raise UnsupportedContent(f"{name}: the run has no {what} {given!r}; it has {there}")
        best = lanes[one.preferred] if one.preferred else "bad" if one.winner == "tie (bothbad)" else "tie"
        shown = (lanes[one.model_a], lanes[one.model_b])
        found.append(
            Vote(RoundId(one.item), criterion, best, shown, one.voter, compared.created, blind=False)
        )
    return tuple(found)


def _judgement(row: Mapping[Any, Any], where: str) -> Judgement:
    given = {
        key: value
        for key, value in row.items()
        if key in REQUIRED or (key in COLUMNS and value not in (None, ""))
    }
    if given.get("winner") in _BOTH_BAD:
        given["winner"] = "tie (bothbad)"
    try:
        return _ADAPTER.validate_python(given)
    except ValidationError as exc:
        problem = exc.errors(include_url=False)[0]
        column = ".".join(map(str, problem["loc"]))
        raise UnsupportedContent(f"{where}: {column}{': ' if column else ''}{problem['msg']}") from exc
