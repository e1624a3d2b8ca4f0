"""What a browser is told of a comparison session.

Everything of a session that goes to a browser is made here. While names are hidden it is made from
`chatlab.compare.blind` alone: letters, texts and votes, and nothing that tells one lane from another.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from chatlab.compare.blind import BlindAnswer, BlindRound, blind_view
from chatlab.compare.difference import agreement
from chatlab.compare.results import Lane
from chatlab.compare.session import Session
from chatlab.compare.session_log import Round, SessionState
from chatlab.errors import ChatlabError
from chatlab.markup import render
from chatlab.messages import (
    FilePart,
    Message,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from chatlab.registry import Backends
from chatlab.store import StoredTurn

_LONGEST_COMPARED = (
    20_000  # characters of an answer up to which its agreement with others is told at a glance
)


class View:
    """Makes what one session's pages are told; what has ended is made once."""

    def __init__(self, session: Session, backends: Backends, allowed_hosts: Sequence[str]) -> None:
        self._session = session
        self._backends = backends
        self.allowed_hosts = allowed_hosts
        self._html: dict[str, str] = {}
        self._agreements: dict[tuple[str, str], float] = {}

    def whole(self, voter: str, title: str) -> dict[str, Any]:
        """The session as this voter sees it. Answers that are still written come empty: they are painted."""
        state = self._session.state
        common = {
            "id": self._session.id,
            "title": title,
            "mode": state.mode,
            "blind": state.opened.blind,
            "hidden": state.hidden,
            "reveal": state.opened.reveal,
            "criteria": list(state.opened.criteria),
            "reasons": list(state.opened.reasons),
            "running": self._session.running(),
            "seq": state.seq,
        }
        if state.hidden:
            return {**common, **self._hidden(state, voter)}
        return {
            **common,
            "lanes": [self._lane(lane) for lane in state.lanes],
            "rounds": [self._round(state, round, voter) for round in state.visible],
            "mismatches": [],
        }

    # -- named

    def _lane(self, lane: Lane) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": lane.id,
            "name": lane.label,
            "label": lane.label,
            "backend": lane.backend,
            "parameters": dict(lane.parameters),
            "system": lane.system,
        }
        try:
            entry = self._backends[lane.backend]
        except ChatlabError as exc:
            return {**shown, "ready": str(exc)}
        model = entry.cls.target(entry.config.options).model
        return {**shown, "ready": entry.not_ready, "model": model}

    def _round(self, state: SessionState, round: Round, voter: str) -> dict[str, Any]:
        shown = state.shown(round)
        answers = {lane: [self.answer(id) for id in round.turns[lane]] for lane in shown}
        return {
            **self._question(round.id, round.user),
            "only": None if round.to_all else list(shown),
            "answers": answers,
            "picked": self._picked(state, round),
            "votes": self._votes(state, round.id, voter),
            "agreement": self._agreement({lane: round.turns[lane][0] for lane in shown}),
            "mismatches": [
                f"{' and '.join(state.lane(lane).label for lane in one.lanes)}: {one.reason}"
                for one in self._session.mismatches(round.id)
            ],
        }

    def _question(self, id: str, user: Message) -> dict[str, Any]:
        return {
            "id": id,
            "text": user.text,
            "text_html": render(user.text, allowed_hosts=self.allowed_hosts),
            "files": [part.name or part.media_type for part in user.parts if isinstance(part, FilePart)],
        }

    def _picked(self, state: SessionState, round: Round) -> str | None:
        """The lane whose answer all go on from."""
        if state.mode != "shared":
            return None
        standing = [state.standing(lane, round.id) for lane in state.heads]
        origins = {place.origin for place in standing if place is not None}
        if len(origins) != 1 or len(standing) < 2 or any(place is None for place in standing):
            return None
        return state.places[origins.pop()].lane

    def answer(self, id: str) -> dict[str, Any]:
        """One answer; its text is left to be painted while it runs."""
        turn = self._session.turn(id)
        unsaved = self._session.unsaved(id)
        shown: dict[str, Any] = {"turn": id, "status": turn.status, "html": "", "error": turn.error}
        shown["notices"] = [
            *(notice.detail for notice in turn.notices if notice.kind != "thoughts_dropped"),
            *([unsaved] if unsaved else []),
        ]
        if turn.status == "running":
            return shown
        if id not in self._html:
            self._html[id] = render(text_of(turn), allowed_hosts=self.allowed_hosts)
        shown["html"] = self._html[id]
        shown["thoughts"] = [
            {"title": "Thought", "html": render(part.text, allowed_hosts=self.allowed_hosts)}
            for part in turn.answer
            if isinstance(part, ReasoningPart)
        ]
        if len(shown["thoughts"]) == 1:
            shown["thoughts"][0]["seconds"] = turn.timing.reasoning
        shown["tools"] = _tools(turn)
        shown["figures"] = self._figures(id, turn)
        return shown

    def _figures(self, id: str, turn: StoredTurn) -> dict[str, Any]:
        usage = turn.finish.usage if turn.finish else None
        place = self._session.state.places[id]
        receipt = self._session.receipts(place.round).get(id)
        return {
            "first_token": turn.timing.first_token,
            "total": turn.timing.total,
            "tokens_per_second": turn.timing.tokens_per_second,
            "longest_stall": turn.timing.longest_stall,
            "input": usage.input if usage else None,
            "output": usage.output if usage else None,
            "cost": turn.cost,
            "finish": turn.finish.reason if turn.finish else None,
            "model": turn.finish.model if turn.finish else None,
            "receipt": receipt.sha256 if receipt else None,
        }

    def _votes(self, state: SessionState, round: str, voter: str) -> dict[str, Any]:
        shown: dict[str, Any] = {}
        for vote in state.votes:
            if vote.round == round and vote.voter == voter:
                changes = shown[vote.criterion]["changes"] + 1 if vote.criterion in shown else 0
                shown[vote.criterion] = {
                    "best": state.letters.get(vote.best, vote.best) if state.hidden else vote.best,
                    "reasons": list(vote.reasons),
                    "note": vote.note,
                    "marked": list(vote.marked),
                    "changes": changes,
                }
        return shown

    def _agreement(self, turns: dict[str, str]) -> dict[str, float]:
        """By pair of what the lanes are called here; of whole answers that are not too long for it."""
        found = {}
        texts = {name: self._text_to_compare(id) for name, id in turns.items()}
        for a, b in combinations(turns, 2):
            ours, theirs = texts[a], texts[b]
            if ours and theirs:
                key = (turns[a], turns[b])
                if key not in self._agreements:
                    self._agreements[key] = agreement(ours, theirs)
                found[f"{a}|{b}"] = self._agreements[key]
        return found

    def _text_to_compare(self, id: str) -> str | None:
        turn = self._session.turn(id)
        text = text_of(turn)
        return text if turn.status == "finished" and len(text) <= _LONGEST_COMPARED else None

    # -- hidden

    def _hidden(self, state: SessionState, voter: str) -> dict[str, Any]:
        blind = blind_view(state, self._session.turn)
        return {
            "lanes": [{"id": letter, "name": letter} for letter in blind.letters],
            "rounds": [self._hidden_round(state, round, voter) for round in blind.rounds],
            "mismatches": [],
        }

    def _hidden_round(self, state: SessionState, round: BlindRound, voter: str) -> dict[str, Any]:
        answers: dict[str, list[dict[str, Any]]] = {}
        for answer in round.answers:
            answers.setdefault(answer.letter, []).append(self._hidden_answer(answer))
        first = {
            letter: state.rounds[round.id].turns[lane][0]
            for lane, letter in sorted(state.letters.items(), key=lambda item: item[1])
            if letter in answers
        }
        waiting = any(answer.waiting for answer in round.answers)
        return {
            **self._question(round.id, round.user),
            "only": None,
            "answers": answers,
            "picked": round.picked,
            "votes": self._votes(state, round.id, voter),
            "agreement": {} if waiting else self._agreement(first),
            "mismatches": ["the lanes were not sent what they should have been"] if round.unlike else [],
        }

    def _hidden_answer(self, answer: BlindAnswer) -> dict[str, Any]:
        if answer.waiting:
            return {"status": "waiting", "html": ""}  # what may be seen of it is painted
        if answer.empty:
            return {"status": "finished", "html": "", "error": "no answer"}
        return {"status": "finished", "html": render(answer.text, allowed_hosts=self.allowed_hosts)}


def text_of(turn: StoredTurn) -> str:
    """The visible text of an answer."""
    return "".join(part.text for part in turn.answer if isinstance(part, TextPart))


def _tools(turn: StoredTurn) -> list[dict[str, Any]]:
    results = {part.id: part for part in turn.answer if isinstance(part, ToolResultPart)}
    return [
        {
            "name": part.name,
            "arguments": part.arguments,
            "result": results[part.id].content if part.id in results else None,
            "seconds": turn.tool_seconds.get(part.id),
        }
        for part in turn.answer
        if isinstance(part, ToolCallPart)
    ]
