"""A page that turns to something else, or stops, while a message is being taken: no browser needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from starlette.requests import Request

import chatlab
from chatlab.conversations.service import StorageService
from chatlab.web.chat.branches import BranchNavigation
from chatlab.web.chat.respond import Chat
from chatlab.web.shared.limits import limits_of
from chatlab.web.shared.owner import COOKIE
from chatlab.web.shared.stored_room import room_of
from chatlab.web.shared.uploads import UploadOwners

CONFIG = "backends: {echo: {kind: echo}, slow: {kind: echo, rate: 20}}"


class Tab:
    """A page's requests, of which those for the storage wait while it is `held`."""

    def __init__(self, lab: chatlab.Lab, tmp_path: Path) -> None:
        assert lab.config is not None
        self._lab = lab
        self.held = asyncio.Event()
        self.held.set()
        self.waiting = asyncio.Event()
        self.chat = Chat(
            lab.backends.served(),
            lab.config,
            [],
            UploadOwners(tmp_path / "uploads"),
            limits_of(lab),
            room_of(lab),
            self._storage,
        )
        self.navigation = BranchNavigation(self.chat)
        scope = {"type": "http", "headers": [(b"cookie", f"{COOKIE}={'x' * 40}".encode())]}
        self.request: Any = gr.Request(Request(scope), session_hash="tab")
        self.page = self.chat.page(self.request)
        self._asked = 0

    async def _storage(self) -> StorageService | None:
        self.waiting.set()
        await self.held.wait()
        return await self._lab.storage()

    async def ask(self, text: str, backend: str = "echo", shown: list[Any] | None = None) -> list[Any]:
        async for _, now in self.chat.respond(text, shown or [], self.request, backend, ""):
            shown = now
        return shown or []

    async def show(self, **what: str) -> Any:
        self._asked += 1
        event = gr.EventData(None, {**what, "number": str(self._asked)})
        return (await self.navigation.asked(event, self.request))[0]

    async def while_held(self, message: Any, *others: Any) -> list[Any]:
        """Begin with a message, then with the others while the message waits; return what comes of all."""
        self.held.clear()
        self.waiting.clear()
        first = asyncio.create_task(message)
        await self.waiting.wait()
        rest = [asyncio.create_task(other) for other in others]
        await asyncio.sleep(0)
        self.held.set()
        return await asyncio.gather(first, *rest)


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    file = tmp_path / "c.yaml"
    file.write_text(CONFIG)
    async with chatlab.load(file) as lab:
        yield Tab(lab, tmp_path)


async def test_a_message_stays_in_its_conversation_though_the_page_turns_to_a_new_one(tab: Tab) -> None:
    shown = await tab.ask("one")
    conversation, first = tab.page.conversation_id, tab.page.last
    assert conversation is not None and first is not None
    await tab.while_held(tab.ask("two", shown=shown), tab.show(conversation=""))
    assert tab.page.conversation_id is None and tab.page.last is None
    await tab.show(conversation=conversation)
    assert tab.page.last is not None and tab.page.last.parent == first.id
    assert tab.page.last.user.text == "two"


async def test_a_conversation_that_is_opened_while_its_next_message_is_taken_has_that(tab: Tab) -> None:
    shown = await tab.ask("one")
    conversation = tab.page.conversation_id
    assert conversation is not None
    await tab.while_held(tab.ask("two", shown=shown), tab.show(conversation=conversation))
    assert tab.page.last is not None and tab.page.last.user.text == "two"


async def test_a_stop_ends_the_answer_to_a_message_that_is_still_being_taken(tab: Tab) -> None:
    await tab.while_held(tab.ask("word " * 200, "slow"), tab.chat.stopped(tab.request))
    assert tab.page.last is not None and tab.page.last.stored is not None
    assert tab.page.last.stored.status == "stopped"


async def test_what_was_asked_for_first_is_not_shown_last(tab: Tab) -> None:
    await tab.ask("one")
    conversation = tab.page.conversation_id
    assert conversation is not None
    old, new = gr.EventData(None, {"conversation": "", "number": "1"}), {"conversation": conversation}
    await tab.navigation.asked(gr.EventData(None, {**new, "number": "2"}), tab.request)
    await tab.navigation.asked(old, tab.request)
    assert tab.page.conversation_id == conversation
