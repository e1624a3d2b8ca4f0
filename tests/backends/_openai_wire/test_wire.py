"""OpenAI's wire formats, as servers really write them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends._openai_wire import (
    ChatStream,
    OwnOptions,
    ResponsesStream,
    ThinkTags,
    chat_body,
    responses_body,
    usage_of,
    whole_chat,
    whole_responses,
)
from chatlab.backend import ChatRequest
from chatlab.errors import (
    BackendError,
    BrokenStream,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
)
from chatlab.messages import (
    Citation,
    Finish,
    Message,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from chatlab.upstream import ChunkReader, SseDecoder, decode, error_from_body, is_error, sse
from tests.folded import accumulate

# How long an example takes says how busy the machine is.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = """
choices delta message content text type role tool_calls function name arguments index id
finish_reason usage model error code msg errors detail status citations search_results
annotations url_citation item output summary reasoning thinking base_resp status_code
prompt_tokens prompt_tokens_details
"""
NAMES = st.sampled_from(WORDS.split())


def chunk(delta: dict[str, Any], finish: str | None = None, **beside: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **beside}


def run(chunks: list[dict[str, Any]], think: ThinkTags | None = None) -> list[StreamEvent]:
    stream = ChatStream(think)
    return [event for one in chunks for event in stream.feed(one)] + stream.end()


def run_responses(events: list[dict[str, Any]], *, marked: bool = False) -> list[StreamEvent]:
    stream = ResponsesStream()
    return [event for one in events for event in stream.feed(one)] + stream.end(marked=marked)


class TestServerSentEvents:
    @UNTIMED
    @given(
        st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1)),
        st.lists(st.integers(1, 40)),
        st.sampled_from(["\n", "\r\n"]),
        st.booleans(),
    )
    def test_payloads_arrive_whole_however_the_bytes_are_cut(
        self, texts: list[str], cuts: list[int], newline: str, ended: bool
    ) -> None:
        payloads = [json.dumps({"t": text}, ensure_ascii=False) for text in texts]
        data = "".join(f": keep-alive{newline}event: x{newline}data: {p}{newline}{newline}" for p in payloads)
        raw = data.encode() if ended else data.encode().rstrip()
        decoder = SseDecoder()
        found: list[str] = []
        for size in [*cuts, len(raw)]:
            piece, raw = raw[:size], raw[size:]
            found += decoder.feed(piece)
        found += decoder.end()
        assert found == payloads

    def test_a_line_separator_inside_a_text_does_not_end_the_line(self) -> None:
        assert SseDecoder().feed("data: a\u2028b\x0cc\x85d\n\n".encode()) == ["a\u2028b\x0cc\x85d"]

    def test_a_payload_of_several_lines_is_joined(self) -> None:
        assert SseDecoder().feed(b"data: a\ndata:b\n\n") == ["a\nb"]

    def test_a_bare_json_line_and_an_error_field_are_payloads_too(self) -> None:
        assert SseDecoder().feed(b'{"error": 1}\nerror: {"code": 500}\n\n') == [
            '{"error": 1}',
            '{"code": 500}',
        ]

    def test_a_web_page_is_no_stream(self) -> None:
        with pytest.raises(BrokenStream, match="web page"):
            SseDecoder().feed(b"  <!doctype html>\n")

    async def test_lines_can_come_decoded(self) -> None:
        async def lines() -> AsyncIterator[str]:
            for line in ["data: one", "", "data: two"]:
                yield line

        assert [payload async for payload in sse(lines())] == ["one", "two"]

    @pytest.mark.parametrize("payload", ["{not json", "[1]", '"text"', "", "null"])
    def test_a_payload_that_is_no_object_breaks_the_stream(self, payload: str) -> None:
        with pytest.raises(BrokenStream) as caught:
            decode(payload)
        assert payload == "" or payload not in str(caught.value)


class TestChatChunks:
    def test_text_reasoning_and_usage(self) -> None:
        events = run(
            [
                chunk({"role": "assistant", "content": None}),
                chunk({"reasoning_content": "Hm"}),
                chunk({"reasoning": "m."}),
                chunk({"content": ""}),
                chunk({"content": " Yes"}),
                chunk({"content": "!\n"}),
                chunk({}, "stop"),
                {
                    "choices": [],
                    "usage": {
                        "prompt_tokens": 7,
                        "completion_tokens": 5,
                        "prompt_tokens_details": {"cached_tokens": 0},
                        "completion_tokens_details": {"reasoning_tokens": 2},
                    },
                },
            ]
        )
        assert events == [
            ReasoningDelta("Hm"),
            ReasoningDelta("m."),
            TextDelta(" Yes"),
            TextDelta("!\n"),
            Finish("stop", Usage(7, 5, 0, 2), "m"),
        ]

    def test_usage_that_never_came_is_unknown(self) -> None:
        assert run([chunk({"content": "a"}, "length", usage=None)])[-1] == Finish("length", Usage(), "m")

    def test_usage_that_comes_with_every_chunk_is_counted_once(self) -> None:
        events = run(
            [
                chunk({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1}),
                chunk({"content": "b"}, "stop", usage={"prompt_tokens": 3, "completion_tokens": 2}),
            ]
        )
        assert events[-1] == Finish("stop", Usage(3, 2), "m")

    def test_tool_calls_are_given_whole_and_in_order(self) -> None:
        pieces = [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}],
            [
                {"index": 0, "function": {"arguments": '{"x":'}},
                {"index": 1, "id": "b", "function": {"name": "g"}},
            ],
            [{"index": 1, "function": {"arguments": "{}"}}, {"index": 0, "function": {"arguments": "1}"}}],
        ]
        events = run([*(chunk({"tool_calls": piece}) for piece in pieces), chunk({}, "tool_calls")])
        assert events == [
            ToolCall("a", "f", '{"x":1}'),
            ToolCall("b", "g", "{}"),
            Finish("tool_calls", Usage(), "m"),
        ]

    def test_tool_calls_without_an_index_and_arguments_as_an_object(self) -> None:
        calls = [
            {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}},
            {"id": "b", "function": {"name": "g", "arguments": "{"}},
            {"function": {"arguments": "}"}},
        ]
        events = run([*(chunk({"tool_calls": [call]}) for call in calls), chunk({}, "stop")])
        assert events == [
            ToolCall("a", "f", '{"x": 1}'),
            ToolCall("b", "g", "{}"),
            Finish("tool_calls", Usage(), "m"),
        ]

    def test_the_old_function_call(self) -> None:
        pieces: list[dict[str, Any]] = [{"name": "f", "arguments": "{"}, {"arguments": "}"}]
        events = run([*(chunk({"function_call": piece}) for piece in pieces), chunk({}, "function_call")])
        assert events == [ToolCall("function_call", "f", "{}"), Finish("tool_calls", Usage(), "m")]

    def test_content_that_comes_as_parts(self) -> None:
        events = run(
            [
                chunk(
                    {"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}]}
                ),
                chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "mh"}]}]}),
                chunk({"content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}, "stop"),
            ]
        )
        assert events[:-1] == [ReasoningDelta("Hm"), ReasoningDelta("mh"), TextDelta("A"), TextDelta("B")]

    def test_a_refusal_is_shown(self) -> None:
        assert run([chunk({"refusal": "No."}), chunk({}, "stop")])[0] == TextDelta("No.")

    def test_sources_are_named_once(self) -> None:
        url = "https://example.org/a"
        note = {"type": "url_citation", "url_citation": {"title": "A", "url": url}}
        events = run(
            [
                chunk({"content": "x", "annotations": [note, note]}),
                chunk({"content": "y"}, "stop", citations=[url, "https://example.org/b"]),
            ]
        )
        cited = [event for event in events if isinstance(event, Citation)]
        assert cited == [Citation("A", url), Citation("https://example.org/b", "https://example.org/b")]

    def test_of_several_choices_the_first_is_the_answer(self) -> None:
        other = {"index": 1, "delta": {"content": "B"}, "finish_reason": "stop"}
        both = chunk({"content": "A"}, "stop")
        both["choices"].append(other)
        assert run([both])[:-1] == [TextDelta("A")]

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("stop", "stop"),
            ("length", "length"),
            ("content_filter", "content_filter"),
            ("eos_token", "stop"),
            ("max_tokens", "length"),
        ],
    )
    def test_finish_reasons(self, said: str, reason: str) -> None:
        finish = run([chunk({"content": "a"}, said)])[-1]
        assert isinstance(finish, Finish)
        assert finish.reason == reason

    def test_a_reason_nobody_knows_is_said(self) -> None:
        events = run([chunk({"content": "a"}, "tired")])
        assert events[1:] == [
            Notice("other", "the upstream ended its answer for the reason 'tired'"),
            Finish("stop", Usage(), "m"),
        ]

    def test_a_chunk_nobody_knows_is_said_once(self) -> None:
        events = run([{"surprise": 1}, {"surprise": 2}, {"type": "ping"}, chunk({"content": "a"}, "stop")])
        assert events[0] == Notice("other", "something not understood in the answer: surprise")
        assert [type(event) for event in events[1:]] == [TextDelta, Finish]

    @pytest.mark.parametrize("chunks", [[], [chunk({"content": "a"})], [{"choices": [], "usage": {}}]])
    def test_a_stream_without_a_finish_reason_is_broken(self, chunks: list[dict[str, Any]]) -> None:
        with pytest.raises(BrokenStream):
            run(chunks)

    @pytest.mark.parametrize(
        ("error", "expected", "status"),
        [
            ({"error": {"message": "slow down", "code": 429}}, RateLimited, 429),
            ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, RateLimited, 429),
            ({"error": {"code": 500, "message": "boom", "type": "server_error"}}, Unavailable, 500),
            ({"error": "boom"}, BrokenStream, None),
            (
                {"error": {"message": "maximum context length is 10", "type": "invalid_request_error"}},
                ContextTooLong,
                400,
            ),
            ({"error_code": "PERMISSION_DENIED", "message": "no"}, PermissionDenied, 403),
            ({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no"}, ModelNotFound, 404),
            ({"error_code": "TEMPORARILY_UNAVAILABLE", "message": "no"}, Unavailable, 503),
            ({"error_code": "SOMETHING_NEW", "message": "no"}, BrokenStream, None),
            ({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, Unavailable, 503),
            ({"type": "error", "message": "odd"}, BrokenStream, None),
            ({"object": "error", "message": "boom", "code": 400}, InvalidRequest, 400),
            ({"detail": "Not Found"}, BrokenStream, None),
            (chunk({}, "error", error={"code": 502, "message": "provider down"}), Unavailable, 502),
            (chunk({}, "error"), BrokenStream, None),
        ],
    )
    def test_an_error_chunk_is_raised(
        self, error: dict[str, Any], expected: type[BackendError], status: int | None
    ) -> None:
        with pytest.raises(BackendError) as caught:
            run([chunk({"content": "a"}), error, chunk({}, "stop")])
        assert (type(caught.value), caught.value.status) == (expected, status)

    def test_a_whole_answer_gives_the_same_as_a_streamed_one(self) -> None:
        message = {
            "role": "assistant",
            "content": "Yes",
            "reasoning_content": "Hm",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        }
        body = {
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 2},
        }
        assert whole_chat(body) == [
            ReasoningDelta("Hm"),
            TextDelta("Yes"),
            ToolCall("a", "f", "{}"),
            Finish("tool_calls", Usage(1, 2), "m"),
        ]

    @pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": None}, {"hello": "world"}])
    def test_a_whole_answer_without_choices_is_broken(self, body: dict[str, Any]) -> None:
        with pytest.raises(BrokenStream):
            whole_chat(body)


class TestThinkTags:
    @UNTIMED
    @given(
        st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs", "Cc"])),
        st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs", "Cc"]), min_size=1),
        st.lists(st.integers(1, 9)),
    )
    def test_the_thought_is_split_off_however_the_text_is_cut(
        self, thought: str, answer: str, cuts: list[int]
    ) -> None:
        text = f"<think>\n{thought}</think>\n\n{answer} <think> stays"
        tags = ThinkTags()
        events: list[StreamEvent] = []
        for size in [*cuts, len(text)]:
            piece, text = text[:size], text[size:]
            events += tags.feed(piece)
        folded = accumulate(events + tags.end())
        assert folded.message.text == f"{answer} <think> stays"
        assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)).lstrip(
            "\n"
        ) == thought.lstrip("\n")

    @UNTIMED
    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.lists(st.integers(1, 9)))
    def test_a_text_without_tags_is_not_changed(self, text: str, cuts: list[int]) -> None:
        rest = text = f"x{text}"
        tags = ThinkTags()
        events: list[StreamEvent] = []
        for size in [*cuts, len(rest)]:
            piece, rest = rest[:size], rest[size:]
            events += tags.feed(piece)
        assert accumulate(events + tags.end()).message.text == text

    def test_what_might_have_become_a_tag_is_not_lost(self) -> None:
        tags = ThinkTags()
        assert tags.feed("  <thi") == []
        assert tags.end() == [TextDelta("  <thi")]

    def test_a_thought_that_was_begun_in_the_prompt(self) -> None:
        tags = ThinkTags(inside=True)
        assert tags.feed("Hm</th") == [ReasoningDelta("Hm")]
        assert tags.feed("ink>\nYes") == [TextDelta("Yes")]

    def test_a_thought_that_never_ends_is_reasoning(self) -> None:
        assert run([chunk({"content": "<think>Hm</"}), chunk({}, "length")], ThinkTags())[:-1] == [
            ReasoningDelta("Hm"),
            ReasoningDelta("</"),
        ]


class TestResponsesEvents:
    def test_text_reasoning_tools_and_usage(self) -> None:
        events = run_responses(
            [
                {"type": "response.created", "response": {}},
                {"type": "response.in_progress", "response": {}},
                {"type": "response.output_item.added", "item": {"type": "reasoning"}},
                {"type": "response.reasoning_summary_part.added", "summary_index": 0},
                {"type": "response.reasoning_summary_text.delta", "delta": "First"},
                {"type": "response.reasoning_summary_part.added", "summary_index": 1},
                {"type": "response.reasoning_summary_text.delta", "delta": "second"},
                {
                    "type": "response.output_item.done",
                    "item": {"type": "reasoning", "summary": [{"text": "First"}, {"text": "second"}]},
                },
                {"type": "response.content_part.added"},
                {"type": "response.output_text.delta", "delta": " Yes"},
                {"type": "response.output_text.delta", "delta": "!"},
                {
                    "type": "response.output_text.annotation.added",
                    "annotation": {"type": "url_citation", "title": "A", "url": "https://example.org"},
                },
                {"type": "response.output_text.done", "text": " Yes!"},
                {
                    "type": "response.output_item.done",
                    "item": {"type": "message", "content": [{"type": "output_text", "text": " Yes!"}]},
                },
                {"type": "response.function_call_arguments.delta", "delta": "{}"},
                {
                    "type": "response.output_item.done",
                    "item": {
                        "type": "function_call",
                        "call_id": "c",
                        "id": "f",
                        "name": "g",
                        "arguments": "{}",
                    },
                },
                {
                    "type": "response.completed",
                    "response": {
                        "model": "m",
                        "output": [{"type": "function_call", "call_id": "c", "name": "g", "arguments": "{}"}],
                        "usage": {
                            "input_tokens": 4,
                            "output_tokens": 3,
                            "input_tokens_details": {"cached_tokens": 1},
                            "output_tokens_details": {"reasoning_tokens": 2},
                        },
                    },
                },
            ]
        )
        assert events == [
            ReasoningDelta("First"),
            ReasoningDelta("\n\n"),
            ReasoningDelta("second"),
            TextDelta(" Yes"),
            TextDelta("!"),
            Citation("A", "https://example.org"),
            ToolCall("c", "g", "{}"),
            Finish("tool_calls", Usage(4, 3, 1, 2), "m"),
        ]

    def test_an_agent_that_sends_whole_items_and_no_closing_event(self) -> None:
        def done(item: dict[str, Any]) -> dict[str, Any]:
            return {"type": "response.output_item.done", "item": item}

        events = run_responses(
            [
                done({"type": "reasoning", "summary": [{"text": "Hm"}]}),
                done({"type": "function_call", "call_id": "c", "name": "g", "arguments": '{"x":1}'}),
                done({"type": "function_call_output", "call_id": "c", "output": "42"}),
                done({"type": "message", "content": [{"type": "output_text", "text": "It is 42."}]}),
            ],
            marked=True,
        )
        assert events == [
            ReasoningDelta("Hm"),
            ToolCall("c", "g", '{"x":1}'),
            ToolResult("c", "42"),
            TextDelta("It is 42."),
            Finish("stop"),
        ]

    @pytest.mark.parametrize("marked", [True, False])
    def test_deltas_without_an_end_are_broken(self, marked: bool) -> None:
        with pytest.raises(BrokenStream):
            run_responses([{"type": "response.output_text.delta", "delta": "a"}], marked=marked)

    def test_a_message_that_came_in_deltas_is_not_repeated_and_its_rest_not_lost(self) -> None:
        item = {"type": "message", "content": [{"type": "output_text", "text": "abcd"}]}
        events = run_responses(
            [
                {"type": "response.output_text.delta", "delta": "ab"},
                {"type": "response.output_item.done", "item": item},
                {"type": "responses.completed", "response": {"output": [item]}},
            ]
        )
        assert events[:-1] == [TextDelta("ab"), TextDelta("cd")]

    @pytest.mark.parametrize(
        ("why", "reason"), [("max_output_tokens", "length"), ("content_filter", "content_filter")]
    )
    def test_an_incomplete_response_says_why(self, why: str, reason: str) -> None:
        response = {"output": [], "incomplete_details": {"reason": why}}
        finish = run_responses([{"type": "response.incomplete", "response": response}])[-1]
        assert isinstance(finish, Finish)
        assert finish.reason == reason

    def test_tools_that_the_upstream_ran_itself(self) -> None:
        items = [
            {"type": "web_search_call", "id": "w", "action": {"type": "search", "query": "x"}},
            {"type": "mcp_call", "id": "p", "name": "t", "arguments": "{}", "output": "ok", "error": None},
            {"type": "mcp_call", "id": "q", "name": "t", "arguments": "{}", "output": None, "error": "no"},
        ]
        assert whole_responses({"output": items})[:-1] == [
            ToolCall("w", "web_search", '{"action": {"type": "search", "query": "x"}}'),
            ToolCall("p", "t", "{}"),
            ToolResult("p", "ok", "t"),
            ToolCall("q", "t", "{}"),
            ToolResult("q", "no", "t", True),
        ]

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, RateLimited),
            ({"type": "error", "error": {"code": "server_error", "message": "boom"}}, Unavailable),
            (
                {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "b"}}},
                Unavailable,
            ),
            (
                {
                    "type": "response.failed",
                    "response": {"error": {"code": "invalid_prompt", "message": "b"}},
                },
                InvalidRequest,
            ),
            ({"type": "response.failed", "response": None}, BrokenStream),
            ({"error_code": "BAD_REQUEST", "message": "b"}, InvalidRequest),
        ],
    )
    def test_an_error_event_is_raised(self, event: dict[str, Any], expected: type[BackendError]) -> None:
        with pytest.raises(BackendError) as caught:
            run_responses([event])
        assert type(caught.value) is expected

    def test_every_event_the_sdk_knows_is_known_here(self) -> None:
        from typing import get_args

        from openai.types.responses import ResponseStreamEvent

        union = get_args(get_args(ResponseStreamEvent)[0])
        kinds = [kind for event in union for kind in get_args(event.model_fields["type"].annotation)]
        assert len(kinds) > 40
        ours: list[str] = []
        for kind in kinds:
            try:
                noted = ResponsesStream().feed({"type": kind, "response": {}, "item": {"type": "message"}})
            except BackendError:
                noted = []
            ours += [kind for event in noted if isinstance(event, Notice)]
        assert ours == []

    def test_an_event_nobody_knows_is_said_once(self) -> None:
        events = run_responses(
            [{"type": "response.surprise"}, {"type": "x"}, {"type": "response.completed", "response": {}}]
        )
        assert events == [
            Notice("other", "something not understood in the answer: response.surprise"),
            Finish("stop"),
        ]

    def test_a_response_that_comes_whole_in_the_stream_is_said_to(self) -> None:
        whole = Notice("not_streamed", "whole")
        item = {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
        stream = ResponsesStream(whole=whole)
        events = stream.feed({"object": "response", "status": "completed", "output": [item]}) + stream.end()
        assert events == [TextDelta("Hello"), whole, Finish("stop")]

    def test_the_type_of_an_event_may_be_told_by_its_name_alone(self) -> None:
        raw = b'event: response.output_text.delta\ndata: {"delta": "Hi"}\n\n'
        raw += b'event: response.completed\ndata: {"response": {}}\n\n'
        stream, reader = ResponsesStream(), ChunkReader()
        events = [event for chunk in reader.feed(raw) for event in stream.feed(chunk)]
        assert events + stream.end() == [TextDelta("Hi"), Finish("stop")]


STRANGE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


class TestStrangeTypes:
    """Whatever stands where, it is an answer, a notice or an error of the upstream's: never one of ours."""

    @UNTIMED
    @given(st.lists(st.dictionaries(NAMES, STRANGE, max_size=5), max_size=4), st.booleans())
    def test_no_value_of_a_chunk_is_taken_on_trust(self, chunks: list[dict[str, Any]], marked: bool) -> None:
        for stream in (ChatStream(), ResponsesStream(), ChatStream(ThinkTags())):
            try:
                for one in chunks:
                    stream.feed(one)
                stream.end(marked=marked)
            except BackendError:
                continue

    @UNTIMED
    @given(st.dictionaries(NAMES, STRANGE, max_size=5))
    def test_nor_of_a_choice_a_delta_or_an_item(self, held: dict[str, Any]) -> None:
        for made in (
            {"choices": [held]},
            {"choices": [{"delta": held, "finish_reason": "stop"}]},
            {"choices": [{"message": held, "finish_reason": "stop"}]},
            {"choices": [{"delta": {"tool_calls": [held, {"function": held}]}}]},
        ):
            with suppress(BackendError):
                ChatStream().feed(made)
        for kind in ("response.output_item.done", "response.completed", "response.output_text.delta"):
            with suppress(BackendError):
                ResponsesStream().feed({**held, "type": kind, "item": held, "response": held})

    @UNTIMED
    @given(STRANGE, st.none() | st.integers(400, 599))
    def test_nor_of_an_error_body(self, body: Any, status: int | None) -> None:
        assert isinstance(error_from_body(status, body), BackendError)
        assert isinstance(error_from_body(status, json.dumps(body)), BackendError)
        if isinstance(body, dict):
            is_error(body)

    @UNTIMED
    @given(st.binary(max_size=60), st.lists(st.integers(1, 9)))
    def test_bytes_are_chunks_or_an_error(self, raw: bytes, cuts: list[int]) -> None:
        reader = ChunkReader()
        with suppress(BackendError):
            for size in [*cuts, len(raw)]:
                cut, raw = raw[:size], raw[size:]
                assert all(isinstance(chunk, dict) for chunk in reader.feed(cut))
            assert all(isinstance(chunk, dict) for chunk in reader.end())

    @pytest.mark.parametrize(
        ("usage", "expected"),
        [
            (
                {
                    "prompt_tokens": 10,
                    "completion_tokens": 2,
                    "cache_read_input_tokens": 100,
                    "cache_creation_input_tokens": 5,
                },
                Usage(115, 2, 100, None, 5),
            ),
            ({"prompt_tokens": 10, "prompt_cache_hit_tokens": 8}, Usage(10, None, 8)),
            (
                {
                    "prompt_tokens": 110,
                    "cache_read_input_tokens": 100,
                    "prompt_tokens_details": {"cached_tokens": 100},
                },
                Usage(110, None, 100),
            ),
            ({"prompt_tokens": "7", "completion_tokens": True, "prompt_tokens_details": []}, Usage()),
        ],
    )
    def test_what_a_prompt_cache_did_is_counted_inside_of_the_input(
        self, usage: dict[str, Any], expected: Usage
    ) -> None:
        assert usage_of(usage) == expected


class TestOwnOptions:
    body: ClassVar[dict[str, Any]] = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
    }

    @pytest.mark.parametrize(
        ("sentence", "left"),
        [
            ("body.stream_options.include_usage: Extra inputs are not permitted", {"stream", "max_tokens"}),
            ("Unrecognized request argument supplied: stream_options", {"stream", "max_tokens"}),
            ("Your organization must be verified: stream is not supported", {"max_tokens"}),
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                {"stream", "stream_options", "max_completion_tokens"},
            ),
        ],
    )
    def test_what_a_server_refuses_by_name_is_left_out_or_renamed(
        self, sentence: str, left: set[str]
    ) -> None:
        options = OwnOptions("stream_options", "stream")
        assert options.refused(self.body, sentence)
        assert set(options.apply(self.body)) == left

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (422, {"message": "must NOT have additional properties", "params": {"extra": "stream_options"}}),
            (400, {"error": {"message": "Invalid body", "details": [{"field": "stream_options"}]}}),
            (400, {"error": {"message": "what is wrong: " + 400 * "x", "param": "stream_options"}}),
            (500, {"detail": "create() got an unexpected keyword argument 'stream_options'"}),
            (501, {"error": "stream_options is not implemented"}),
        ],
    )
    def test_a_name_is_found_wherever_an_error_points_at_it(self, status: int, body: object) -> None:
        options = OwnOptions("stream_options", "stream")
        assert options.refused_by(error_from_body(status, body), self.body)
        assert set(options.apply(self.body)) == {"stream", "max_tokens"}

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (500, {"error": "the worker that handles stream_options is down"}),
            (429, {"error": "stream_options is not supported"}),
            (422, {"detail": [{"loc": ["body", "n"], "msg": "is wrong", "input": ["stream_options"]}]}),
        ],
    )
    def test_an_outage_and_a_repeated_request_refuse_no_name(self, status: int, body: object) -> None:
        assert not OwnOptions("stream_options").refused_by(error_from_body(status, body), self.body)

    @pytest.mark.parametrize(
        "sentence",
        [
            "max_tokens is too large: 9. This model takes at most 4 completion tokens",
            "body.temperature: Extra inputs are not permitted",
            "the upstream is not there",
        ],
    )
    def test_any_other_refusal_stands(self, sentence: str) -> None:
        options = OwnOptions("stream_options", "stream")
        assert not options.refused(self.body, sentence)
        assert options.apply(self.body) == self.body

    def test_what_the_person_set_is_never_left_out(self) -> None:
        options = OwnOptions("stream_options")
        assert not options.refused(self.body, "stream_options: not permitted", {"stream_options": {}})

    def test_a_limit_without_a_name_the_server_knows_is_asked_for_twice_and_no_more(self) -> None:
        options = OwnOptions()
        assert options.refused(self.body, "max_tokens: unknown field")
        renamed = options.apply(self.body)
        assert not options.refused(renamed, "max_completion_tokens: unknown field")
        assert options.apply(self.body) == self.body


class TestBodies:
    messages = (Message.of("system", "S"), Message.of("user", "U"))

    def test_chat(self) -> None:
        body = chat_body(ChatRequest(self.messages, {"temperature": 0.5}), "m")
        assert body == {
            "model": "m",
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
            "temperature": 0.5,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        assert "stream" not in chat_body(ChatRequest(self.messages), "m", stream=False)

    def test_responses(self) -> None:
        given = {"max_tokens": 9, "reasoning_effort": "low", "verbosity": "high", "top_p": 0.5}
        assert responses_body(ChatRequest(self.messages, given), "m") == {
            "model": "m",
            "input": [
                {"type": "message", "role": "system", "content": "S"},
                {"type": "message", "role": "user", "content": "U"},
            ],
            "store": False,
            "stream": True,
            "max_output_tokens": 9,
            "reasoning": {"effort": "low"},
            "text": {"verbosity": "high"},
            "top_p": 0.5,
        }


def test_calls_that_come_with_the_message_at_the_end_are_not_lost() -> None:
    stream = ChatStream()
    call = {"id": "x", "function": {"name": "w", "arguments": "{}"}}
    message = {"content": "Hello", "tool_calls": [call]}
    stream.feed({"choices": [{"index": 0, "delta": {"content": "Hello"}}]})
    events = stream.feed({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]})
    assert events == [ToolCall("x", "w", "{}")]


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_text": "Hm"},
        {"thinking": "Hm"},
        {"reasoning": {"content": "Hm"}},
        {"reasoning": ["Hm"]},
        {"reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
        {"reasoning_content": "Hm", "thinking_blocks": [{"type": "thinking", "thinking": "Hm"}]},
        {"content": [{"type": "reasoning_text", "text": "Hm"}]},
    ],
)
def test_reasoning_is_read_once_under_whichever_name_it_comes(delta: dict[str, Any]) -> None:
    assert ChatStream().feed({"choices": [{"index": 0, "delta": delta}]}) == [ReasoningDelta("Hm")]


@pytest.mark.parametrize(
    ("count", "expected"),
    [(3.0, 3), (2.5, None), (-1, None), (True, None), (10**30, None), ("x", None)],
)
def test_a_count_is_a_whole_number_that_can_be_stored_or_unknown(count: object, expected: int | None) -> None:
    assert usage_of({"prompt_tokens": count}).input == expected


def test_groqs_usage_is_read_when_the_models_name_is_known_already() -> None:
    stream = ChatStream()
    for beside in ({}, {"x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 2}}}):
        stream.feed({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **beside})
    assert stream.end()[-1] == Finish("stop", Usage(input=3, output=2), "m")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ('{"status": "error", "data": {"message": "it broke"}}', "it broke"),
        ('{"response": {"error": {"message": "it broke"}}}', "it broke"),
        ('{"header": {"code": 10013, "message": "it broke"}}', "it broke"),
        ('{"error": {"code": 400, "innererror": {"message": "it broke"}}}', "it broke"),
        ('{"error": {"message": "Provider failed", "metadata": {"raw": "why"}}}', "Provider failed: why"),
        (
            '{"error": {"message": "Unknown name.", "param": "stream_options"}}',
            "stream_options: Unknown name.",
        ),
        ("<html><h1>502 Bad Gateway</h1></html>", "the upstream answered with a web page: 502 Bad Gateway"),
        ("<?xml version='1.0'?><Error><Message>Access Denied</Message></Error>", "Access Denied"),
    ],
)
def test_an_envelope_around_an_error_hides_no_sentence(body: str, sentence: str) -> None:
    assert error_from_body(400, body).detail == sentence


def test_as_whom_an_agents_tools_ran_is_a_note_at_the_end() -> None:
    item = {"id": "m", "type": "message", "content": [{"type": "output_text", "text": "Done."}]}
    done = {"type": "response.output_item.done", "item": item}
    beside = {
        "ran_as": {"search": "ann", "sql": "the service"},
        "left_out": ["the tool x is left out: no right"],
    }
    stream = ResponsesStream()
    stream.feed({**done, "custom_outputs": {"ran_as": {"search": "ann"}, "left_out": []}})
    stream.feed({**done, "custom_outputs": beside})
    told = [event.detail for event in stream.end(marked=True) if isinstance(event, Notice)]
    assert told == ["the tool x is left out: no right", "ran search as ann, sql as the service"]
    for strange in ({"ran_as": 3}, {"left_out": [None, 4]}, {"ran_as": {"x": None}}, [1], "x"):
        other = ResponsesStream()
        other.feed({**done, "custom_outputs": strange})
        assert isinstance(other.end(marked=True)[-1], Finish)
