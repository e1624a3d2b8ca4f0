"""What a page of a comparison session is told while turns run and end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from chatlab.compare.session.events import Opened
from chatlab.compare.session.session import ComparisonSession
from chatlab.config.models import CompareLane
from chatlab.render.markdown import MarkdownRenderer
from chatlab.web.compare.agreement import RoundAgreement
from chatlab.web.compare.feed import Feed
from chatlab.web.compare.open_sessions import PageSession
from chatlab.web.compare.view import View
from chatlab.words import ENGLISH
from tests.compare.session.scripted import script, scripted


class Held:
    """Places which turns that have ended do not leave before they are let go."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.let_go = asyncio.Event()
        self.turns = 0

    async def charge(self, turns: int) -> None:
        self.turns += turns

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None, None]:
        yield
        self.turns -= 1
        if not self.turns:
            self.ended.set()
        await self.let_go.wait()


@pytest.mark.parametrize("reveal", ["paced", "as they come"])
async def test_no_paint_tells_how_a_hidden_round_ended_before_its_view_does(reveal: str) -> None:
    backends = scripted("a", "b")
    script(backends, "b").fail = "middle"
    lanes = [CompareLane(backend=name) for name in ("a", "b")]
    session = await ComparisonSession.create(
        backends, lanes, owner="me", opened=Opened(blind=True, reveal=reveal)
    )
    found = PageSession(
        session, View(session, backends, MarkdownRenderer()), RoundAgreement(session, ENGLISH), ""
    )
    held = Held()
    await session.ask("Hello", places=held)
    await held.ended.wait()
    assert len(session.running_turns()) == 2, "both have ended, and are not settled yet"
    feed = Feed(found, "me")
    assert feed.told(state_changed=False) == []
    held.let_go.set()
    await session.settled()
    (event,) = feed.told(state_changed=False)
    name, _, data = event.partition("\ndata: ")
    assert name == "event: view" and not json.loads(data)["running"]
    await session.aclose()
