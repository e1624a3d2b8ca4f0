"""Every shape in which Gradio hands a conversation to a chat function; the golden files are real ones."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.errors import UnsupportedContent
from chatlab.formats import fenced, from_gradio, to_gradio
from chatlab.messages import (
    FilePart,
    Message,
    Notice,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from tests.formats.strategies import conversations, local_files, relaxed, text_parts

GOLDEN = Path(__file__).parent / "golden"
INDENTED = "  two blanks first\n\n\tthen a tab\n    and  blanks   inside \n"
CLEANED = "two blanks first\n\n    then a tab\nand  blanks   inside "  # by Gradio, before we see it
PIXEL = FilePart("image/png", "pixel.png", path=Path("/cache/0/pixel.png"))
SAMPLE = FilePart("image/png", "sample.png", path=Path("/cache/sample.png"))
NOTES = FilePart("text/plain", "my notes (1).txt", path=Path("/cache/1/my notes (1).txt"))
README = FilePart("application/octet-stream", "README", path=Path("/cache/2/README"))


def user(*parts: str | FilePart) -> Message:
    return Message("user", tuple(TextPart(part) if isinstance(part, str) else part for part in parts))


def bot(*parts: str | FilePart) -> Message:
    return Message("assistant", user(*parts).parts)


def revived(value: Any) -> Any:
    """JSON as capture.py wrote it, with its components made again."""
    if isinstance(value, list):
        return [revived(item) for item in value]
    if isinstance(value, dict) and "$component" in value:
        # What the adapter may look at, as Gradio hands it over: without a value while an event runs.
        given_value = {"value": value["given"]} if value["given"] is not None else {}
        made = type(
            value["$component"],
            (SimpleNamespace,),
            {"get_config": lambda self: {}, "constructor_args": given_value},
        )
        return made() if value["value"] is None else made(value=revived(value["value"]))
    if isinstance(value, dict):
        return {key: revived(item) for key, item in value.items()}
    return value


def golden(name: str) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = revived(json.loads((GOLDEN / f"{name}.json").read_text("utf-8"))["calls"])
    return calls


def thoughts(count: int) -> Notice:
    return Notice("thoughts_dropped", f"{count} thoughts or tool displays of earlier answers not sent")


# The whole conversation at the last call of each scenario, as it must reach a backend.
LAST = {
    "plain_turns": (
        user("hello"), bot("answer 1"), user(CLEANED), bot("answer 2"),
        user("indented please"), bot(INDENTED), user("bare please"), bot(CLEANED), user("the end"),
    ),
    "text_only": (
        user("hello"), bot("answer 1"), user(CLEANED), bot("answer 2"),
        user("indented please"), bot(INDENTED), user("bare please"), bot(CLEANED), user("the end"),
    ),
    "with_files": (
        user(PIXEL, NOTES, "look"), bot("answer 1"), user(PIXEL), bot("answer 2"),
        user(README, "and this"), bot("answer 3"), user("the end"),
    ),
    "assistant_shapes": (
        user("several please"), bot("first"), bot("second"), bot(" third, indented"),
        user("empty please"), bot(), user("chatmessage please"), bot("as a ChatMessage"),
        user("component please"), user("picture please"), bot(SAMPLE),
        user("path please"), bot(SAMPLE), user("mixed please"), bot("see:", SAMPLE), user("the end"),
    ),
    "thoughts": (user("thoughts please"), bot("It rains."), user("and now")),
    "retry": (user("first"), bot("answer 1"), user(PIXEL, "look"), bot("answer 3"), user("the end")),
    "undo": (user("first"), bot("answer 1"), user("instead")),
    "edit": (user("first"), bot("answer 1"), user("second, edited"), bot("answer 4"), user("the end")),
    "option": (
        user("options please"), bot("Which?"), user("the red one"), bot("answer 2"), user("the end"),
    ),
    "stopped": (user("first"), bot("answer 1"), user("slow please"), bot("partial"), user("go on")),
    "failed": (
        user("first"), bot("answer 1"), user("silent please"), user("again"), bot("answer 5"),
        bot("answer 6"), user("go on"),
    ),
    "chat_api": (
        user("hello please"), bot("answer 1"), user("several please"), bot("first"), bot("second"),
        bot(" third, indented"), user("bare please"), bot(INDENTED),
        user("thoughts please"), bot("It rains."), user("chatmessage please"),
        bot("as a ChatMessage"), user("component please"),
        user("picture please"), bot(SAMPLE), user("path please"), bot(SAMPLE),
        user("mixed please"), bot("see:", SAMPLE), user(PIXEL, "look"), bot("answer 10"), user("the end"),
    ),
}  # fmt: skip
HTML_LEFT_OUT = Notice("other", "displays of earlier answers not sent: html")
NOTICES = {
    "thoughts": (thoughts(3),),
    "assistant_shapes": (HTML_LEFT_OUT,),
    "chat_api": (thoughts(3), HTML_LEFT_OUT),
}


def test_every_golden_file_has_its_expected_conversation() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(LAST)


@pytest.mark.parametrize("name", LAST)
def test_a_captured_history_becomes_exactly_these_messages(name: str) -> None:
    call = golden(name)[-1]
    assert from_gradio(call["history"], call["message"]) == (LAST[name], NOTICES.get(name, ()))


@pytest.mark.parametrize("name", LAST)
def test_every_captured_call_is_understood_and_ends_with_the_message(name: str) -> None:
    for call in golden(name):
        messages, _ = from_gradio(call["history"], call["message"])
        assert messages[-1].role == "user"
        said = call["message"] if isinstance(call["message"], str) else call["message"]["text"]
        assert messages[-1].text == said


def test_the_message_itself_arrives_exactly() -> None:
    assert from_gradio([], golden("plain_turns")[1]["message"])[0] == (user(INDENTED),)
    assert from_gradio([], golden("text_only")[1]["message"])[0] == (user(INDENTED),)
    assert from_gradio([], golden("edit")[3]["message"])[0] == (user("  second, edited"),)


def test_an_upload_without_text_and_a_retried_one_are_the_same_message() -> None:
    first, again = golden("retry")[1], golden("retry")[2]
    assert isinstance(first["message"]["files"][0], str)
    assert isinstance(again["message"]["files"][0], dict)
    assert (
        from_gradio([], first["message"]) == from_gradio([], again["message"]) == ((user(PIXEL, "look"),), ())
    )
    assert from_gradio([], golden("with_files")[1]["message"])[0] == (user(PIXEL),)


def test_an_edit_truncates_and_an_undone_turn_is_gone() -> None:
    edited = golden("edit")[3]
    assert from_gradio(edited["history"], edited["message"])[0] == (
        user("first"), bot("answer 1"), user("  second, edited"),
    )  # fmt: skip


# --- shapes beyond the captured ones -----------------------------------------------------------------------


def test_without_a_message_the_history_stands_alone() -> None:
    assert from_gradio([{"role": "user", "content": "hi"}]) == ((user("hi"),), ())
    assert from_gradio(None) == from_gradio([]) == ((), ())
    assert from_gradio([], "") == ((Message("user", ()),), ())


def test_pairs_of_old_gradios_are_read() -> None:
    picture = FilePart("image/png", "a.png", path=Path("/cache/a.png"))
    history = [
        [None, "Welcome!"],
        ["  hi\n", "hello"],
        [("/cache/a.png",), None],
        [["/cache/a.png", "alternative"], "nice"],
        ("pending", None),
    ]
    assert from_gradio(history)[0] == (
        bot("Welcome!"), user("  hi\n"), bot("hello"), user(picture), user(picture), bot("nice"),
        user("pending"),
    )  # fmt: skip


def test_chat_message_objects_and_gradios_own_models_are_read() -> None:
    message = gr.ChatMessage(role="assistant", content=["a", {"path": "/cache/sample.png"}])
    thought = gr.ChatMessage("hm", metadata={"title": "Reasoning"})
    model = gr.Chatbot().postprocess([{"role": "user", "content": [{"type": "text", "text": " x"}]}]).root[0]
    messages, notices = from_gradio([model, thought, message])
    assert messages == (user(" x"), bot("a", SAMPLE))
    assert notices == (Notice("thoughts_dropped", "1 thought or tool display of earlier answers not sent"),)


def test_a_whole_chat_message_in_place_of_content_is_read() -> None:
    inner = {"role": "assistant", "content": "hm", "metadata": {"title": "Reasoning"}}
    answer = gr.ChatMessage(" yes")
    history = [{"role": "assistant", "content": inner}, {"role": "assistant", "content": answer}]
    assert from_gradio(history)[0] == (bot(" yes"),)


def test_our_own_footers_and_notes_vanish_without_a_notice() -> None:
    history = [
        {"role": "assistant", "content": "older messages", "metadata": {"id": "window:1"}},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello", "metadata": {"id": "turning"}},
        {"role": "assistant", "content": "0.2 s", "metadata": {"title": "0.2 s", "id": "turn:7"}},
    ]
    assert from_gradio(history) == ((user("hi"), bot("hello")), ())


def test_what_a_person_wrote_is_never_taken_for_a_thought() -> None:
    history = [{"role": "user", "content": "mine", "metadata": {"title": "Reasoning", "id": "turn:1"}}]
    assert from_gradio(history) == ((user("mine"),), ())


def test_a_file_by_url_stays_a_url_and_a_data_url_becomes_data() -> None:
    remote = {"path": "https://example.org/pic.jpg?x=1", "url": "http://server/gradio_api/file=x"}
    inline = {"path": "", "url": "data:text/plain;base64,aGk=", "orig_name": "a.txt"}
    assert from_gradio([], {"text": "", "files": [remote, inline]})[0] == (
        user(
            FilePart("image/jpeg", "pic.jpg", url="https://example.org/pic.jpg?x=1"),
            FilePart("text/plain", "a.txt", data=b"hi"),
        ),
    )


def test_the_browsers_media_type_and_the_original_name_win() -> None:
    data = {"path": "/cache/0/blob", "orig_name": "Éa.csv", "mime_type": "Text/CSV; charset=utf-8"}
    assert from_gradio([], {"text": "", "files": [data]})[0] == (
        user(FilePart("text/csv", "Éa.csv", path=Path("/cache/0/blob"))),
    )


def test_an_upload_without_a_telling_name_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(b"%PDF-1.7")
    assert from_gradio([], {"text": "x", "files": [str(path)]})[0] == (
        user(FilePart("application/pdf", "upload", path=path), "x"),
    )


def test_a_gallery_becomes_its_pictures() -> None:
    value = [
        {"image": {"path": "/cache/sample.png"}, "caption": "a"},
        {"image": {"path": "/cache/sample.png"}},
    ]
    content = [{"type": "component", "component": "gallery", "value": value}]
    assert from_gradio([{"role": "assistant", "content": content}]) == ((bot(SAMPLE, SAMPLE),), ())


def test_displays_left_out_are_named_once() -> None:
    plot = {"type": "component", "component": "plot", "value": {"type": "matplotlib"}}
    history = [
        {"role": "assistant", "content": [plot, "look", plot]},
        {"role": "assistant", "content": [plot]},
    ]
    assert from_gradio(history) == (
        (bot("look"),),
        (Notice("other", "displays of earlier answers not sent: plot"),),
    )


@pytest.mark.parametrize(
    ("item", "says"),
    [
        (7, "history item 1: expected an object with role and content, or a pair, found a int"),
        (
            {"role": "user"},
            "history item 1: expected an object with role and content, or a pair, found an object",
        ),
        (
            {"role": "tool", "content": "x"},
            "history item 1: expected the role user, assistant or system, found 'tool'",
        ),
        (
            {"role": "user", "content": None},
            "history item 1: expected text, a file or a component, found null",
        ),
        (
            {"role": "user", "content": [7]},
            "history item 1, part 0: expected text, a file or a component, found a int",
        ),
        ({"role": "user", "content": {"type": "video"}}, "found an object of type 'video' with type"),
        ({"role": "user", "content": {"type": "text", "text": None}}, "found an object of type 'text'"),
        ({"role": "user", "content": {"path": 7}}, "expected a file with path or url"),
        ({"role": "user", "content": {"path": None, "url": None}}, "expected a file with path or url"),
        (
            {"role": "user", "content": {"path": None, "url": "file:///etc/passwd"}},
            "expected a file with path or url",
        ),
        (
            {"role": "assistant", "content": "x", "metadata": "y"},
            "history item 1, metadata: expected an object",
        ),
        (["a", "b", "c"], "history item 1: expected a pair of user and assistant, found a list of 3"),
        ([7, None], "history item 1, user: expected text, a file or a component, found a int"),
        ([(1, 2), None], "history item 1, user: expected a file as (path,) or (path, alternative text)"),
    ],
)
def test_an_unknown_history_shape_is_named_with_its_place(item: Any, says: str) -> None:
    with pytest.raises(UnsupportedContent) as caught:
        from_gradio([{"role": "user", "content": "fine"}, item], "next")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (7, "the message: expected a string, or an object with text and files, found a int"),
        ({}, "the message: expected a string, or an object with text and files, found an empty object"),
        ({"text": 7}, "the message: expected text as a string and files as a list"),
        ({"text": "", "files": "x"}, "the message: expected text as a string and files as a list"),
        ({"text": "", "files": [7]}, "the message, file 0: expected a path or a file's data, found a int"),
    ],
)
def test_an_unknown_message_shape_is_named(message: Any, says: str) -> None:
    with pytest.raises(UnsupportedContent) as caught:
        from_gradio([], message)
    assert says in str(caught.value)


# --- back to Gradio ----------------------------------------------------------------------------------------

remote_files = st.just(FilePart("image/png", "a.png", url="https://example.org/a.png"))
said = st.lists(text_parts | local_files | remote_files, max_size=4).map(tuple)
paintable = conversations(st.builds(Message, st.sampled_from(["user", "assistant", "system"]), said))


@relaxed
@given(paintable)
def test_texts_and_files_come_back_from_gradio_unchanged(messages: tuple[Message, ...]) -> None:
    assert from_gradio(json.loads(json.dumps(to_gradio(messages)))) == (messages, ())


texts_only = conversations(
    st.builds(
        Message, st.sampled_from(["user", "assistant", "system"]), st.lists(text_parts, max_size=3).map(tuple)
    )
)


@relaxed
@given(texts_only)
def test_gradios_own_chatbot_keeps_every_character_of_what_we_give_it(messages: tuple[Message, ...]) -> None:
    chatbot = gr.Chatbot()
    seen = chatbot.preprocess(chatbot.postprocess(to_gradio(messages)))
    assert from_gradio(seen) == (messages, ())


def test_thoughts_and_tools_are_painted_in_their_place_and_left_out_again() -> None:
    answer = Message(
        "assistant",
        (
            ReasoningPart("hm"),
            TextPart("I look."),
            ToolCall("c1", "weather", '{"city":"Oslo"}'),
            ToolResult("c1", "```rain```", is_error=True),
            TextPart("It rains."),
        ),
    )
    painted = to_gradio([answer, Message("tool", (ToolResult("c2", "x"),))])
    assert [(item.get("metadata"), item["content"][0]["text"]) for item in painted] == [
        ({"title": "Reasoning", "status": "done"}, "hm"),
        (None, "I look."),
        ({"title": "Tool: weather", "id": "c1", "status": "done"}, '```json\n{\n  "city": "Oslo"\n}\n```'),
        ({"title": "Failed", "parent_id": "c1", "status": "done"}, "````\n```rain```\n````"),
        (None, "It rains."),
        ({"title": "Result", "parent_id": "c2", "status": "done"}, "```\nx\n```"),
    ]
    assert from_gradio(painted) == ((bot("I look."), bot("It rains.")), (thoughts(4),))


def test_a_file_in_memory_is_saved_by_whoever_knows_where(tmp_path: Path) -> None:
    part = FilePart("text/plain", "a.txt", data=b"hi")
    saved = tmp_path / "a.txt"

    def save(file: FilePart) -> Path:
        saved.write_bytes(file.read())
        return saved

    painted = to_gradio([user(part)], save=save)
    assert painted[0]["content"][0]["file"]["path"] == str(saved)
    assert saved.read_bytes() == b"hi"
    with pytest.raises(UnsupportedContent, match=r"message 0: a\.txt is in memory only"):
        to_gradio([user(part)])


@given(st.text(alphabet="`a\n", max_size=30))
def test_no_text_breaks_out_of_its_code_block(text: str) -> None:
    block = fenced(text)
    fence = block.split("\n", 1)[0]
    assert block == f"{fence}\n{text}\n{fence}"
    assert fence not in text
