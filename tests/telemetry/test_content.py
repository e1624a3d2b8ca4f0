"""What was written is part of a trace where somebody asks for it, redacted, and never else."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

import chatlab
from chatlab.errors import ChatlabError
from chatlab.messages import Message
from chatlab.telemetry import content
from chatlab.telemetry.content import ContentTeller
from tests.telemetry.collector import attributes, collector

AGENT = Path(__file__).parents[2] / "configs" / "samples" / "agent.jsonl"
KEY = "sk-proj-" + "a1B2" * 12


async def told(tmp_path: Path, asked: str, backend: str, more: str = "") -> dict[str, Any]:
    """What a collector is told of one turn."""
    with collector() as found:
        file = tmp_path / "chatlab.yaml"
        file.write_text(
            f"""
backends:
  echo: {{kind: echo, system: 'Answer ann@example.org.'}}
  tools: {{kind: replay, recording: '{AGENT}', speed: 0}}
storage: none
telemetry: {{otlp: '{found.url}'{more}}}
"""
        )
        async with chatlab.load(file) as lab:
            await lab.answer(backend, asked)
    (span,) = found.named("chat ")
    return attributes(span)


async def test_what_was_written_is_told_redacted_as_the_conventions_say(tmp_path: Path) -> None:
    more = ", content: {redact: [email]}"
    said = await told(tmp_path, f"I am bob@example.org with {KEY}", "echo", more)
    clean = "I am [redacted: email] with ***"
    assert json.loads(said["gen_ai.system_instructions"]) == [
        {"type": "text", "content": "Answer [redacted: email]."}
    ]
    assert json.loads(said["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": clean}]}
    ]
    (answer,) = json.loads(said["gen_ai.output.messages"])
    assert answer == {
        "role": "assistant",
        "parts": [{"type": "text", "content": clean}],
        "finish_reason": "stop",
    }


async def test_tools_are_told_with_what_they_were_given_and_gave(tmp_path: Path) -> None:
    said = await told(tmp_path, "Will I need an umbrella in Lisbon tomorrow?", "tools", ", content: {}")
    (answer,) = json.loads(said["gen_ai.output.messages"])
    parts = {part["type"]: part for part in answer["parts"]}
    assert {"text", "tool_call", "tool_call_response"} <= set(parts)
    assert parts["tool_call"]["id"] == parts["tool_call_response"]["id"]
    assert parts["tool_call"]["arguments"] and parts["tool_call_response"]["response"]


async def test_without_being_asked_for_nothing_written_is_told(tmp_path: Path) -> None:
    said = await told(tmp_path, "a canary", "echo")
    assert not [name for name in said if "messages" in name or "instructions" in name]
    assert "canary" not in json.dumps(said)


def test_a_pattern_that_is_none_is_said_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "chatlab.yaml"
    file.write_text("backends: {echo: {kind: echo}}\ntelemetry:\n  content: {redact: ['(']}\n")
    with pytest.raises(ChatlabError, match=r"chatlab.yaml:3:.*pattern 1 .* is not a regular expression"):
        chatlab.load(file)


def test_content_that_comes_faster_than_it_is_told_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_MOST_WAITING", 2)
    hold, found = threading.Event(), []
    teller = ContentTeller(())

    def first(told: Any) -> None:
        hold.wait(30)
        found.append(told)

    answer = Message.of("assistant", "hello")
    for then in (first, found.append, found.append, found.append):
        teller.tell(None, answer, "stop", then)
    assert found == [{}, {}], "what is one too many is told without, at once"
    hold.set()
    teller.close()
    assert [bool(told) for told in found] == [False, False, True, True]
