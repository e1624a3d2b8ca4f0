"""An evaluation as a report: what was asked, called and answered, and how it was scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chatlab.agent.shipping.evaluate import Evaluation, ScoredAnswer
from chatlab.agent.shipping.project import Project
from chatlab.agent.shipping.report import format_of, written
from chatlab.errors import UnsupportedContent
from chatlab.messages import Usage

RESPONSES = {
    "output": [
        {"type": "function_call", "call_id": "c1", "name": "search_documents", "arguments": '{"query": "x"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "Lanes are columns."},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "They are columns."}],
        },
    ]
}
CALL = {"id": "c1", "function": {"name": "search_documents", "arguments": '{"query": "x"}'}}
CHAT = {
    "messages": [
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "content": "Lanes are columns.", "tool_call_id": "c1", "name": "search_documents"},
        {"role": "assistant", "content": "They are columns."},
    ]
}


@pytest.mark.parametrize("outputs", [RESPONSES, CHAT], ids=["responses", "chat"])
def test_a_report_has_each_answer_with_its_tools_scores_and_cost(
    project: Callable[..., Path], outputs: dict[str, Any]
) -> None:
    found = Project.of(project("search", more="prices: {input: 2, output: 8}\n"))
    scores = {"answered": True, "contains_expected": False, "seconds": 1.25, "cost": 0.00028}
    row = ScoredAnswer("What are lanes?", outputs, scores, Usage(100, 10))
    evaluation = Evaluation("run-7", {}, [row], ("answered/mean fell from 1.00 to 0.50",))
    lines = [json.loads(line) for line in written(found, evaluation, "jsonl").splitlines()]
    (result,) = [line for line in lines if "turn" in line]
    assert [part["type"] for part in result["turn"]["answer"]] == ["tool_call", "tool_result", "text"]
    assert result["turn"]["cost"] == pytest.approx(0.00028) and result["turn"]["timing"]["total"] == 1.25
    assert [(one["name"], one["passed"]) for one in result["checks"]] == [
        ("answered", True),
        ("contains_expected", False),
    ]
    page = written(found, evaluation, "html")
    for said in (
        "Evaluation of agent",
        "What are lanes?",
        "They are columns.",
        "Run run-7",
        "fell from 1.00",
    ):
        assert said in page, said


def test_a_report_in_no_known_format_is_refused() -> None:
    with pytest.raises(UnsupportedContent, match=r"ends in \.html, \.md, \.jsonl"):
        format_of(Path("report.pdf"))
