"""The comparison sessions that pages have open, and the stream of news that each page reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from chatlab.compare.blind import blind_round
from chatlab.compare.session import Session
from chatlab.kept import Kept
from chatlab.lab import Lab
from chatlab.store import NotStored
from chatlab.ui.compare_view import View, text_of
from chatlab.ui.growing import Growing

_PACE = 0.05  # seconds between two paints, whatever lanes they are of
_HEARTBEAT = 15.0  # seconds without news after which a page is told that all is well
_MOST_OPEN = 500


@dataclass(slots=True)
class Open:
    """A session that is in memory, and what its pages are told."""

    session: Session
    view: View
    title: str
    readers: int = 0
    creating: asyncio.Lock = field(default_factory=asyncio.Lock)


class OpenSessions:
    """Sessions by id: made here, or taken from the store when first asked for; for their owner alone."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._open: dict[str, Open] = {}
        self._opening = asyncio.Lock()
        lab.at_close.append(self.aclose)

    async def add(self, session: Session, title: str = "") -> Open:
        """Holds a session that was just made."""
        assert self._lab.config is not None
        found = Open(session, View(session, self._lab.backends, self._lab.config.ui.allowed_hosts), title)
        self._open[session.id] = found
        if len(self._open) > _MOST_OPEN:
            await self._close_oldest()
        return found

    async def get(self, owner: str, id: str) -> Open:
        """A session of this owner. Raises NotStored for one that is not."""
        async with self._opening:
            found = self._open.get(id)
            if found is None:
                kept = await self._lab.kept()
                if kept is None:
                    raise NotStored("there is no such comparison: without storage it ends with the server")
                found = await self._from_store(kept, owner, id)
            if found.session.owner != owner:
                raise NotStored("there is no such comparison")
            self._open[id] = self._open.pop(id)  # last again: the dict's order is that of use
            return found

    async def forget(self, id: str) -> None:
        """Closes a session that was taken away."""
        found = self._open.pop(id, None)
        if found is not None:
            await found.session.aclose()

    async def aclose(self) -> None:
        """Stops and saves whatever runs."""
        while self._open:
            await self.forget(next(iter(self._open)))

    async def _from_store(self, kept: Kept, owner: str, id: str) -> Open:
        session = await Session.open(
            self._lab.backends, id, owner=owner, store=kept.store, saving=kept.saving, files=kept.files
        )
        return await self.add(session, (await kept.store.comparison(owner, id)).title)

    async def _close_oldest(self) -> None:
        for id, found in self._open.items():
            if not found.readers and not found.session.running():
                await self.forget(id)
                return


async def events(found: Open, voter: str) -> AsyncGenerator[str, None]:
    """What a page is told, as server-sent events: the whole session when it has changed, and in between at
    most 20 times a second what the lanes that changed have come to."""
    feed = _Feed(found, voter)
    found.readers += 1
    try:
        async with aclosing(found.session.changes()) as changes:
            news = asyncio.ensure_future(anext(changes, None))
            try:
                while True:
                    done, _ = await asyncio.wait([news], timeout=_HEARTBEAT)
                    if not done:
                        yield ": all is well\n\n"
                        continue
                    changed = news.result()
                    if changed is None:
                        return
                    news = asyncio.ensure_future(anext(changes, None))
                    for event in feed.told(changed.state):
                        yield event
                    await asyncio.sleep(_PACE)
            finally:
                news.cancel()
                await asyncio.wait([news])
    finally:
        found.readers -= 1


class _Feed:
    """What one page knows already, and so what it is to be told next."""

    def __init__(self, found: Open, voter: str) -> None:
        self._found = found
        self._voter = voter
        self._growing: dict[str, Growing] = {}
        self._hidden_running = False

    def told(self, state_changed: bool) -> list[str]:
        session = self._found.session
        if session.state.hidden:
            return self._hidden(state_changed)
        events = []
        if state_changed:
            self._growing.clear()
            events.append(self._whole())
        paints, ended = self._named()
        if paints:
            events.append(_event("paint", paints))
        return [*events, *(_event("answer", answer) for answer in ended)]

    def _whole(self) -> str:
        return _event("view", self._found.view.whole(self._voter, self._found.title))

    def _named(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        session, view = self._found.session, self._found.view
        paints: list[dict[str, Any]] = []
        ended: list[dict[str, Any]] = []
        running = {id: session.state.places[id] for id in session.running_turns()}
        for id in [id for id in self._growing if id not in running]:
            place = session.state.places[id]
            del self._growing[id]
            where = {"round": place.round, "lane": place.lane, "repeat": place.repeat}
            ended.append({**where, "answer": view.answer(id)})
        for id, place in running.items():
            growing = self._growing.setdefault(id, Growing(view.allowed_hosts))
            turn = session.turn(id)
            look = growing.look(text_of(turn))
            if look is not None:
                paints.append(_paint(place.round, place.lane, place.repeat, look))
        return paints, ended

    def _hidden(self, state_changed: bool) -> list[str]:
        """While names are hidden a lane's progress is told as far as the session reveals it, no event more:
        the moments of events would tell lanes apart as well as their figures."""
        session, view = self._found.session, self._found.view
        running = session.running()
        if state_changed or (self._hidden_running and not running):
            self._growing.clear()
            self._hidden_running = running
            return [self._whole()]
        self._hidden_running = running
        if session.state.opened.reveal == "together":
            return []
        paints: list[dict[str, Any]] = []
        for id in dict.fromkeys(session.state.places[turn].round for turn in session.running_turns()):
            for answer in blind_round(session.state, session.state.round(id), session.turn).answers:
                known = f"{id} {answer.letter} {answer.repeat}"
                look = self._growing.setdefault(known, Growing(view.allowed_hosts)).look(answer.text)
                if look is not None:
                    paints.append(_paint(id, answer.letter, answer.repeat, look))
        return [_event("paint", paints)] if paints else []


def _paint(round: str, lane: str, repeat: int, look: tuple[str, str]) -> dict[str, Any]:
    return {"round": round, "lane": lane, "repeat": repeat, "add": look[0], "tail": look[1]}


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
