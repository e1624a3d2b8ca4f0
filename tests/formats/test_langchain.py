"""LangChain messages: what chat models get from us, and what chains and graphs hand back."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

from chatlab.errors import UnsupportedContent
from chatlab.formats import from_langchain, to_langchain
from chatlab.messages import (
    FilePart,
    Message,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from tests.formats.strategies import (
    anything,
    arguments,
    assistants,
    audio_files,
    conversations,
    documents,
    ids,
    image_files,
    names,
    relaxed,
    systems,
    texts,
    tools,
    users,
)

PNG = FilePart("image/png", data=b"\x89PNG")
results = st.builds(ToolResult, ids, texts | st.just(""), st.none() | names, st.booleans())
calls = st.builds(ToolCall, ids, names, arguments)


@relaxed
@given(
    conversations(users(image_files | audio_files | documents), systems, assistants(calls), tools(results))
)
def test_what_langchain_can_carry_comes_back_unchanged(messages: tuple[Message, ...]) -> None:
    assert from_langchain(to_langchain(messages)) == messages


@relaxed
@given(anything)
def test_an_agents_answer_loses_nothing_but_its_thoughts(messages: tuple[Message, ...]) -> None:
    sent = to_langchain(messages)
    back = from_langchain(sent)
    assert to_langchain(back) == sent
    for kind in (ToolCall, ToolResult):
        assert _parts(back, kind) == _parts(messages, kind)
    assert "".join(m.text for m in back) == "".join(m.text for m in messages)


def _parts(messages: tuple[Message, ...], kind: type) -> list[object]:
    return [part for message in messages for part in message.parts if isinstance(part, kind)]


def test_each_role_has_its_langchain_class() -> None:
    call = ToolCall("c1", "weather", '{"city": "Oslo"}')
    sent = to_langchain(
        [
            Message.of("system", "s"),
            Message.of("user", " u\n"),
            Message("assistant", (ReasoningPart("hm"), TextPart("a"), call)),
            Message("tool", (ToolResult("c1", "rain", "weather", is_error=True),)),
        ]
    )
    assert sent == [
        SystemMessage("s"),
        HumanMessage(" u\n"),
        AIMessage(
            "a", tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "c1", "type": "tool_call"}]
        ),
        ToolMessage("rain", tool_call_id="c1", name="weather", status="error"),
    ]


def test_files_are_standard_blocks_that_openai_models_take() -> None:
    from langchain_openai.chat_models.base import _convert_message_to_dict

    pdf = FilePart("application/pdf", "a.pdf", data=b"%PDF-")
    remote = FilePart("image/*", url="https://example.org/picture")
    sent = to_langchain([Message("user", (PNG, pdf, remote, TextPart(" look ")))])[0]
    assert sent.content == [
        {"type": "image", "mime_type": "image/png", "base64": "iVBORw=="},
        {
            "type": "file",
            "mime_type": "application/pdf",
            "base64": "JVBERi0=",
            "extras": {"filename": "a.pdf"},
        },
        {"type": "image", "url": "https://example.org/picture"},
        {"type": "text", "text": " look "},
    ]
    assert _convert_message_to_dict(sent)["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/picture"}},
        {"type": "text", "text": " look "},
    ]
    assert from_langchain([sent]) == (Message("user", (PNG, pdf, remote, TextPart(" look "))),)


def test_arguments_that_are_no_json_object_are_an_invalid_call_both_ways() -> None:
    message = Message("assistant", (ToolCall("c1", "weather", '{"city": '),))
    sent = to_langchain([message])[0]
    assert isinstance(sent, AIMessage)
    assert sent.tool_calls == []
    assert sent.invalid_tool_calls[0]["args"] == '{"city": '
    assert from_langchain([sent]) == (message,)


def test_a_tool_called_without_arguments_gets_none() -> None:
    sent = to_langchain([Message("assistant", (ToolCall("c1", "now", ""),))])[0]
    assert isinstance(sent, AIMessage)
    assert sent.tool_calls[0]["args"] == {}


def test_content_in_openais_own_shape_is_read_through_the_standard_blocks() -> None:
    human = HumanMessage(
        [
            {"type": "text", "text": " look "},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
        ]
    )
    answer = AIMessage(
        [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "id": "r"},
            {"type": "text", "text": "a pixel", "annotations": []},
        ],
        response_metadata={"model_provider": "openai"},
    )
    assert from_langchain([human, answer]) == (
        Message("user", (TextPart(" look "), PNG)),
        Message("assistant", (ReasoningPart("hm"), TextPart("a pixel"))),
    )


def test_aggregated_chunks_are_read_like_whole_messages() -> None:
    first = {"name": "weather", "args": '{"city": ', "id": "c1", "index": 0}
    then = {"name": None, "args": '"Oslo"}', "id": None, "index": 0}
    chunks: Any = AIMessageChunk("I ", tool_call_chunks=[first]) + AIMessageChunk(
        "look", tool_call_chunks=[then]
    )
    assert from_langchain([chunks]) == (
        Message("assistant", (TextPart("I look"), ToolCall("c1", "weather", '{"city": "Oslo"}'))),
    )


def test_tools_that_ran_at_the_provider_are_calls_and_results() -> None:
    answer = AIMessage(
        [
            {"type": "server_tool_call", "id": "s1", "name": "web_search", "args": {"query": "é"}},
            {"type": "server_tool_result", "tool_call_id": "s1", "status": "error", "output": {"found": 0}},
            {"type": "text", "text": "Nothing."},
        ]
    )
    assert from_langchain([answer]) == (
        Message(
            "assistant",
            (
                ToolCall("s1", "web_search", '{"query": "é"}'),
                ToolResult("s1", '{"found": 0}', is_error=True),
                TextPart("Nothing."),
            ),
        ),
    )


def test_chat_messages_are_read_by_their_role() -> None:
    assert from_langchain(
        [ChatMessage(role="developer", content="s"), ChatMessage(role="user", content="u")]
    ) == (
        Message.of("system", "s"),
        Message.of("user", "u"),
    )


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (RemoveMessage(id="1"), "message 0: no place for a LangChain message of type 'remove'"),
        (ChatMessage(role="critic", content="x"), "message 0: no place for a LangChain message"),
        (
            HumanMessage([{"type": "image", "file_id": "f1"}]),
            "message 0, block 0: expected a image block with base64",
        ),
        (HumanMessage([{"type": "image", "url": "file:///etc/passwd"}]), "message 0, block 0"),
        (
            HumanMessage([{"type": "image", "base64": "!", "mime_type": "image/png"}]),
            "the image is not base64",
        ),
        (
            HumanMessage([{"type": "hologram"}]),
            "expected a text, reasoning, tool or file block, found an object of",
        ),
        (
            ToolMessage([{"type": "image", "base64": "", "mime_type": "image/png"}], tool_call_id="c"),
            "other than text",
        ),
        ({"role": "user", "content": "x"}, "message 0: expected a LangChain message, found an object"),
    ],
)
def test_an_unknown_langchain_shape_is_named_with_its_place(message: BaseMessage, says: str) -> None:
    with pytest.raises(UnsupportedContent) as caught:
        from_langchain([message])
    assert says in str(caught.value)


def test_the_adapter_itself_does_not_import_langchain() -> None:
    code = (
        "import sys, chatlab.formats; print(*(m for m in sys.modules if m in ('langchain_core', 'gradio')))"
    )
    root = Path(__file__).resolve().parents[2]
    assert run([sys.executable, "-c", code], cwd=root, capture_output=True, check=True).stdout.strip() == b""
