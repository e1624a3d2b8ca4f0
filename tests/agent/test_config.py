"""The file of an agent: what is wrong with it is said by line and column, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from chatlab.agent.config import load_agent
from chatlab.errors import ConfigError

SHIPPED = Path(__file__).parents[2] / "configs" / "agent.yaml"


def problems(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "agent.yaml"
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as raised:
        load_agent(file)
    return [problem.removeprefix(str(file)) for problem in raised.value.problems]


def test_all_mistakes_are_told_with_their_place(tmp_path: Path) -> None:
    text = (
        "endpoint: m\nsystme: hi\ntools:\n"
        "  - {type: search, index: main.index, columns: [id]}\n"
        "  - {type: sql, warehouse: w, max_rows: 0}\n"
    )
    assert [problem.partition(" ")[0] for problem in problems(tmp_path, text)] == [
        ":2:1:",
        ":4:27:",
        ":5:41:",
    ]


def test_two_tools_of_one_name_are_refused(tmp_path: Path) -> None:
    tool = "  - {type: sql, warehouse: w}\n"
    (problem,) = problems(tmp_path, f"endpoint: m\ntools:\n{tool}{tool}")
    assert "two tools have the name query_tables" in problem


@pytest.mark.parametrize("text", ["", "- a\n", "endpoint: [\n"])
def test_what_is_no_file_of_an_agent_is_one_sentence(tmp_path: Path, text: str) -> None:
    assert len(problems(tmp_path, text)) == 1


def test_the_sample_is_a_whole_agent() -> None:
    agent = load_agent(SHIPPED)
    assert {tool.type for tool in agent.tools} == {"search", "function", "sql"}
    assert agent.whom == "user" and agent.approved
