"""ChatGPT's data export: its trees of messages as trees of turns, and a word for whatever is left out."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chatlab.config.models import Storage as StorageConfig
from chatlab.conversations.storage import OpenStorage, open_storage
from chatlab.messages import Citation, Finish, Notice, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.store import StoredConversation, StoredTurn
from chatlab.transfer import export, import_file
from chatlab.transfer.chatgpt import from_chatgpt


def node(
    id: str, parent: str | None, role: str = "user", content: Any = "text", **message: Any
) -> dict[str, Any]:
    """A node as the export has it; its message by who wrote it and what. Without a role, no message."""
    if isinstance(content, str):
        content = {"content_type": "text", "parts": [content]}
    author = {"role": role, "name": message.pop("name", None), "metadata": {}}
    made = {
        "id": id,
        "author": author,
        "create_time": message.pop("at", 1_700_000_000.5),
        "content": content,
        "status": "finished_successfully",
        "weight": 1.0,
        "metadata": {},
        "recipient": "all",
    }
    return {"id": id, "message": (made | message) if role else None, "parent": parent, "children": []}


def conversation(*nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    mapping = {one["id"]: one for one in nodes}
    for one in nodes:
        if one["parent"]:
            mapping[one["parent"]]["children"].append(one["id"])
    return {
        "title": "Cats",
        "create_time": 1_700_000_000.25,
        "update_time": 1_700_000_999.0,
        "mapping": mapping,
        "current_node": nodes[-1]["id"],
        "conversation_id": "aaaaaaaa-1111",
        **fields,
    }


ROOT = node("root-root", None, "")


def read(*nodes: dict[str, Any], **fields: Any) -> tuple[StoredConversation, dict[str, StoredTurn]]:
    kept, turns = from_chatgpt(conversation(json.loads(json.dumps(ROOT)), *nodes, **fields), "ann")
    return kept, {turn.id: turn for turn in turns}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[OpenStorage]:
    async with open_storage(StorageConfig(url=f"sqlite:{tmp_path}/db", files=f"{tmp_path}/files")) as storage:
        assert storage is not None
        yield storage


def test_messages_become_turns_with_their_times_and_models() -> None:
    kept, turns = read(
        node("system-1", "root-root", "system", ""),
        node("user-001", "system-1", content="hi"),
        node("asst-001", "user-001", "assistant", "hello", metadata={"model_slug": "gpt-5"}),
        node("user-002", "asst-001", content="and?"),
        node("asst-002", "user-002", "assistant", "well", at=1_700_000_500, metadata={"model_slug": "gpt-5"}),
    )
    assert (kept.id, kept.title, kept.head, kept.owner) == ("aaaaaaaa-1111", "Cats", "asst-002", "ann")
    assert kept.created.timestamp() == 1_700_000_000.25 and kept.updated.timestamp() == 1_700_000_999
    first, second = turns["asst-001"], turns["asst-002"]
    assert (first.user.text, first.answer, first.parent) == ("hi", (TextPart("hello"),), None)
    assert (first.backend, first.kind, first.label) == ("chatgpt", "imported", "gpt-5")
    assert first.finish == Finish("stop", model="gpt-5") and first.notices == ()
    assert (second.user.text, second.parent) == ("and?", "asst-001")
    assert second.created.timestamp() == 1_700_000_500


def test_edits_and_new_answers_become_siblings() -> None:
    kept, turns = read(
        node("user-001", "root-root", content="hi"),
        node("asst-00a", "user-001", "assistant", "one"),
        node("asst-00b", "user-001", "assistant", "two"),
        node("user-00c", "asst-00a", content="more"),
        node("asst-00c", "user-00c", "assistant", "three"),
        node("user-00d", "asst-00a", content="more, please"),
        node("user-00e", "root-root", content="hi, edited"),
        current_node="asst-00c",
    )
    assert {id: (turn.parent, turn.user.text) for id, turn in turns.items()} == {
        "asst-00a": (None, "hi"),
        "asst-00b": (None, "hi"),
        "asst-00c": ("asst-00a", "more"),
        "user-00d": ("asst-00a", "more, please"),
        "user-00e": (None, "hi, edited"),
    }
    assert kept.head == "asst-00c"
    assert (turns["user-00d"].status, turns["user-00d"].answer) == ("interrupted", ())


def test_tools_and_thoughts_are_parts_of_one_answer() -> None:
    _, turns = read(
        node("user-001", "root-root", content="compute"),
        node(
            *("asst-001", "user-001", "assistant"),
            {"content_type": "thoughts", "thoughts": [{"summary": "Plan", "content": "I add."}]},
        ),
        node(
            *("asst-002", "asst-001", "assistant"),
            {"content_type": "code", "language": "unknown", "text": "1+1"},
            recipient="python",
        ),
        node(
            "tool-001", "asst-002", "tool", {"content_type": "execution_output", "text": "2"}, name="python"
        ),
        node(
            "asst-003",
            "tool-001",
            "assistant",
            {"content_type": "reasoning_recap", "content": "Thought for 3 s"},
        ),
        node(
            "asst-004", "asst-003", "assistant", {"content_type": "code", "language": "sql", "text": "select"}
        ),
        node("asst-005", "asst-004", "assistant", "Two."),
    )
    (turn,) = turns.values()
    assert turn.answer == (
        ReasoningPart("Plan\n\nI add."),
        ToolCall("asst-002", "python", "1+1"),
        ToolResult("asst-002", "2", "python"),
        TextPart("```sql\nselect\n```"),
        TextPart("Two."),
    )
    assert turn.notices == (Notice("other", "Thought for 3 s"),)


def test_what_is_not_in_the_file_is_said_where_it_was() -> None:
    picture = {"content_type": "image_asset_pointer", "asset_pointer": "file-service://f"}
    speech = {"content_type": "audio_transcription", "text": " said aloud"}
    _, turns = read(
        node(
            *("user-001", "root-root", "user"),
            {"content_type": "multimodal_text", "parts": [picture, "look", speech]},
            metadata={"attachments": [{"id": "f", "name": "cat.png"}]},
        ),
        node("asst-001", "user-001", "assistant", "nice", metadata={"citations": [{"start_ix": 1}]}),
        node("asst-002", "asst-001", "assistant", {"content_type": "hologram", "x": 1}),
    )
    (turn,) = turns.values()
    assert turn.user.text == "look said aloud"
    assert [notice.detail for notice in turn.notices] == [
        "image is not in conversations.json",
        "cat.png is not in conversations.json",
        "sources that ChatGPT named were not imported",
        "content of the type hologram was not imported",
    ]


def mark(*parts: str) -> str:
    """A mark as ChatGPT writes it."""
    return "\ue200" + "\ue202".join(parts) + "\ue201"


def answered(text: str, **metadata: Any) -> StoredTurn:
    """The turn of an answer with this text."""
    _, turns = read(
        node("user-001", "root-root", "user", "hi"),
        node("asst-001", "user-001", "assistant", text, metadata=metadata),
    )
    return turns["asst-001"]


def test_a_mark_becomes_the_link_that_it_stands_for() -> None:
    cite = mark("cite", "turn0search0", "turn0search3")
    site = {"title": "Site", "url": "https://example.org/a"}
    turn = answered(
        f"It is 330 m tall. {cite} It opened in 1889.{mark('cite', 'turn1view0')}",
        content_references=[
            {"matched_text": cite, "alt": "([Site](https://example.org/a))", "items": [site, site]},
            {"matched_text": " ", "type": "sources_footnote", "sources": [site]},
        ],
    )
    assert turn.answer == (TextPart("It is 330 m tall. ([Site](https://example.org/a)) It opened in 1889."),)
    assert turn.citations == (Citation("Site", "https://example.org/a"),)
    assert [notice.detail for notice in turn.notices] == [
        "1 mark of sources or pictures that the file does not explain: left out"
    ]


def test_a_mark_without_words_of_its_own_becomes_links_to_its_items() -> None:
    cite = mark("cite", "turn0search0")
    items = [
        {"title": "A", "url": "https://a.example"},
        {"url": "javascript:alert(1)"},
        {"url": "https://b.example"},
    ]
    turn = answered(f"So it is {cite}.", content_references=[{"matched_text": cite, "items": items}])
    assert turn.answer == (
        TextPart("So it is ([A](https://a.example) [https://b.example](https://b.example))."),
    )
    assert not turn.notices


def test_an_entity_is_its_name_and_what_nothing_is_known_of_leaves_a_note() -> None:
    city = mark("entity", '["city","Paris","France"]')
    pictures = mark("image_group", '{"query":["Paris"]}')
    turn = answered(f"Visit {city} soon. {pictures} {mark('navlist', 'News', 'turn0news1')}\ue200cut")
    assert turn.answer == (TextPart("Visit Paris soon.cut"),)
    assert [notice.detail for notice in turn.notices] == [
        "2 marks of sources or pictures that the file does not explain: left out"
    ]


@pytest.mark.parametrize(
    ("written", "left", "unknown"),
    [
        (f"See {mark('url', 'The site', 'https://x.example/a')}.", "See [The site](https://x.example/a).", 0),
        (f"See {mark('url', 'The site', 'javascript:x')}.", "See.", 1),
        ("Buy " + mark("product_entity", '["turn0product1","Shoe"]'), "Buy Shoe", 0),
        ("See \ue200cite\ue202turn0search0\ue202turn1view2 and more.", "See and more.", 1),
        ("See it \ue200cite\ue202", "See it", 1),
        (f"See \ue200cite\ue202turn0search0{mark('cite', 'turn1search1')}\ue201.", "See.", 2),
        ("See :contentReference[oaicite:0]{index=0}, and :contentReference[oaicite:1].", "See, and.", 2),
        ("The \ue203tower\ue204\ue206 stands.", "The tower stands.", 0),
    ],
)
def test_marks_of_any_kind_are_taken_out_cut_ones_and_nested_ones_too(
    written: str, left: str, unknown: int
) -> None:
    turn = answered(written)
    assert turn.answer == (TextPart(left),)
    marks = "mark" if unknown == 1 else "marks"
    said = f"{unknown} {marks} of sources or pictures that the file does not explain: left out"
    assert [notice.detail for notice in turn.notices] == ([said] if unknown else [])


def test_marks_of_older_exports_are_read_too() -> None:
    about = {
        "title": "S",
        "url": "https://s.example",
        "extra": {"cited_message_idx": 4, "evidence_text": "source"},
    }
    turn = answered("Known【4†source】, unknown【5:2†other】.", citations=[{"metadata": about}])
    assert turn.answer == (TextPart("Known([S](https://s.example)), unknown."),)
    assert turn.citations == (Citation("S", "https://s.example"),)
    plain = answered("The sign 【 and private \ue100 stay.")
    assert plain.answer == (TextPart("The sign 【 and private \ue100 stay."),) and not plain.notices


def test_hidden_messages_are_left_out_and_the_first_turn_says_so() -> None:
    hidden = {"is_visually_hidden_from_conversation": True}
    about = {"content_type": "user_editable_context", "user_profile": "x", "user_instructions": "y"}
    kept, turns = read(
        node("user-000", "root-root", "user", about, metadata=hidden),
        node("system-1", "user-000", "system", "secret prompt", metadata=hidden),
        node("user-001", "system-1", content="hi"),
        node("asst-00x", "user-001", "assistant", "not shown", metadata=hidden),
        node("asst-00y", "asst-00x", "assistant", "nor this", metadata=hidden),
        node("asst-001", "asst-00y", "assistant", "hello"),
        node("system-2", "asst-001", "system", ""),
    )
    (turn,) = turns.values()
    assert (turn.id, turn.answer, kept.head) == ("asst-001", (TextPart("hello"),), "asst-001")
    assert [notice.detail for notice in turn.notices] == [
        "ChatGPT's custom instructions for this conversation were not imported",
        "hidden messages were not imported: 1 (system), 2 (assistant)",
    ]


def test_a_current_node_that_is_not_there_or_goes_in_circles_is_no_head() -> None:
    circle = {"a": {"parent": "b", "children": []}, "b": {"parent": "a", "children": []}}
    value = conversation(json.loads(json.dumps(ROOT)), node("user-001", "root-root"), current_node="a")
    value["mapping"] |= circle
    assert from_chatgpt(value, "ann")[0].head is None
    assert read(node("user-001", "root-root"), current_node="nosuch")[0].head is None


def test_how_an_answer_ended_is_kept() -> None:
    _, turns = read(
        node("user-001", "root-root"),
        node("asst-001", "user-001", "assistant", "a", metadata={"finish_details": {"type": "max_tokens"}}),
        node("asst-002", "user-001", "assistant", "b", metadata={"finish_details": {"type": "interrupted"}}),
    )
    assert turns["asst-001"].finish == Finish("length") and turns["asst-001"].label == "ChatGPT"
    assert (turns["asst-002"].status, turns["asst-002"].finish) == ("stopped", None)


async def test_a_whole_export_is_imported_twice_as_once_and_says_what_was_damaged(here: OpenStorage) -> None:
    good = conversation(
        json.loads(json.dumps(ROOT)), node("user-001", "root-root"), node("asst-001", "user-001", "assistant")
    )
    damaged = conversation(json.loads(json.dumps(ROOT)), title="Loop", conversation_id="bbbbbbbb-2222")
    damaged["mapping"] |= {
        "user-00x": node("user-00x", "root-root"),
        "user-00y": node("user-00y", "user-00x"),
    }
    damaged["mapping"]["root-root"]["children"] = ["user-00x"]
    damaged["mapping"]["user-00x"]["children"] = ["user-00y"]
    damaged["mapping"]["user-00y"]["children"] = ["user-00x"]
    data = json.dumps([good, damaged, {"mapping": {"a": 5}}, {"title": "what"}]).encode()
    for imported, already in ((1, 0), (0, 1)):
        done = await import_file(here.store, here.files, "ann", io.BytesIO(data), "conversations.json")
        assert (done.conversations, done.already) == (imported, already)
        assert [str(problem) for problem in done.problems] == [
            "conversations.json, conversation 2 (Loop): its nodes are not a tree",
            "conversations.json, conversation 3: mapping should be of nodes",
            "conversations.json, conversation 4 (what): is no conversation of ours, of ChatGPT's export, or "
            "of OpenAI messages (objects with a role)",
        ]
    pieces = [piece async for piece in export(here.store, here.files, "ann")]
    assert len(pieces) == 3 and '"id":"aaaaaaaa-1111"' in pieces[1]


def test_a_conversation_as_deep_as_python_does_not_recurse_is_read() -> None:
    ids = [f"node-{number:04}" for number in range(3000)]
    nodes = [
        node(id, ids[number - 1] if number else "root-root", "assistant" if number % 2 else "user")
        for number, id in enumerate(ids)
    ]
    _, turns = read(*nodes)
    assert len(turns) == 1500


@pytest.mark.parametrize("root_too", [False, True])
def test_nodes_in_a_circle_are_refused_rather_than_walked_for_ever(root_too: bool) -> None:
    circle = conversation(
        *([json.loads(json.dumps(ROOT))] if root_too else []),
        node("user-001", None),
        node("asst-001", "user-001", "assistant"),
        current_node="user-001",
    )
    circle["mapping"]["user-001"]["parent"] = "asst-001"
    circle["mapping"]["asst-001"]["children"] = ["user-001"]
    with pytest.raises(ValueError, match="its nodes are not a tree"):
        from_chatgpt(circle, "ann")
