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


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("host: https://me:dapi0123456789abcdef0123456789@dbc.example.com\n", ":2:7: host"),
        ("host: {env: dapi0123456789abcdef0123456789}\n", ":2:13: host.env"),
        ("system: The token is dapi0123456789abcdef0123456789.\n", ":2:9: system"),
        ("deploy: {environment: {URL: 'https://a:0123456789abcdef@b.example.com'}}\n", ":2:29: deploy"),
        ("token: dapi0123456789abcdef0123456789\n", ":2:1: token"),
    ],
)
def test_a_secret_is_never_written_literally(tmp_path: Path, text: str, place: str) -> None:
    told = problems(tmp_path, f"endpoint: m\n{text}")
    assert any(one.startswith(place) for one in told), told
    assert "0123456789abcdef" not in "".join(told)
    if not text.startswith("token"):
        assert "a secret is given by reference, {env: NAME} or {file: PATH}, never literally" in told[0]


def test_an_endpoints_secret_is_one_of_a_scope(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "endpoint: m\ndeploy: {environment: {MAIL_PASSWORD: hunter2}}\n")
    assert "MAIL_PASSWORD belongs into a scope of secrets: write {{secrets/SCOPE/KEY}}" in problem
    assert "hunter2" not in problem
    file = tmp_path / "agent.yaml"
    file.write_text(
        "endpoint: m\ndeploy: {environment: {MAIL_PASSWORD: '{{secrets/mail/pass}}', MAX_TOKENS: '9'}}\n"
    )
    assert load_agent(file).deploy.environment["MAX_TOKENS"] == "9"


def test_the_sample_is_a_whole_agent() -> None:
    agent = load_agent(SHIPPED)
    assert {tool.type for tool in agent.tools} == {"search", "function", "sql"}
    assert agent.whom == "user" and agent.approved
