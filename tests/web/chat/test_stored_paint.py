"""A stored conversation is painted and sent as it was: no browser needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import chatlab
from chatlab.backend import CallContext
from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.conversations.turn_state import as_it_is, stored
from chatlab.errors import ChatlabError
from chatlab.messages import FilePart, Message, Notice, TextPart
from chatlab.store import StoredTurn, now
from chatlab.web.chat.asking import edited
from chatlab.web.chat.pages import OpenPages
from chatlab.web.chat.paint import AnswerPainter, paint_stored
from chatlab.web.chat.paint_messages import paint_attachments, paint_message
from chatlab.web.shared.tabs import TabOwners

CONFIG = """\
backends:
  full:
    kind: echo
    label: A <b>full</b> one
    reasoning: hm
    tools: [{name: look_up, arguments: {q: moon}, result: "a *rock*"}]
    citations: [{title: The moon, url: "https://moon.example/"}]
    prices: {input: 1000000, output: 2000000}
  text: {kind: openai, model: m, base_url: "http://127.0.0.1:9/v1", api_key: {env: NO_KEY}, retries: 0}
"""
HI = Message.of("user", "hi")


@pytest.mark.parametrize("name", ["full", "text"])
async def test_a_turn_from_the_store_is_painted_like_one_that_just_ended(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_KEY", "none")
    file = tmp_path / "c.yaml"
    file.write_text(CONFIG, "utf-8")
    error: str | None = None
    async with chatlab.load(file) as lab:
        turn = lab.turn(name, [HI])
        notice = Notice("history_truncated", "1 messages were not sent")
        ctx = CallContext(identity="ann@example.org")
        begun = replace(stored("t", "o", "c", None, HI, turn, ctx=ctx), notices=(notice,))
        painter = AnswerPainter("t", turn.entry.label, "chatlab-at", asked_as=turn.entry.asked_as(ctx))
        painter.add(notice)
        try:
            async with turn:
                async for event in turn:
                    painter.add(event)
        except ChatlabError as exc:
            error = f"{exc}, incident 1"
        painted = painter.messages(turn, error)
        assert (error is None) == (name == "full")
        assert paint_stored(as_it_is(begun, turn, error), "chatlab-at") == painted
        assert "| asked as | the service |" in str(painted[-1])
        assert 'class="chatlab-at"' in painted[-1]["metadata"]["title"]


def test_what_came_of_a_turn_is_worded_once() -> None:
    painter = AnswerPainter("t", "Echo")
    ended = StoredTurn("t", "o", "c", None, now(), HI, "b", "echo", "B", status="finished")
    first, again = (painter.messages(ended)[-1]["content"][0]["text"] for _ in range(2))
    assert first is again
    painter.add(Notice("other", "One thing more"))
    assert painter.messages(ended)[-1]["content"][0]["text"] is not first


def test_attachments_stand_before_the_text_in_one_part_and_an_edit_keeps_them() -> None:
    sha = "ab" * 32
    files = (
        FilePart("image/png", "a ](x) *b*.png", url=f"sha256:{sha}"),
        FilePart("application/pdf", "r.pdf", url=f"sha256:{sha}"),
    )
    message = Message("user", (*files, TextPart("  look\n")))
    (part,) = paint_message(message)["content"]
    assert part["text"] == paint_attachments(message) + "  look\n"
    assert part["text"].count(f"](-/files/{sha})") == 2 and "](x)" not in part["text"]
    assert edited(message, "and now?").parts == (*files, TextPart("and now?"))


def turn(turn_id: str, parent: str | None) -> TurnNode:
    return TurnNode.of(StoredTurn(turn_id, "o", "c", parent, now(), HI, "b", "echo", "B", status="finished"))


def test_the_end_of_a_branch_is_its_latest_way_on() -> None:
    tree = Conversation(
        turn(*one) for one in [("a", None), ("b", "a"), ("c", "a"), ("d", "b"), ("e", "c"), ("f", None)]
    )
    assert tree.versions(tree["b"]) == ["b", "c"] and tree.versions(tree["a"]) == ["a", "f"]
    assert [tree.end(turn_id).id for turn_id in "abcf"] == ["e", "d", "e", "f"]
    assert [one.id for one in tree.path("e")] == ["a", "c", "e"]


def test_a_page_is_of_the_browser_that_used_its_hash_first() -> None:
    tabs, pages = TabOwners(most=2), OpenPages()
    assert tabs.admit("h", "me") and tabs.admit("h", "me")
    assert not tabs.admit("h", "you") and not tabs.admit("h", None)
    assert tabs.admit(None, "you") and tabs.admit("", None)
    assert pages.get("h", "me") is not pages.get("h", "you")
    mine: Any = pages.get("h", "me")
    pages.close("h", "you")
    assert pages.get("h", "me") is mine
