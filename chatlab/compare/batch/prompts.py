"""Files of prompts: text, JSON lines or CSV. docs/results-format.md describes them.

Whatever the format, an item is a conversation whose user messages are asked in turn. An assistant message
that follows a user message in the file is history: that one is not asked.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from chatlab.backend import Parameter
from chatlab.codec import message_from_json, message_to_json
from chatlab.compare.batch.checks import parse_check
from chatlab.compare.batch.item import KINDS, Item
from chatlab.errors import ChatlabError
from chatlab.formats import from_openai
from chatlab.messages import Message
from chatlab.spelling import did_you_mean
from chatlab.strict_json import load_json
from chatlab.text import encodable
from chatlab.text_files import decoded, without_mark

Row = TypeVar("Row")

Accepted: TypeAlias = Mapping[str, Sequence[Parameter]]
"""What parameters the backend of each lane declares, by the lane's label; none: whatever it is given."""

_KEYS = ("id", "prompt", "messages", "system", "parameters", "expected", "tags", "checks")
_TABLES = {".csv": ",;\t|", ".tsv": "\t;,|", ".tab": "\t;,|"}
_LONGEST_CELL = 2**31 - 1
_SEPARATOR_LINE = re.compile(r"sep=([^\r\n\w])[ \t]*(?:\r\n|\n|\r)", re.I)  # as Excel writes it
_BEYOND = ""  # the column, which no header names, of the cells beyond the last column
_JSON = re.compile(r"\s*(\{|\[\s*[\[{\"])")  # how JSON begins, and a prompt as good as never
_LATER_PROMPT = re.compile(r"prompt_?([2-9]|[1-9]\d)")


class PromptsError(ChatlabError):
    """Every mistake of a file of prompts, each with file:line."""

    http_status = 422

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


def item_to_json(item: Item) -> dict[str, Any]:
    """Return the item as JSON, which `item_from_json` reads."""
    return {
        "id": item.id,
        "messages": [message_to_json(message) for message in item.messages],
        "expected": item.expected,
        "tags": list(item.tags),
        "checks": [spec.to_json() for spec in item.checks],
        "parameters": dict(item.parameters),
    }


def item_from_json(value: Mapping[str, Any]) -> Item:
    """Return the item that `item_to_json` wrote."""
    return Item(
        value["id"],
        tuple(message_from_json(message) for message in value["messages"]),
        value["expected"],
        tuple(value["tags"]),
        tuple(parse_check(said, Path()) for said in value["checks"]),
        value["parameters"],
    )


class ItemsHash:
    """The SHA-256 of what items say, as one list in JSON, whatever file they came from."""

    def __init__(self) -> None:
        self._said = sha256(b"[")
        self._between = ""

    def add(self, item: Mapping[str, Any]) -> None:
        """Take the next item, as `item_to_json` gives it."""
        self._said.update(f"{self._between}{_sorted(item)}".encode("ascii"))
        self._between = ", "

    def hexdigest(self) -> str:
        """Return the hash of those that were taken."""
        whole = self._said.copy()
        whole.update(b"]")
        return whole.hexdigest()


_sorted = json.JSONEncoder(sort_keys=True).encode


def load_items(path: Path, accepted: Accepted | None = None) -> list[Item]:
    """Return the items of a file, else as `items_of_file`."""
    return list(items_of_file(path, accepted))


def read_items(text: str, name: str, accepted: Accepted | None = None) -> list[Item]:
    """Return the items of a text, else as `items_of_text`."""
    return list(items_of_text(text, name, accepted))


def items_of_file(path: Path, accepted: Accepted | None = None) -> Iterator[Item]:
    """Yield the items of a file. accepted: what the lanes take; other parameters are mistakes.

    Raises PromptsError with all its mistakes when it is through, OSError if it cannot be read.
    """
    try:
        text = decoded(path.read_bytes())
    except ValueError as exc:
        raise PromptsError([f"{path}: {exc}"]) from exc
    return items_of_text(text, str(path), accepted)


def items_of_text(text: str, name: str, accepted: Accepted | None = None) -> Iterator[Item]:
    """Yield the items of a file of this name, whose ending says what it is: .jsonl or .ndjson, .csv or .tsv,
    else text with one prompt a line; without an ending JSON lines are told by how they begin.

    accepted, and what is raised, as in `items_of_file`.
    """
    text = without_mark(text)
    ending = Path(name).suffix.lower()
    if ending == ".json":
        raise PromptsError(
            [f"{name}: prompts are not read from .json: write one JSON value a line and name the file .jsonl"]
        )
    if ending in (".jsonl", ".ndjson") or (not ending and _JSON.match(text)):
        return _read_all(_lines(text), _from_json_line, name, accepted or {})
    if ending in _TABLES:
        return _read_all(_csv_rows(text, name, _TABLES[ending]), _from_csv_row, name, accepted or {})
    return _read_all(_lines(text), _from_text, name, accepted or {})


def _read_all(
    rows: Iterator[tuple[int, Row]], read: Callable[[Row, str, Path], Item], name: str, accepted: Accepted
) -> Iterator[Item]:
    where: dict[str, int] = {}
    problems = []
    for number, (line, row) in enumerate(rows, 1):
        try:
            item = read(row, str(number), Path(name).parent)
            if not item.asked or item.asked[-1] != len(item.messages) - 1:
                raise ValueError(
                    "the last message is not the person's: an answer to compare with goes under expected"
                )
            if item.id in where:
                raise ValueError(f"the id {item.id!r} is that of line {where[item.id]} too")
        except (ValueError, ChatlabError) as exc:
            problems.append(f"{name}:{line}: {exc}")
        else:
            where[item.id] = line
            problems += [f"{name}:{line}: {said}" for said in _refused(item.parameters, accepted)]
            yield item
    if not where and not problems:
        problems.append(f"{name} has no prompts")
    if problems:
        raise PromptsError(problems)


def _refused(parameters: Mapping[str, Any], accepted: Accepted) -> Iterator[str]:
    """Yield what no lane knows, and values that a lane which knows the parameter would fail at.

    A lane that does not know it is asked without it, and its answer says so."""
    known = sorted({declared.name for lane in accepted.values() for declared in lane})
    for name, value in parameters.items() if known else ():
        if name not in known:
            hint = did_you_mean(name, known) or f": the lanes know {', '.join(known)}"
            yield f"unknown parameter {name!r}{hint}"
            continue
        wrong: dict[str, list[str]] = {}
        for lane, declared in accepted.items():
            said = next((one.problem(value) for one in declared if one.name == name), None)
            if said is not None:
                wrong.setdefault(said, []).append(lane)
        for said, lanes in wrong.items():
            yield f"the parameter {name} {said} (lane {', '.join(lanes)})"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    # The other characters that Python takes for line ends may stand in a prompt; old files have \r alone.
    for number, line in enumerate(text.split("\n" if "\n" in text else "\r"), 1):
        if line.strip():
            yield number, line.rstrip("\r")


def _from_text(line: str, number: str, _: Path) -> Item:
    return Item(number, (Message.of("user", line),))


def _from_json_line(line: str, number: str, folder: Path) -> Item:
    try:
        value = encodable(load_json(line))
    except ValueError as exc:
        why = "" if isinstance(exc, json.JSONDecodeError) else f": {exc}"
        raise ValueError(f"this line is not JSON{why}") from exc
    if isinstance(value, str):
        value = {"prompt": value}
    unknown = [key for key in value if key not in _KEYS] if isinstance(value, dict) else []
    if unknown:
        hint = did_you_mean(unknown[0], _KEYS) or f": known are {', '.join(_KEYS)}"
        raise ValueError(f"unknown key {unknown[0]!r}{hint}")
    if not isinstance(value, dict) or ("prompt" in value) == ("messages" in value):
        raise ValueError("an item is a JSON text, or an object with either prompt or messages")
    return _item(value, number, folder)


def _item(value: Mapping[str, Any], number: str, folder: Path) -> Item:
    messages: tuple[Message, ...]
    if "messages" in value:
        if not isinstance(value["messages"], list):
            raise ValueError("messages is a list of OpenAI messages")
        messages = from_openai(value["messages"])
    else:
        prompts = _texts("prompt", value["prompt"])
        messages = tuple(Message.of("user", text) for text in prompts)
    if not messages or not all(message.parts for message in messages if message.role == "user"):
        raise ValueError("the prompt is empty")
    system = value.get("system")
    if system is not None:
        if not isinstance(system, str) or messages[0].role == "system":
            raise ValueError("system is a text, and there is only one system prompt")
        messages = (Message.of("system", system), *messages)
    name, expected, parameters = value.get("id"), value.get("expected"), value.get("parameters")
    if isinstance(name, bool) or not isinstance(name, str | int | None) or name == "":
        raise ValueError("id is a text or a number")
    if isinstance(expected, bool) or not isinstance(expected, str | int | float | None):
        raise ValueError("expected is a text or a number")
    if not isinstance(parameters, dict | None):
        raise ValueError("parameters is an object")
    checks = value.get("checks", ())
    return Item(
        number if name is None else str(name),
        messages,
        None if expected is None else str(expected),
        _texts("tags", value.get("tags", [])),
        tuple(
            parse_check(said, folder) for said in (checks if isinstance(checks, list | tuple) else [checks])
        ),
        parameters or {},
    )


def _texts(key: str, value: Any) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError(f"{key} is a text or a list of texts, none of them empty")
    return tuple(texts)


def _csv_rows(text: str, name: str, delimiters: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with the line it begins on. Raises PromptsError for a header that cannot be used."""
    csv.field_size_limit(_LONGEST_CELL)  # Python's own limit is 131,072 characters
    first = _SEPARATOR_LINE.match(text)
    delimiter = first[1] if first else _delimiter(text, delimiters)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    if first:
        next(reader)
    header: list[str] | None = None
    begins = reader.line_num + 1
    try:
        for row in reader:
            line, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if header is None:
                header = _csv_header(row, f"{name}:{line}")
                continue
            beyond = delimiter.join(row[len(header) :])
            yield line, {**dict(zip(header, row, strict=False)), _BEYOND: beyond}
    except csv.Error as exc:
        raise PromptsError([f"{name}:{reader.line_num}: this is not CSV: {exc}"]) from exc


def _delimiter(text: str, delimiters: str) -> str:
    """Return what stands between the cells: by which the first line names the column prompt, and
    most others.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")

    def named(delimiter: str) -> int:
        header = _names(next(csv.reader([first], delimiter=delimiter), []))
        return len(header) if "prompt" in header else 0

    # The first of those that do equally well: a comma, where there is but one column.
    return max(delimiters, key=named)


def _names(row: Sequence[str]) -> list[str]:
    return [cell.strip().lower() for cell in row]


def _csv_header(row: Sequence[str], where: str) -> list[str]:
    header = _names(row)
    known = ("id", "prompt", "system", "expected", "tags", *(kind for kind in KINDS if kind != "expected"))
    problems = [
        f"{where}: unknown column {cell!r}{did_you_mean(cell, known) or ': known are ' + ', '.join(known)}"
        for cell in header
        if cell not in known and not _LATER_PROMPT.fullmatch(cell)
    ]
    if "prompt" not in header:
        problems.append(f"{where}: the first line names the columns, and one of them is prompt")
    if len(set(header)) < len(header):
        problems.append(f"{where}: two columns have the same name")
    if problems:
        raise PromptsError(problems)
    return header


def _from_csv_row(row: Mapping[str, str], number: str, folder: Path) -> Item:
    filled = {name: cell for name, cell in row.items() if cell.strip()}
    if _BEYOND in filled:
        raise ValueError(
            "there are more cells than columns: what stands between cells needs quotes around a cell it is in"
        )
    later = sorted(
        (int(match[1]), cell) for name, cell in filled.items() if (match := _LATER_PROMPT.fullmatch(name))
    )
    if "prompt" not in filled:
        raise ValueError("the prompt is empty")
    value: dict[str, Any] = {
        "prompt": [filled["prompt"], *(cell for _, cell in later)],
        "tags": [tag.strip() for tag in re.split("[,;]", filled.get("tags", "")) if tag.strip()],
        "checks": [f"{kind}:{filled[kind]}" for kind in KINDS if kind != "expected" and kind in filled],
    }
    value |= {name: filled[name] for name in ("id", "system", "expected") if name in filled}
    return _item(value, number, folder)
