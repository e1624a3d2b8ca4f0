"""An answer ends as failed whatever goes wrong on its way, with what had arrived and a sentence."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import chatlab
from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.conversations.turn_state import as_it_is, stored
from chatlab.messages import Message, StreamEvent
from chatlab.store import StoredTurn
from chatlab.turns.turn import Turn
from chatlab.web.chat.answering import RunningAnswer
from chatlab.web.chat.pacing import Pacing
from chatlab.web.chat.paint import AnswerPainter
from chatlab.web.chat.respond import _sentence

TEXT = "one two three four five six seven eight"
STAGES = ["adding", "painting", "painting for good", "pacing", "the end of saving", "what saving says"]


class Broken:
    """What an answer is made with, of which one stage fails."""

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def at(self, stage: str) -> None:
        if stage == self.stage:
            raise ZeroDivisionError(f"a fault in {stage}")


class Painting(AnswerPainter):
    def __init__(self, broken: Broken) -> None:
        super().__init__("t", "Echo")
        self._broken = broken
        self._added = 0

    def add(self, event: StreamEvent) -> None:
        self._added += 1
        if self._added > 2:
            self._broken.at("adding")
        super().add(event)

    def messages(self, *args: Any) -> list[dict[str, Any]]:
        if self._added > 1:
            self._broken.at("painting")
        return super().messages(*args)

    def settled(self, *args: Any) -> list[Any]:
        self._broken.at("painting for good")
        return super().settled(*args)


class Pauses(Pacing):
    def __init__(self, broken: Broken) -> None:
        super().__init__()
        self._broken = broken

    async def pause(self, turn: Turn) -> None:
        self._broken.at("pacing")
        await super().pause(turn)


class Saves:
    def __init__(self, broken: Broken, turn: Turn) -> None:
        self._broken, self._turn = broken, turn
        self._begun = stored("t", "o", "c", None, Message.of("user", TEXT), turn)
        self.ended: StoredTurn | None = None

    def end(self, error: str | None) -> StoredTurn:
        self._broken.at("the end of saving")
        self.ended = as_it_is(self._begun, self._turn, error)
        return self.ended

    async def unsaved(self) -> str | None:
        self._broken.at("what saving says")
        return None


@pytest.fixture
async def unhandled() -> AsyncIterator[list[dict[str, Any]]]:
    """What the event loop says of exceptions that nobody took."""
    found: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: found.append(context))
    yield found
    loop.set_exception_handler(None)


@pytest.mark.parametrize("watched", [True, False], ids=["watched", "alone"])
@pytest.mark.parametrize("stage", STAGES)
async def test_whatever_raises_the_answer_ends_with_what_had_arrived_and_a_sentence(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    unhandled: list[dict[str, Any]],
    stage: str,
    watched: bool,
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("backends: {echo: {kind: echo, rate: 100}}")
    broken = Broken(stage)
    async with chatlab.load(file) as lab:
        turn = lab.turn("echo", [Message.of("user", TEXT)])
        saves = Saves(broken, turn)
        node = TurnNode(None, Message.of("user", TEXT), "Echo", "t")
        answer = RunningAnswer(node, Conversation([node]), "c", turn, Painting(broken), saves, _sentence)
        over = asyncio.Event()
        with caplog.at_level(logging.ERROR):
            await answer.start(Pauses(broken), over.set)
            shown: list[Any] = []
            if watched:
                async for painted in answer.paints(lambda: True):
                    shown = painted
            async with asyncio.timeout(10):
                await over.wait()
                await answer.stopped()
    del answer
    gc.collect()
    assert unhandled == []
    said = [str(one) for one in (node.painted, *([shown] if watched else []))]
    assert node.answer and TEXT.startswith(node.answer[0].text)  # type: ignore[union-attr]
    for one in said:
        assert node.answer[0].text in one  # type: ignore[union-attr]
        assert "something went wrong here" in one and "ZeroDivisionError" in one and "incident " in one
    if "saving" in stage:
        assert all("this answer is not saved" in one for one in said)
    else:
        assert saves.ended is not None and saves.ended.status == "failed"
        assert "ZeroDivisionError" in str(saves.ended.error)
    assert f"ZeroDivisionError: a fault in {stage}" in caplog.text and "Traceback" in caplog.text
