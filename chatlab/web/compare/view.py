"""The view of a comparison session that a browser is told.

Everything of a session that goes to a browser is made here. While names are hidden it is made from
`chatlab.compare.session.blind` alone: letters, texts and votes, and nothing that tells one lane from another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

from chatlab.compare.model import Lane
from chatlab.compare.session.blind import BlindAnswer, BlindRound, blind_view, names_itself, names_of, turn_of
from chatlab.compare.session.events import Mismatch
from chatlab.compare.session.session import ComparisonSession
from chatlab.compare.session.state import Round, SessionState, rounds_shown
from chatlab.config.registry import Entry
from chatlab.errors import ChatlabError
from chatlab.ids import LaneId, RoundId, TurnId
from chatlab.messages import (
    FilePart,
    Message,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolResult,
)
from chatlab.render.figures import Measured, figures, seconds
from chatlab.render.markdown import MarkdownRenderer, as_typed
from chatlab.render.notes import notes
from chatlab.render.sources import sources
from chatlab.store import StoredTurn
from chatlab.turns.fit import reaches
from chatlab.web.compare.view_model import (
    AnswerView,
    FiguresView,
    LaneView,
    QuestionView,
    Reveal,
    RoundView,
    SessionView,
    TimingView,
    ToolView,
    VoteView,
)
from chatlab.words import ENGLISH, Words

_Parts: TypeAlias = tuple[list[LaneView], list[RoundView], list[TimingView]]


class View:
    """Makes what the pages of one session are told; what has ended is made once. On the event loop only."""

    def __init__(
        self,
        session: ComparisonSession,
        backends: Mapping[str, Entry],
        markdown: MarkdownRenderer,
        words: Words = ENGLISH,
    ) -> None:
        self.words = words
        self._session = session
        self._backends = backends
        self.markdown = markdown
        self._html: dict[str, str] = {}
        self._names: dict[tuple[str, int], bool] = {}

    def whole(self, voter: str, title: str) -> SessionView:
        """Return the session as this voter sees it; answers still written come empty, and are painted."""
        state = self._session.state
        lanes, rounds, timings = self._hidden(state, voter) if state.hidden else self._named(state, voter)
        return {
            "id": self._session.id,
            "title": title,
            "mode": state.mode,
            "blind": state.opened.blind,
            "hidden": state.hidden,
            "reveal": cast(Reveal, state.opened.reveal),
            "criteria": list(state.opened.criteria),
            "reasons": list(state.opened.reasons),
            "running": self._session.running(),
            "seq": state.seq,
            "unsaved": self._unsaved(state),
            "lanes": lanes,
            "rounds": rounds,
            "timings": timings,
        }

    async def make_ready(self) -> None:
        """Have the long texts of the session rendered beside the event loop, before they are shown."""
        for asked in rounds_shown(self._session.state):
            turns = [self._session.turn(one) for ids in asked.turns.values() for one in ids]
            texts = (text_of(turn) for turn in turns if turn.status != "running")
            await self.markdown.ahead(texts)

    def not_for(self, part: FilePart) -> str | None:
        """Return which lanes would be asked without this file, as a sentence; None if all take it."""
        state = self._session.state
        without = [lane.label for lane in state.lanes if not reaches(self._files(lane), part.media_type)]
        if not without:
            return None
        words = self.words
        which = words("compare.some-lanes") if state.hidden else ", ".join(without)
        name = part.name or words("compare.this-file")
        return words("compare.not-for", file=name, type=part.media_type, lanes=which)

    def _files(self, lane: Lane) -> Sequence[str]:
        try:
            return self._backends[lane.backend].capabilities.files
        except ChatlabError:
            return ()

    def _unsaved(self, state: SessionState) -> list[str]:
        """Return why something that was answered is not saved, each reason once."""
        turns = (one for asked in state.visible for ids in asked.turns.values() for one in ids)
        reasons = (self._session.unsaved(turn_id) for turn_id in turns)
        return list(dict.fromkeys(self.words.translated(one) for one in reasons if one is not None))

    # -- named

    def _named(self, state: SessionState, voter: str) -> _Parts:
        lanes = [self._lane(lane) for lane in state.lanes]
        shown = rounds_shown(state)
        return lanes, [self._round(state, asked, voter) for asked in shown], self.timings(shown)

    def _lane(self, lane: Lane) -> LaneView:
        shown: LaneView = {
            "id": lane.id,
            "name": lane.label,
            "label": lane.label,
            "backend": lane.backend,
            "answers": lane.backend,
            "parameters": dict(lane.parameters),
            "system": lane.system,
            "asked_as": self._asked_as(lane.id),
        }
        try:
            entry = self._backends[lane.backend]
        except ChatlabError as exc:
            return {**shown, "ready": self.words.told(exc)}
        model = entry.cls.target(entry.config.options).model
        ready = self.words.translated(entry.not_ready or "") or None
        return {**shown, "answers": entry.label, "ready": ready, "model": model}

    def _asked_as(self, lane: LaneId) -> str | None:
        """Return as whom a lane was asked last; None where it was not yet, or nobody signs in."""
        for asked in reversed(self._session.state.visible):
            for turn_id in reversed(asked.turns.get(lane, ())):
                return self._session.turn(turn_id).asked_as
        return None

    def _round(self, state: SessionState, asked: Round, voter: str) -> RoundView:
        shown = state.shown(asked)
        answers: dict[str, list[AnswerView]] = {
            lane: [self.answer(turn_id) for turn_id in asked.turns[lane]] for lane in shown
        }
        positions = {lane: state.position_in(lane, asked.id) for lane in state.heads}
        return {
            **self._question(state, asked.id, asked.user),
            "chosen": {lane: one.repeat for lane, one in positions.items() if one and lane in shown},
            "copied": {
                lane: state.lane(state.positions[one.origin].lane).label
                for lane, one in positions.items()
                if one is not None and lane not in shown
            },
            "only": None if asked.to_all else list(shown),
            "answers": answers,
            "timings": self.timings([asked]),
            "given": _attempts(asked, {lane: lane for lane in shown}),
            "picked": self._picked(state, asked),
            "votes": self._votes(state, asked.id, voter),
            "mismatches": [self._unlike(state, one) for one in self._session.mismatches(asked.id)],
        }

    def _unlike(self, state: SessionState, found: Mismatch) -> str:
        """Return which lanes were not sent what they should have been, and in what."""
        reasons = map(self.words.translated, found.reason.split("; "))
        lanes = [state.lane(lane).label for lane in found.lanes]
        named = self.words("both.and", a=lanes[0], b=lanes[1]) if len(lanes) == 2 else lanes[0]
        return f"{named}: {'; '.join(reasons)}"

    def _question(self, state: SessionState, round_id: RoundId, user: Message) -> QuestionView:
        versions = [one.id for one in state.versions(round_id)]
        at = versions.index(round_id)
        beside = [versions[at - 1] if at else None, versions[at + 1] if at + 1 < len(versions) else None]
        # Where no lane would go on from another message than now, there is nothing to go to.
        previous, following = (one if one and state.lanes_elsewhere(one) else None for one in beside)
        return {
            "id": round_id,
            "message": versions[0],
            "version": at + 1,
            "versions": len(versions),
            "previous": previous,
            "next": following,
            "text": user.text,
            "text_html": as_typed(user.text),
            "files": [part.name or part.media_type for part in user.parts if isinstance(part, FilePart)],
        }

    def _picked(self, state: SessionState, asked: Round) -> LaneId | None:
        """Return the lane whose answer all go on from; None while there is none."""
        if state.mode != "shared":
            return None
        positions = [state.position_in(lane, asked.id) for lane in state.heads]
        origins = {one.origin for one in positions if one is not None}
        if len(origins) != 1 or len(positions) < 2 or any(one is None for one in positions):
            return None
        return state.positions[origins.pop()].lane

    def answer(self, turn_id: TurnId) -> AnswerView:
        """Return one answer; its text is left to be painted while it runs."""
        turn = self._session.turn(turn_id)
        error = turn.error and self.words.translated(turn.error)
        shown: AnswerView = {"turn": turn_id, "status": turn.status, "html": "", "error": error}
        shown["notices"] = [
            {"line": note.line, "more": list(note.more)} for note in notes(turn.notices, self.words)
        ]
        if turn.status == "running":
            return shown
        if turn_id not in self._html:
            self._html[turn_id] = self.markdown.render(text_of(turn))
        shown["html"] = self._html[turn_id]
        shown["thoughts"] = [
            {
                "title": self.words("answer.thought"),
                "html": self.markdown.render(part.text),
                "took": None,
            }
            for part in turn.answer
            if isinstance(part, ReasoningPart)
        ]
        if len(shown["thoughts"]) == 1:
            shown["thoughts"][0]["took"] = _took(turn.timing.reasoning, self.words)
        shown["tools"] = _tools(turn, self.words)
        if turn.citations:
            title = self.words("answer.sources", count=len(turn.citations))
            html = self.markdown.render(sources(turn.citations))
            shown["sources"] = {"title": title, "html": html, "took": None}
        shown["figures"] = self._figures(turn_id, turn)
        if self._session.state.opened.blind:
            shown["names"] = self._names_a_lane(turn_id, text_of(turn))
        return shown

    def _names_a_lane(self, turn_id: TurnId, text: str) -> bool:
        """Return whether an answer of a blind session names any of its lanes, or introduces itself.

        Any of them, not its own alone: else "say the word X" would make this flag tell which lane is X.
        """
        known = turn_id, len(text)  # of a hidden answer a part may be seen, and all of it later
        if known not in self._names:
            state, turn = self._session.state, self._session.turn
            names = {
                name
                for lane, ids in state.round(state.positions[turn_id].round).turns.items()
                for one in ids
                for name in names_of(state.lane(lane), turn(one), self._backends)
            }
            self._names[known] = names_itself(text, names)
        return self._names[known]

    def _figures(self, turn_id: TurnId, turn: StoredTurn) -> FiguresView:
        usage = turn.finish.usage if turn.finish else None
        position = self._session.state.positions[turn_id]
        receipt = self._session.receipts(position.round).get(turn_id)
        model = self._lane(self._session.state.lane(position.lane)).get("model")
        rest = []
        if turn.finish:
            rest.append(self.words("compare.finish", reason=self.words.translated(turn.finish.reason)))
        if turn.finish and turn.finish.model not in (None, model):
            rest.append(self.words("compare.other-model", model=turn.finish.model))
        if turn.asked_as:
            rest.append(self.words("compare.as-person", person=turn.asked_as))
        return {
            "line": figures(turn, *rest, label="", stall=True, words=self.words),
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

    def timings(self, rounds: Sequence[Round]) -> list[TimingView]:
        """Return what every lane took in these rounds, for a chart; None where it has no answer."""
        found: list[TimingView] = []
        state = self._session.state
        for lane in state.lanes:
            ids = [one for asked in rounds if lane.id in state.shown(asked) for one in asked.turns[lane.id]]
            ended = [turn for turn in map(self._session.turn, ids) if turn.status != "running"]
            if ids:
                took = Measured.of(ended, self.words)
                found.append(
                    {
                        "name": lane.label,
                        "first_token": took.first_token,
                        "total": took.total,
                        "said": took.said,
                        "spoken": took.spoken,
                    }
                )
        return found

    def _votes(self, state: SessionState, round_id: RoundId, voter: str) -> dict[str, VoteView]:
        shown: dict[str, VoteView] = {}
        for vote in state.votes:
            if vote.round == round_id and vote.voter == voter and state.is_current(vote):
                changes = shown[vote.criterion]["changes"] + 1 if vote.criterion in shown else 0
                shown[vote.criterion] = {
                    "best": state.letters.get(LaneId(vote.best), vote.best) if state.hidden else vote.best,
                    "reasons": list(vote.reasons),
                    "note": vote.note,
                    # Told with the names: until then it could tell that an answer's own name is in it.
                    "marked": [] if state.hidden else list(vote.marked),
                    "changes": changes,
                }
        return shown

    # -- hidden

    def _hidden(self, state: SessionState, voter: str) -> _Parts:
        blind = blind_view(state, self._session.turn)
        lanes: list[LaneView] = [{"id": letter, "name": letter} for letter in blind.letters]
        return lanes, [self._hidden_round(state, asked, voter) for asked in blind.rounds], []

    def _hidden_round(self, state: SessionState, asked: BlindRound, voter: str) -> RoundView:
        answers: dict[str, list[AnswerView]] = {}
        letters = {lane: state.letters[lane] for lane in state.heads}
        for answer in asked.answers:
            shown = self._hidden_answer(answer)
            if not answer.waiting:
                turn_id = turn_of(state, asked.id, answer.letter, answer.repeat)
                shown["names"] = self._names_a_lane(turn_id, answer.text)
            answers.setdefault(answer.letter, []).append(shown)
        told = state.opened.reveal == "as they come"
        return {
            **self._question(state, asked.id, asked.user),
            "only": None,
            "answers": answers,
            "chosen": {},
            "copied": {},
            "timings": [],
            "given": _attempts(state.round(asked.id), letters if told else {}),
            "picked": asked.picked,
            "votes": self._votes(state, asked.id, voter),
            "mismatches": [self.words("compare.unlike")] if asked.unlike else [],
        }

    def _hidden_answer(self, answer: BlindAnswer) -> AnswerView:
        if answer.waiting:
            return {"status": "waiting", "html": ""}  # what may be seen of it is painted
        if answer.empty:
            return {"status": "finished", "html": "", "error": self.words("compare.no-answer")}
        return {"status": "finished", "html": self.markdown.render(answer.text)}


def _attempts(asked: Round, names: Mapping[LaneId, str]) -> dict[str, list[int]]:
    """Return, of the lanes with more answers than the one shown, which that is, from 1, and of how many."""
    return {
        names[lane]: [attempts.index(asked.turns[lane]) + 1, len(attempts)]
        for lane, attempts in asked.attempts.items()
        if lane in names and len(attempts) > 1
    }


def text_of(turn: StoredTurn) -> str:
    """Return the visible text of an answer."""
    return "".join(part.text for part in turn.answer if isinstance(part, TextPart))


def _took(value: float | None, words: Words) -> str | None:
    return None if value is None else seconds(value, words)


def _tools(turn: StoredTurn, words: Words) -> list[ToolView]:
    results = {part.id: part for part in turn.answer if isinstance(part, ToolResult)}
    return [
        {
            "name": part.name,
            "arguments": part.arguments,
            "result": results[part.id].content if part.id in results else None,
            "took": _took(turn.tool_seconds.get(part.id), words),
        }
        for part in turn.answer
        if isinstance(part, ToolCall)
    ]
