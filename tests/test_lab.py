"""From Python: what is no conversation is said, and nothing of one is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import chatlab
from chatlab.errors import InvalidRequest, UnsupportedContent
from chatlab.messages import Message


@pytest.mark.parametrize(
    ("conversation", "said"),
    [
        (None, "a text or a list of messages, not of type NoneType"),
        (5, "a text or a list of messages, not of type int"),
        ({"role": "user", "content": "a"}, "a text or a list of messages, not of type dict"),
        ([("a", "b")], "message 0: expected an object with role and content"),
        ([{"role": "user", "content": "a"}, "b"], "message 1: expected an object with role and content"),
        ([Message.of("system", "a"), {"role": "user", "content": "b"}], "Message objects or dicts, not both"),
    ],
)
async def test_a_shape_that_is_no_conversation_is_refused(
    conversation: Any, said: str, tmp_path: Path
) -> None:
    config = tmp_path / "lab.yaml"
    config.write_text("backends: {echo: {kind: echo}}\nstorage: none\n")
    async with chatlab.load(config) as lab:
        with pytest.raises(UnsupportedContent, match=said):
            await lab.answer("echo", conversation)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"rate": "abc"}, "rate should be a number"), ({"rate": -1}, "rate should be at least 0")],
)
async def test_a_value_that_a_parameter_does_not_take_is_refused_before_anything_is_sent(
    parameters: dict[str, Any], said: str, tmp_path: Path
) -> None:
    config = tmp_path / "lab.yaml"
    config.write_text("backends: {echo: {kind: echo}}\nstorage: none\n")
    async with chatlab.load(config) as lab:
        with pytest.raises(InvalidRequest, match=said):
            await lab.answer("echo", "hello", parameters=parameters)
