"""An evaluation as chatlab's report: one lane, each question an item, each score a check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chatlab.agent.shipping.evaluate import Evaluation, ScoredAnswer, items_of
from chatlab.agent.shipping.project import Project
from chatlab.compare.model import Check, Comparison, Lane, Result
from chatlab.compare.report import Format, report
from chatlab.config.models import cost
from chatlab.errors import UnsupportedContent
from chatlab.ids import ConversationId, LaneId, TurnId
from chatlab.messages import Finish, Message, Part, TextPart, Timing, ToolCall, ToolResult
from chatlab.store import StoredTurn

_FORMATS: dict[str, Format] = {".html": "html", ".md": "markdown", ".jsonl": "jsonl"}
_FIGURES = ("seconds", "cost")  # scores that are no check


def format_of(file: Path) -> Format:
    """Return the format that a file's name says. Raises UnsupportedContent."""
    found = _FORMATS.get(file.suffix)
    if found is None:
        raise UnsupportedContent(f"{file}: the name of a report ends in {', '.join(_FORMATS)}")
    return found


def written(project: Project, found: Evaluation, form: Format) -> str:
    """Return the report."""
    lane = Lane(LaneId("agent"), project.config.name, project.config.name)
    compared = Comparison(
        title=f"Evaluation of {project.config.name}",
        created=datetime.now(UTC),
        mode=None,
        order="sequential",
        blind=False,
        lanes=(lane,),
        results=tuple(_result(project, lane, number, row) for number, row in enumerate(found.rows, 1)),
        notes=(
            f"Run {found.run_id} of MLflow has the traces.",
            *(f"Against the earlier run, {fell}." for fell in found.worse),
        ),
    )
    return report(compared, form)


def _result(project: Project, lane: Lane, number: int, row: ScoredAnswer) -> Result:
    turn = StoredTurn(
        id=TurnId(f"q{number}"),
        owner="",
        conversation=ConversationId(f"q{number}"),
        parent=None,
        created=datetime.now(UTC),
        user=Message.of("user", row.asked),
        backend=lane.backend,
        kind="agent",
        label=lane.label,
        status="finished",
        answer=tuple(_parts(row.outputs)),
        finish=Finish("stop", row.usage),
        timing=Timing(total=row.scores.get("seconds")),
        cost=cost(row.usage, project.config.prices),
    )
    checks = tuple(
        Check(name, float(value) >= 1, float(value))
        for name, value in row.scores.items()
        if name not in _FIGURES and isinstance(value, bool | int | float)
    )
    return Result(f"q{number}", 0, 0, lane.id, turn, None, checks)


def _parts(outputs: Mapping[str, Any]) -> Iterator[Part]:
    """Yield what an answer of either shape is made of."""
    for item in items_of(outputs):
        kind, role = item.get("type"), item.get("role")
        if kind == "function_call":
            yield ToolCall(str(item["call_id"]), str(item["name"]), str(item["arguments"]))
        elif kind == "function_call_output":
            yield ToolResult(str(item["call_id"]), str(item["output"]))
        elif kind == "message":
            yield TextPart("".join(one.get("text") or "" for one in item.get("content") or ()))
        elif role == "tool":
            yield ToolResult(str(item["tool_call_id"]), str(item["content"]), item.get("name"))
        elif role == "assistant":
            for call in item.get("tool_calls") or ():
                made = call["function"]
                yield ToolCall(str(call["id"]), str(made["name"]), str(made["arguments"]))
            if item.get("content"):
                yield TextPart(str(item["content"]))
