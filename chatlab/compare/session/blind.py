"""Blind comparison: which letter hides which lane, and what may be known of a session until the letters fall.

The letters are drawn once a session, not anew for each message: in own mode each lane answers from its own
history, so a person who reads it knows a lane again whatever it is called, and could not follow it if its
letter changed. Against the effect of position the audit of the ranking stands, over many sessions.

What is shown is made from nothing (`blind_view`), not by leaving things out of what is there: letters, text,
and whether all have answered. Everything else tells lanes apart or may: names, prices, times, tokens,
notices, errors, tools, thoughts, ids.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatlab.compare.model import Lane, Vote
from chatlab.compare.session.events import SessionError
from chatlab.compare.session.state import Round, SessionState
from chatlab.config.registry import Entry
from chatlab.errors import ChatlabError
from chatlab.ids import LaneId, RoundId, TurnId
from chatlab.messages import Message, TextPart
from chatlab.store import StoredTurn
from chatlab.words import ENGLISH

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Reveal: TypeAlias = Literal["as they come", "together", "paced"]


_CUT: tuple[str, ...] = ("running", "stopped", "interrupted")
"""How turns end whose length says how fast they were."""


def draw(lanes: Iterable[LaneId]) -> dict[LaneId, str]:
    """Draw a letter for each lane, every order as likely as any other."""
    order = list(lanes)
    secrets.SystemRandom().shuffle(order)
    return dict(zip(order, _LETTERS, strict=False))


def lane_of(state: SessionState, name: str) -> LaneId:
    """Return the id of the lane that a browser means: by its letter while names are hidden, else by its id.

    Raises SessionError, for a hidden lane's id too: nobody can know one.
    """
    if state.hidden:
        for lane_id, letter in state.letters.items():
            if letter == name and lane_id in state.heads:
                return lane_id
    elif name in state.heads:
        return LaneId(name)
    raise SessionError("refusal.no-lane")


def turn_of(state: SessionState, round_id: RoundId, name: str, repeat: int = 0) -> TurnId:
    """Return the id of the turn that a browser means: a lane's answer to a round; named as for `lane_of`.

    Raises SessionError.
    """
    turns = state.round(round_id).turns.get(lane_of(state, name), ())
    if not 0 <= repeat < len(turns):
        raise SessionError("refusal.no-answer")
    return turns[repeat]


# -- what may be known


@dataclass(frozen=True, slots=True)
class BlindAnswer:
    """An answer under its lane's letter. text: as far as it may be seen yet. waiting: not all have ended.
    empty: the lane gave no answer, for whatever reason."""

    letter: str
    repeat: int
    text: str
    waiting: bool
    empty: bool


@dataclass(frozen=True, slots=True)
class BlindRound:
    """A message and its answers by letter. unlike: the lanes were not sent what they should have been.
    picked: the letter of the answer all go on from, in shared mode once there is one."""

    id: RoundId
    user: Message
    answers: tuple[BlindAnswer, ...]
    picked: str | None
    unlike: bool


@dataclass(frozen=True, slots=True)
class BlindVote:
    """A vote by letters; `best` is a letter, "tie" or "bad"."""

    round: RoundId
    criterion: str
    best: str
    reasons: tuple[str, ...]
    note: str
    marked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlindView:
    """All that may be known of a session while names are hidden."""

    mode: str
    letters: tuple[str, ...]
    rounds: tuple[BlindRound, ...]
    votes: tuple[BlindVote, ...]


def blind_view(state: SessionState, turn: Callable[[TurnId], StoredTurn]) -> BlindView:
    """Return what a browser may be given of a hidden session; `turn` is `ComparisonSession.turn`."""
    present = _present(state)
    return BlindView(
        state.mode,
        tuple(sorted(present.values())),
        tuple(blind_round(state, asked, turn) for asked in state.visible),
        tuple(_vote(state, vote) for vote in state.current_votes),
    )


def blind_round(state: SessionState, asked: Round, turn: Callable[[TurnId], StoredTurn]) -> BlindRound:
    """Return what a browser may be given of one round, which may still be running."""
    letters = _present(state)
    lanes = sorted((lane_id for lane_id in asked.turns if lane_id in letters), key=letters.__getitem__)
    answers = [
        (letters[lane_id], repeat, turn(turn_id))
        for lane_id in lanes
        for repeat, turn_id in enumerate(asked.turns[lane_id])
    ]
    as_they_come = state.opened.reveal == "as they come"
    cuts = {answer.id: _cut(state, answer.id, turn) for _, _, answer in answers}
    running = any(cut.running for cut in cuts.values())
    shown = []
    for letter, repeat, answer in answers:
        cut = cuts[answer.id]
        text = _text(answer) if as_they_come else cut.shown(answer)
        waiting = answer.status == "running" if as_they_come else running
        shown.append(BlindAnswer(letter, repeat, text, waiting, not text and not running))
    picked = _picked(state, asked, letters)
    return BlindRound(asked.id, asked.user, tuple(shown), picked, bool(state.checked.get(asked.id)))


@dataclass(frozen=True, slots=True)
class _Cut:
    """The length up to which answers that were asked together may be seen. length: in characters; None is
    all. failed: whether anything may be seen of those that failed."""

    running: bool
    length: int | None
    failed: bool

    def shown(self, answer: StoredTurn) -> str:
        """Return the text of one of them, as far as it may be seen."""
        return _text(answer)[: self.length] if self.failed or answer.status != "failed" else ""


def _cut(state: SessionState, turn_id: TurnId, turn: Callable[[TurnId], StoredTurn]) -> _Cut:
    """Return the cut of an answer and all that were asked with it, those of lanes since removed included.

    How far each had come when all were stopped, or the server ended, tells their speed too; if the cut were
    another once a lane is removed, it would tell which one was slow. One that failed holds up the others as
    one that stalls does, and beside others that finished nothing of it is seen: how far it had come would
    tell it apart from one that never began, and be no measure for the others.
    """
    together = [turn(one) for one in state.asked_with(turn_id)]
    running = any(one.status == "running" for one in together)
    if running and state.opened.reveal == "together":
        return _Cut(True, 0, True)
    # An upstream that dies under all lanes cuts them as a stop does.
    failed = running or not any(one.status == "finished" for one in together)
    cut = (*_CUT, "failed") if failed else _CUT
    length = min((len(_text(one)) for one in together if one.status in cut), default=None)
    return _Cut(running, length, failed)


def _present(state: SessionState) -> dict[LaneId, str]:
    return {lane.id: state.letters[lane.id] for lane in state.lanes if lane.id in state.letters}


def _picked(state: SessionState, asked: Round, letters: Mapping[LaneId, str]) -> str | None:
    """Return the letter of the answer that all lanes go on from; None while there is none."""
    if state.mode != "shared" or len(letters) < 2:
        return None
    origins = {found.origin for lane_id in letters if (found := state.position_in(lane_id, asked.id))}
    if len(origins) != 1:
        return None
    return letters.get(state.positions[origins.pop()].lane)


def _text(turn: StoredTurn) -> str:
    return "".join(part.text for part in turn.answer if isinstance(part, TextPart))


def _vote(state: SessionState, vote: Vote) -> BlindVote:
    best = state.letters.get(LaneId(vote.best), vote.best)
    return BlindVote(vote.round, vote.criterion, best, vote.reasons, vote.note, vote.marked)


# -- answers that tell who they are

_FAMILIES: tuple[tuple[str, ...], ...] = (
    ("gpt", "openai", "chatgpt", "codex"),
    ("claude", "anthropic"),
    ("llama", "meta ai", "meta platforms", "facebook"),
    ("mistral", "mixtral", "ministral", "magistral", "codestral"),
    ("gemini", "gemma", "google", "deepmind"),
    ("qwen", "qwq", "alibaba", "tongyi"),
    ("deepseek",),
    ("dbrx", "databricks", "mosaicml"),
    ("grok", "xai"),
    ("command-r", "command-a", "cohere", "aya"),
    ("phi-3", "phi-4", "microsoft", "copilot"),
    ("nova", "titan", "amazon", "bedrock"),
    ("kimi", "moonshot"),
    ("glm", "chatglm", "zhipu"),
    ("yi-", "01.ai"),
    ("granite", "ibm", "watsonx"),
    ("nemotron", "nvidia"),
    ("falcon", "tii"),
    ("olmo", "tulu", "allen institute"),
    ("solar", "upstage"),
    ("jamba", "ai21"),
    ("hunyuan", "tencent"),
    ("ernie", "baidu"),
    ("minimax",),
    ("smollm", "zephyr", "hugging face", "huggingface"),
    ("sonar", "perplexity"),
)
_INTRODUCTION = re.compile(
    r"\b(?:i am|i['’]m|my name is|this is|call me|as an? (?:ai|language|large)"
    r"|(?:made|built|created|trained|developed|designed|provided) by)\b",
    re.I,
)
_NEAR = 80  # characters of the same sentence before a name in which an introduction is looked for


def _word(word: str) -> str:
    """Return a pattern of the whole word; version numbers may be joined to it ("Llama3", "gpt-4o")."""
    return rf"(?<![^\W_]){re.escape(word)}(?![^\W\d_])"


_ANYONE = re.compile("|".join(_word(word) for family in _FAMILIES for word in family), re.I)


def names_itself(text: str, names: Iterable[str]) -> bool:
    """Return whether an answer tells who gave it: it names the lane, its model or its vendor, or introduces
    itself as any well-known model, be it truly or not.

    names: what the lane is called: its label, backend and model. A vendor's or a family's name counts if one
    of `names` is of that family. Whole words only, and no name of under three characters.
    """
    for found in _ANYONE.finditer(text):
        before = re.split(r"[.!?\n]", text[max(0, found.start() - _NEAR) : found.start()])[-1]
        if _INTRODUCTION.search(before):
            return True
    words = {name.strip() for name in names if len(name.strip()) >= 3}
    for family in _FAMILIES:
        if any(re.search(_word(word), name, re.I) for word in family for name in words):
            words = words | set(family)
    return any(re.search(_word(word), text, re.I) for word in words)


def families(names: Iterable[str]) -> frozenset[str]:
    """Return the families of models that these names speak of, each by its first word ("claude")."""
    known = [name for name in names if len(name.strip()) >= 3]
    return frozenset(
        family[0]
        for family in _FAMILIES
        if any(re.search(_word(word), name, re.I) for word in family for name in known)
    )


def marks(
    asked: Round,
    state: SessionState,
    turns: Mapping[TurnId, StoredTurn],
    backends: Mapping[str, Entry],
) -> tuple[str, ...]:
    """Return why a blind vote on a round should be taken with care: by letter, the answers that tell."""
    found = []
    for lane_id, ids in asked.turns.items():
        answers = [turns[turn_id] for turn_id in ids]
        names = {name for turn in answers for name in names_of(state.lane(lane_id), turn, backends)}
        if any(names_itself(_text(turn), names) for turn in answers):
            found.append(ENGLISH("said.names-model", lane=state.letters.get(lane_id, "?")))
    return tuple(sorted(found))


def names_of(lane: Lane, turn: StoredTurn, backends: Mapping[str, Entry]) -> frozenset[str]:
    """Return the names of the lane that gave an answer: its label, its backend, its model."""
    answered = turn.finish.model if turn.finish else None
    names = (lane.label, lane.backend, turn.label, turn.backend, answered, _model(backends, turn.backend))
    return frozenset(name for name in names if name)


def _model(backends: Mapping[str, Entry], name: str) -> str:
    try:
        entry = backends[name]
    except ChatlabError:
        return ""
    return entry.cls.target(entry.config.options).model or ""
