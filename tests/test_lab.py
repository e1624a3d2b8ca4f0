"""From Python: what is no conversation is said, and nothing of one is left out."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

import chatlab
from chatlab.errors import InvalidRequest, UnsupportedContent
from chatlab.messages import Finish, Message, TextDelta
from chatlab.secret import remember


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


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "lab.yaml"
    path.write_text("backends: {echo: {kind: echo}}\nstorage: none\n")
    return path


def test_a_script_gets_an_answer_without_awaiting(config: Path) -> None:
    with chatlab.load(config) as lab:
        answer = lab.answer_blocking("echo", "one two", parameters={"max_tokens": 1})
        assert (answer.text, answer.finish.reason) == ("one", "length")
        events = list(lab.stream_blocking("echo", "one two"))
        assert [type(event) for event in events] == [TextDelta, TextDelta, Finish]
        with pytest.raises(InvalidRequest, match="rate should be a number"):
            lab.answer_blocking("echo", "hello", parameters={"rate": "abc"})


async def test_a_notebook_in_which_a_loop_runs_gets_one_too(config: Path) -> None:
    async with chatlab.load(config) as lab:
        assert lab.answer_blocking("echo", "hello").text == "hello"
        assert (
            "".join(e.text for e in lab.stream_blocking("echo", "a b") if isinstance(e, TextDelta)) == "a b"
        )
        assert (await lab.answer("echo", "awaited")).text == "awaited"


def test_leaving_a_blocking_stream_stops_its_turn(config: Path) -> None:
    config.write_text("backends: {echo: {kind: echo, rate: 20}}\nstorage: none\n")
    with chatlab.load(config) as lab:
        started = time.monotonic()
        for event in lab.stream_blocking("echo", "word " * 1000):
            assert isinstance(event, TextDelta)
            break
        assert lab.answer_blocking("echo", "next").text == "next"
        assert time.monotonic() - started < 20, "it was not waited for to its end"


async def test_an_answer_that_is_not_awaited_says_what_to_write(config: Path) -> None:
    async with chatlab.load(config) as lab:
        with pytest.raises(AttributeError, match=r"no text yet.*await lab.answer.*lab.answer_blocking"):
            lab.answer("echo", "hello").text  # type: ignore[attr-defined]  # noqa: B018
        with pytest.raises(TypeError, match=r"async for event in lab.stream.*lab.stream_blocking"):
            for _ in lab.stream("echo", "hello"):  # type: ignore[attr-defined]
                pass
        with pytest.raises(TypeError, match=r"async for event in lab\.stream"):
            await lab.stream("echo", "hello")  # type: ignore[misc]
        both = await asyncio.gather(lab.answer("echo", "a"), asyncio.create_task(lab.answer("echo", "b")))
        assert [answer.text for answer in both] == ["a", "b"]


async def test_a_key_that_a_model_repeats_is_in_nothing_that_is_kept_of_its_answer(config: Path) -> None:
    remember("repeated-Key-0f1e2d3c")
    async with chatlab.load(config) as lab:
        said = "my key: repeated-Key-0f1e2d3c and cmVwZWF0ZWQtS2V5LTBmMWUyZDNj!"
        events = [event async for event in lab.stream("echo", said)]
        assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "my key: *** and ***!"
        assert (await lab.answer("echo", said)).text == "my key: *** and ***!"
