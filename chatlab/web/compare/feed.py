"""The stream of news that each page of a comparison session reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from chatlab.compare.session.blind import blind_round
from chatlab.compare.session.state import rounds_shown
from chatlab.ids import RoundId, TurnId
from chatlab.messages import ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.render.incremental_markdown import IncrementalMarkdown
from chatlab.store import StoredTurn
from chatlab.web.compare.open_sessions import PageSession
from chatlab.web.compare.view import text_of
from chatlab.web.compare.view_model import AnswerEvent, PaintEvent, SessionView
from chatlab.web.shared.limits import Held
from chatlab.words import Words

PACE = 0.05  # seconds between two paints, whatever lanes they are of
HEARTBEAT = (
    15.0  # seconds without news after which a page, and every proxy on the way, is told that all is well
)


async def events(found: PageSession, voter: str) -> AsyncGenerator[str, None]:
    """Yield what a page is told, as server-sent events: the whole session when it has changed, and in between
    at most 20 times a second what the lanes that changed have come to.
    """
    feed = Feed(found, voter)
    clock = asyncio.get_running_loop().time
    told_at = clock()
    async with aclosing(found.session.changes()) as changes:
        news = asyncio.ensure_future(anext(changes, None))
        try:
            while True:
                done, _ = await asyncio.wait([news], timeout=max(0.0, told_at + HEARTBEAT - clock()))
                told: list[str] = []
                if done:
                    changed = news.result()
                    if changed is None:
                        return
                    news = asyncio.ensure_future(anext(changes, None))
                    await found.view.make_ready()
                    told = feed.told(changed.state)
                if not told and clock() - told_at >= HEARTBEAT:
                    told = [": all is well\n\n"]
                for event in told:
                    yield event
                if told:
                    told_at = clock()
                if done:
                    await asyncio.sleep(PACE)
        finally:
            news.cancel()
            await asyncio.gather(news, return_exceptions=True)


async def refusal(sentence: str) -> AsyncGenerator[str, None]:
    """Yield the one event of a stream that is refused. A page that was answered with a status would be told
    nothing by its browser, and ask again and again."""
    yield _event("refused", sentence)


class EventStream(StreamingResponse):
    """Server-sent events. held: what counts for as long as they are sent, however that ends."""

    def __init__(self, told: AsyncGenerator[str, None], held: Held | None = None) -> None:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(told, media_type="text/event-stream", headers=headers)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._held is not None:
                self._held.release()


class Feed:
    """The stream of changes to one page, by what that page knows already."""

    def __init__(self, found: PageSession, voter: str) -> None:
        self._found = found
        self._voter = voter
        self._growing: dict[str, IncrementalMarkdown] = {}
        self._doing: dict[str, str] = {}
        self._running = False

    def told(self, state_changed: bool) -> list[str]:
        session = self._found.session
        ended = self._running and not session.running()
        self._running = session.running()
        if session.state.hidden:
            return self._hidden(state_changed or ended)
        events = []
        # With the last answer its event says that nothing runs; a re-run can end after its last answer.
        if state_changed or (ended and not self._growing):
            self._forget()
            events.append(self._whole())
        paints, answers = self._named()
        if paints:
            events.append(_event("paint", paints))
        return [*events, *(_event("answer", answer) for answer in answers)]

    def _forget(self) -> None:
        self._growing.clear()
        self._doing.clear()

    def _whole(self) -> str:
        return _event("view", self._found.view.whole(self._voter, self._found.title))

    def _named(self) -> tuple[list[PaintEvent], list[AnswerEvent]]:
        session, view = self._found.session, self._found.view
        paints: list[PaintEvent] = []
        ended: list[AnswerEvent] = []
        running = {turn_id: session.state.positions[turn_id] for turn_id in session.running_turns()}
        for known in [one for one in self._growing if one not in running]:
            position = session.state.positions[TurnId(known)]
            del self._growing[known]
            ended.append(
                {
                    "round": position.round,
                    "lane": position.lane,
                    "repeat": position.repeat,
                    "running": session.running(),
                    "answer": view.answer(position.turn),
                    "timings": view.timings([session.state.round(position.round)]),
                    "overall": view.timings(rounds_shown(session.state)),
                }
            )
        for turn_id, position in running.items():
            growing = self._growing.setdefault(turn_id, IncrementalMarkdown(view.markdown))
            turn = session.turn(turn_id)
            update, doing = growing.update(text_of(turn)), _doing(turn, view.words)
            if update is not None or doing != self._doing.get(turn_id):
                self._doing[turn_id] = doing
                paint = _paint(position.round, position.lane, position.repeat, update)
                paints.append({**paint, "doing": doing})
        return paints, ended

    def _hidden(self, changed: bool) -> list[str]:
        """Return the events of a session whose names are hidden.

        A lane's progress is told as far as the session reveals it, no event more: the moments of events would
        tell lanes apart as well as their figures.
        """
        session, view = self._found.session, self._found.view
        if changed:
            self._forget()
            return [self._whole()]
        if session.state.opened.reveal == "together":
            return []
        paints: list[PaintEvent] = []
        rounds = dict.fromkeys(session.state.positions[turn_id].round for turn_id in session.running_turns())
        for asked in map(session.state.round, rounds):
            answers = blind_round(session.state, asked, session.turn).answers
            if not any(answer.waiting for answer in answers):
                continue  # the whole session, which is told next, says at once how each has ended
            for answer in answers:
                known = f"{asked.id} {answer.letter} {answer.repeat}"
                growing = self._growing.setdefault(known, IncrementalMarkdown(view.markdown))
                update = growing.update(answer.text)
                if update is not None:
                    paints.append(_paint(asked.id, answer.letter, answer.repeat, update))
        return [_event("paint", paints)] if paints else []


def _doing(turn: StoredTurn, words: Words) -> str:
    """Return what a running answer is at, in a word or two for its card."""
    last = turn.answer[-1] if turn.answer else None
    if isinstance(last, ReasoningPart):
        return words("compare.thinking")
    if isinstance(last, ToolCall):
        return words("compare.calls-tool", name=last.name)
    if isinstance(last, ToolResult):
        return words("compare.tool-answered")
    return words("compare.writing" if isinstance(last, TextPart) else "compare.status-waiting")


def _paint(round_id: RoundId, lane: str, repeat: int, update: tuple[str, str] | None) -> PaintEvent:
    where: PaintEvent = {"round": round_id, "lane": lane, "repeat": repeat}
    return where if update is None else {**where, "add": update[0], "tail": update[1]}


def _event(name: str, data: SessionView | AnswerEvent | list[PaintEvent] | str) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"
