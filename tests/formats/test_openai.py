"""OpenAI's shapes, of Chat Completions and of the Responses API."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from chatlab.errors import UnsupportedContent
from chatlab.formats import (
    from_openai,
    from_responses,
    to_openai,
    to_responses,
)
from chatlab.messages import (
    FilePart,
    Message,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    ToolResult,
)
from tests.formats.strategies import (
    anything,
    assistants,
    audio_files,
    bare_results,
    conversations,
    documents,
    image_files,
    relaxed,
    systems,
    tools,
    users,
)

PNG = FilePart("image/png", "pixel.png", data=b"\x89PNG")
PDF = FilePart("application/pdf", "a.pdf", data=b"%PDF-")
CALL = ToolCall("c1", "weather", '{"city": "Oslo"}')
RESULT = ToolResult("c1", "rain", "weather")
AGENT = Message("assistant", (ReasoningPart("hm"), TextPart("I look. "), CALL, RESULT, TextPart("It rains.")))


# --- round trips -------------------------------------------------------------------------------------------


@relaxed
@given(
    conversations(users(image_files | audio_files | documents), systems, assistants(), tools(bare_results))
)
def test_what_chat_completions_can_carry_comes_back_unchanged(messages: tuple[Message, ...]) -> None:
    assert from_openai(json.loads(json.dumps(to_openai(messages)))) == messages


@relaxed
@given(conversations(users(image_files | documents), systems, assistants(), tools(bare_results)))
def test_what_the_responses_api_can_carry_comes_back_unchanged(messages: tuple[Message, ...]) -> None:
    messages = tuple(_one_answer_a_turn(messages))
    assert from_responses(json.loads(json.dumps(to_responses(messages)))) == messages


def _one_answer_a_turn(messages: tuple[Message, ...]) -> list[Message]:
    """An item of text always starts a message, one of a call never does: so no call may begin an answer
    that follows an answer."""
    kept: list[Message] = []
    for message in messages:
        bare_call = message.parts and isinstance(message.parts[0], ToolCall)
        if bare_call and kept and kept[-1].role == "assistant":
            continue
        kept.append(message)
    return kept


@relaxed
@given(anything)
def test_an_agents_answer_loses_nothing_but_its_thoughts_in_chat_completions(
    messages: tuple[Message, ...],
) -> None:
    sent = to_openai(messages)
    back = from_openai(sent)
    assert to_openai(back) == sent
    assert _said(back) == _said(messages)


@relaxed
@given(anything)
def test_an_agents_answer_loses_nothing_but_its_thoughts_in_responses(messages: tuple[Message, ...]) -> None:
    # Calls join the answer before them, and one that says nothing then needs no item of its own.
    empty = {"type": "message", "role": "assistant", "content": ""}
    sent = to_responses(messages)
    back = from_responses(sent)
    assert [i for i in to_responses(back) if i != empty] == [i for i in sent if i != empty]
    assert _said(back) == _said(messages)


def _said(messages: tuple[Message, ...]) -> list[object]:
    """All texts of a role in a row as one, and how often each tool was called and answered."""
    texts: dict[Role, str] = {}
    for message in messages:
        texts[message.role] = texts.get(message.role, "") + message.text
    parts = [part for message in messages for part in message.parts]
    called = [part for part in parts if isinstance(part, ToolCall)]
    answered = [part for part in parts if isinstance(part, ToolResult)]
    return [{role: text for role, text in texts.items() if text}, called, answered]


# --- Chat Completions --------------------------------------------------------------------------------------


def test_an_agents_answer_becomes_messages_in_the_order_of_events() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    assert to_openai([AGENT]) == [
        {"role": "assistant", "content": "I look. ", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
        {"role": "assistant", "content": "It rains."},
    ]


def test_parallel_calls_stay_in_one_message() -> None:
    other = ToolCall("c2", "time", "{}")
    sent = to_openai([Message("assistant", (CALL, other, RESULT, ToolResult("c2", "noon")))])
    assert [message["role"] for message in sent] == ["assistant", "tool", "tool"]
    assert [call["id"] for call in sent[0]["tool_calls"]] == ["c1", "c2"]
    assert sent[0]["content"] is None


def test_files_go_as_images_audio_or_files() -> None:
    wav = FilePart("audio/wav", data=b"RIFF")
    remote = FilePart("image/jpeg", url="https://example.org/a.jpg")
    sent = to_openai([Message("user", (PNG, remote, wav, PDF, TextPart(" look ")))])
    b64 = {name: base64.b64encode(part.data or b"").decode() for name, part in (("png", PNG), ("pdf", PDF))}
    assert sent[0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{b64['png']}"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.jpg"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{b64['pdf']}"},
        },
        {"type": "text", "text": " look "},
    ]


def test_an_empty_answer_is_sent_as_an_empty_string() -> None:
    assert to_openai([Message("assistant", ())]) == [{"role": "assistant", "content": ""}]
    assert to_responses([Message("assistant", (ReasoningPart("hm"),))]) == [
        {"type": "message", "role": "assistant", "content": ""}
    ]
    assert from_openai([{"role": "assistant", "content": ""}]) == (Message("assistant", ()),)


def test_reasoning_of_compatible_servers_is_read() -> None:
    summary = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]}
    back = from_openai(
        [
            {"role": "assistant", "reasoning_content": "hm", "content": "a"},
            {"role": "assistant", "reasoning": "hm", "content": None},
            {"role": "assistant", "content": [summary, {"type": "text", "text": "b"}]},
        ]
    )
    assert back == (
        Message("assistant", (ReasoningPart("hm"), TextPart("a"))),
        Message("assistant", (ReasoningPart("hm"),)),
        Message("assistant", (ReasoningPart("so"), TextPart("b"))),
    )


def test_developer_is_system_and_a_refusal_is_text() -> None:
    assert from_openai(
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "assistant", "content": None, "refusal": "No."},
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        ]
    ) == (Message.of("system", "Be brief."), Message.of("assistant", "No."), Message.of("assistant", "No."))


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("hello", "message 1: expected an object with role and content, found a str"),
        ({"content": "x"}, "message 1: expected a role of system, user, assistant or tool, found none"),
        ({"role": "function", "content": "x"}, "found 'function'"),
        (
            {"role": "user", "content": None},
            "message 1: expected content as a string or a list of parts, found null",
        ),
        ({"role": "user", "content": ["x"]}, "message 1, part 0: expected a part of type text or image_url"),
        ({"role": "user", "content": [{"type": "video", "video": 1}]}, "of type 'video' with type, video"),
        (
            {"role": "user", "content": [{"type": "text", "text": 1}]},
            "expected text as a string, found a int",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]},
            "not a data URL",
        ),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]},
            "not a data URL",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "f1"}}]},
            "a file with its content",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_data": "data:x/y;base64,!"}}]},
            "not base64",
        ),
        ({"role": "assistant", "content": None, "function_call": {"name": "x"}}, "message 1, function_call"),
        ({"role": "assistant", "content": "", "tool_calls": [{"type": "custom"}]}, "message 1, tool call 0"),
        ({"role": "tool", "content": "x"}, "a tool message with tool_call_id"),
    ],
)
def test_an_unknown_chat_shape_is_named_with_its_place(item: Any, says: str) -> None:
    with pytest.raises(UnsupportedContent) as caught:
        from_openai([{"role": "user", "content": "fine"}, item])
    assert says in str(caught.value)


def test_an_error_about_a_shape_does_not_repeat_what_was_written() -> None:
    with pytest.raises(UnsupportedContent) as caught:
        from_openai([{"role": "user", "content": [{"type": "text", "text": ["my secret"]}]}])
    assert "my secret" not in str(caught.value)


@pytest.mark.parametrize("convert", [to_openai, to_responses])
@pytest.mark.parametrize(
    ("message", "says"),
    [
        (Message("user", (CALL,)), "message 0: a user message cannot hold a ToolCall"),
        (Message("user", (PNG, CALL)), "message 0: a user message cannot hold a ToolCall"),
        (Message("system", (PNG,)), "message 0: a system message cannot hold a FilePart"),
        (Message("tool", (TextPart("x"),)), "message 0: a tool message cannot hold a TextPart"),
        (Message("assistant", (PNG,)), "message 0: an assistant message cannot hold a file (image/png) here"),
    ],
)
def test_what_the_formats_cannot_carry_is_an_error(convert: Any, message: Message, says: str) -> None:
    with pytest.raises(UnsupportedContent) as caught:
        convert([message])
    assert str(caught.value) == says


def test_chat_completions_takes_no_document_by_url() -> None:
    part = FilePart("application/pdf", url="https://example.org/a.pdf")
    with pytest.raises(UnsupportedContent, match="message 0: Chat Completions takes only images by URL"):
        to_openai([Message("user", (part,))])


@pytest.mark.parametrize("convert", [to_openai, to_responses])
def test_an_upload_that_is_gone_asks_to_attach_it_again(convert: Any, tmp_path: Path) -> None:
    part = FilePart("image/png", "gone.png", path=tmp_path / "gone.png")
    with pytest.raises(UnsupportedContent, match=r"message 0: gone\.png: No such file.*attach it again"):
        convert([Message("user", (part,))])


# --- Responses ---------------------------------------------------------------------------------------------


def test_responses_items_keep_the_order_of_events() -> None:
    assert to_responses([Message.of("system", "s"), AGENT]) == [
        {"type": "message", "role": "system", "content": "s"},
        {"type": "message", "role": "assistant", "content": "I look. "},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city": "Oslo"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "rain"},
        {"type": "message", "role": "assistant", "content": "It rains."},
    ]


def test_responses_files_are_input_parts() -> None:
    remote = FilePart("application/pdf", url="https://example.org/a.pdf")
    content = to_responses([Message("user", (PNG, PDF, remote, TextPart("x")))])[0]["content"]
    assert content == [
        {"type": "input_image", "detail": "auto", "image_url": PNG.data_url()},
        {"type": "input_file", "filename": "a.pdf", "file_data": PDF.data_url()},
        {"type": "input_file", "file_url": "https://example.org/a.pdf"},
        {"type": "input_text", "text": "x"},
    ]


def test_a_replys_output_is_read_with_its_reasoning() -> None:
    output = [
        {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}", "id": "f1"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "rain"}]},
        {
            "type": "reasoning",
            "id": "r2",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "so"}],
        },
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "It", "annotations": []}],
        },
        {"role": "assistant", "content": "rains."},
    ]
    assert from_responses(output) == (
        Message("assistant", (ReasoningPart("hm"), ToolCall("c1", "weather", "{}"))),
        Message("tool", (ToolResult("c1", "rain"),)),
        Message("assistant", (ReasoningPart("so"), TextPart("It"))),
        Message.of("assistant", "rains."),
    )


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (
            {"type": "web_search_call"},
            "item 0: expected a message, function_call, function_call_output or reasoning",
        ),
        ({"type": "item_reference", "id": "x"}, "item 0"),
        ({"role": "tool", "content": "x"}, "found 'tool'"),
        (
            {"role": "user", "content": [{"type": "input_image", "file_id": "f"}]},
            "an input_image with its content",
        ),
        (
            {"role": "user", "content": [{"type": "input_file", "file_url": "file:///etc/passwd"}]},
            "not an http(s) URL",
        ),
        ({"type": "function_call", "name": "x"}, "a function call with call_id, name and arguments"),
        ({"type": "function_call_output", "call_id": "c", "output": 7}, "expected content as a string"),
        ({"type": "reasoning", "summary": ["x"]}, "item 0, summary"),
        (7, "found a int"),
    ],
)
def test_an_unknown_responses_item_is_named_with_its_place(item: Any, says: str) -> None:
    with pytest.raises(UnsupportedContent) as caught:
        from_responses([item])
    assert says in str(caught.value)
