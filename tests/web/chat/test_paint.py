"""What is painted, and what of it is sent again: no browser needed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.components.chatbot import Message as ShownMessage

import chatlab
from chatlab.backend import Parameter
from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.errors import InvalidRequest
from chatlab.messages import Message, ReasoningPart, TextPart, ToolCall
from chatlab.web.chat.branches import BranchNavigation
from chatlab.web.chat.controls import preset_values, shown_value, values
from chatlab.web.chat.pages import OpenPages
from chatlab.web.chat.paint_messages import turn_of
from chatlab.web.chat.respond import Chat
from chatlab.web.shared.limits import limits_of
from chatlab.web.shared.safety import SafetyHeaders
from chatlab.web.shared.stored_room import room_of
from chatlab.web.shared.uploads import UploadOwners


class Browser:
    """Stands where Gradio stands: hands over what the page shows, as Gradio's chatbot would."""

    def __init__(self, tmp_path: Path, yaml: str) -> None:
        file = tmp_path / "c.yaml"
        file.write_text(yaml)
        self.lab = chatlab.load(file)
        assert self.lab.config is not None
        self.chat = Chat(
            self.lab.backends,
            self.lab.config,
            [],
            UploadOwners(tmp_path / "uploads"),
            limits_of(self.lab),
            room_of(self.lab),
        )
        self.shown: list[Any] = []
        self.paints = 0

    async def ask(self, text: str, backend: str = "echo", history: list[Any] | None = None) -> list[Any]:
        request: Any = gr.Request(session_hash="tab")
        answer: list[Any] = []
        before = self.shown if history is None else history
        async for painted, shown in self.chat.respond(text, before, request, backend, ""):
            answer = painted
            self.shown = [m.model_dump() if isinstance(m, ShownMessage) else m for m in shown]
            self.paints += 1
        return answer


def text_of(painted: list[Any]) -> str:
    return "".join(m["content"][0]["text"] for m in painted if "metadata" not in m)


def titles(painted: list[Any]) -> list[str]:
    return [m["metadata"]["title"] for m in painted if m.get("metadata")]


async def test_text_is_painted_as_typed_parts_so_that_gradio_leaves_it_alone(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo}}")
    answer = await page.ask("    four spaces\n\ttab ")
    assert text_of(answer) == "    four spaces\n\ttab "
    assert page.shown[0] == {
        "role": "user",
        "content": [{"type": "text", "text": "    four spaces\n\ttab "}],
    }


async def test_every_painted_line_names_its_turn(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo, reasoning: hm}}")
    answer = await page.ask("hi")
    named = {turn_of(m["metadata"]["id"]) for m in answer if m.get("metadata")}
    assert len(named) == 1 and None not in named


async def test_a_line_below_which_there_is_nothing_says_so_to_the_page(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo, reasoning: hm, fail: {after: 2}}}")
    answer = await page.ask("hi")
    lines = [m for m in answer if m.get("metadata")]
    assert any("chatlab-error" in title for title in titles(lines)) and len(lines) > 2
    for line in lines:
        assert ("chatlab-bare" in line["metadata"]["title"]) is (line["content"][0]["text"] == "")


async def test_foreign_text_in_a_title_is_no_markup(tmp_path: Path) -> None:
    tool = '{name: "<img src=x onerror=alert(1)> **b** [l](https://x.example) \\\\(x\\\\)", result: r}'
    page = Browser(tmp_path, f"backends: {{echo: {{kind: echo, tools: [{tool}]}}}}")
    title = titles(await page.ask("hi"))[0]
    assert not set("<>*[]()\\") & set(title)


async def test_a_tool_result_cannot_end_its_code_block(tmp_path: Path) -> None:
    tool = '{name: t, result: "```\\n![x](https://x.example)\\n````"}'
    page = Browser(tmp_path, f"backends: {{echo: {{kind: echo, tools: [{tool}]}}}}")
    result = next(m for m in await page.ask("hi") if "Result" in (m.get("metadata") or {}).get("title", ""))
    body = result["content"][0]["text"]
    fence = body.splitlines()[0]
    assert fence.startswith("`````") and body.endswith(fence) and body.count(fence) == 2


async def test_many_deltas_are_few_paints(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo, rate: 1000}}")
    await page.ask("word " * 300)
    assert 3 <= page.paints <= 20  # 0.3 s at 20 a second, the first and the last; 300 deltas


async def test_an_answer_that_comes_at_once_is_painted_once(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo}}")
    await page.ask("hi")
    assert page.paints == 1


async def test_a_history_the_server_does_not_hold_is_taken_over(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo}}")
    history = [
        {"role": "user", "content": "earlier"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "answer"}],
            "metadata": None,
            "options": None,
        },
    ]
    answer = await page.ask("now", history=history)
    assert text_of(answer) == "now"
    assert [m["content"][0]["text"] for m in page.shown if not m.get("metadata")] == [
        "earlier",
        "answer",
        "now",
        "now",
    ]


async def test_an_unknown_history_is_a_sentence_and_not_a_crash(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo}}")
    answer = await page.ask("now", history=[42])
    assert "⚠" in titles(answer)[0]


async def test_an_unknown_backend_is_a_sentence_and_not_a_crash(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo}}")
    assert "nosuch" in titles(await page.ask("now", backend="nosuch"))[0]


async def test_an_undone_turn_stays_in_the_tree_and_out_of_the_prompt(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo}}")
    await page.ask("one")
    one = list(page.shown)
    await page.ask("two")
    await page.ask("three", history=one)
    assert [m["content"][0]["text"] for m in page.shown if m["role"] == "user"] == ["one", "three"]


def test_earlier_thoughts_and_unanswered_messages_are_not_sent_and_said() -> None:
    conversation = Conversation()
    first = TurnNode(None, Message.of("user", "a"), "x")
    first.answer = (ReasoningPart("hm"), ToolCall("1", "t", "{}"), TextPart("b"))
    failed = TurnNode(first.id, Message.of("user", "lost"), "x")
    last = TurnNode(failed.id, Message.of("user", "c"), "x")
    for node in (first, failed, last):
        conversation.add(node)
    messages, notices = conversation.messages(last)
    assert [(m.role, m.text) for m in messages] == [("user", "a"), ("assistant", "b"), ("user", "c")]
    assert [notice.kind for notice in notices] == ["thoughts_dropped", "history_truncated"]


def test_the_oldest_idle_page_is_forgotten_first() -> None:
    pages = OpenPages(most=2)
    first = pages.get("1")
    pages.get("2")
    assert pages.get("1") is first
    pages.get("3")
    assert pages.get("1") is first
    assert len(pages) == 2


@pytest.mark.parametrize("act", ["new chat", "clear", "edit", "retry", "undo"])
async def test_an_answer_ends_when_it_is_taken_back_or_there_is_no_way_back_to_it(
    tmp_path: Path, act: str
) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo, rate: 20}}")
    request: Any = gr.Request(session_hash="tab")
    tab, navigation = page.chat.page(request), BranchNavigation(page.chat)
    answers = page.chat.respond("word " * 200, [], request, "echo", "")
    _, shown = await anext(answers)
    assert tab.last is not None and len(tab.running) == 1
    node = tab.last
    if act == "new chat":
        tab.show(Conversation())  # nothing is stored here
    elif act == "clear":
        await navigation.cleared(request)
    elif act == "edit":
        await navigation.edited(shown, "another", request)
    elif act == "retry":
        await navigation.taken_back(shown, {"text": "", "files": []}, request)
    else:
        await navigation.undone(shown, request)
    async for _ in answers:
        pass
    while tab.running:
        await asyncio.sleep(0)
    assert 0 < len(node.answer[0].text) < 1_000  # type: ignore[union-attr]
    assert titles([one.model_dump() for one in node.painted])[-1].endswith("stopped")


FLOAT = Parameter("temperature", "float", minimum=0, maximum=2)
PARAMETERS = [
    FLOAT,
    Parameter("seed", "int"),
    Parameter("watermark", "bool"),
    Parameter("stop", "strings"),
    Parameter("grammar", "json"),
    Parameter("effort", "string", choices=("low", "high")),
    Parameter("user", "string"),
]


def test_empty_controls_send_nothing_and_set_ones_their_values() -> None:
    assert values(PARAMETERS, ["", "", "default", "", "", "default", ""]) == {}
    said = values(PARAMETERS, ["0.5", "7", "yes", "a\nb", '{"x": 1}', "low", "me"])
    assert said == {
        "temperature": 0.5,
        "seed": 7,
        "watermark": True,
        "stop": ["a", "b"],
        "grammar": {"x": 1},
        "effort": "low",
        "user": "me",
    }
    assert [shown_value(p, said[p.name]) for p in PARAMETERS] == [
        "0.5",
        "7",
        "yes",
        "a\nb",
        json.dumps({"x": 1}),
        "low",
        "me",
    ]
    assert values(PARAMETERS, preset_values(PARAMETERS, said)) == said


@pytest.mark.parametrize("text", ["hot", "3", "-1", "1e999"])
def test_a_value_out_of_range_is_one_sentence(text: str) -> None:
    with pytest.raises(InvalidRequest, match="temperature should be"):
        values([FLOAT], [text])


def test_sparing_gradio_changes_nothing_it_says() -> None:
    from gradio.components.base import Component

    from chatlab.web.chat.gradio_patches import describe_once, patch_process

    patch_process()
    for component in (gr.MultimodalTextbox(render=False), gr.Chatbot(render=False)):
        assert component.api_info() == Component.api_info(component)
    state = gr.State(None, render=False)
    said = state.get_config()
    describe_once([state])
    assert state.get_config() == said


async def test_a_chosen_backend_is_made_before_its_first_message(tmp_path: Path) -> None:
    page = Browser(tmp_path, "backends: {echo: {kind: echo}, locked: {kind: openai, model: m}}")
    await page.chat.warm("echo")
    await page.chat.warm("locked")
    assert [page.lab.backends[name].made for name in ("echo", "locked")] == [True, False]


def test_clients_without_a_session_share_none() -> None:
    pages = OpenPages()
    assert pages.get(None) is not pages.get(None)
    pages.close(None)
    assert len(pages) == 0


async def test_a_page_mounted_below_a_path_leaves_the_rest_of_the_app_alone() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def headers_of(path: str) -> list[bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        guard: Any = SafetyHeaders(inner, path="/chat")
        await guard({"type": "http", "path": path}, None, send)
        return [name for name, _ in sent[0]["headers"]]

    assert await headers_of("/own") == []
    assert b"content-security-policy" in await headers_of("/chat/gradio_api/info")
