"""The shapes of what the comparison page is told, as its scripts know them.

A TypedDict is a plain dictionary: mypy checks it where it is made, `tsc` where it is read, and nothing is
validated while an answer streams. `python -m chatlab.web.typescript` writes these shapes for the scripts.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from chatlab.web.compare.schemas import Mode

Reveal = Literal["as they come", "together", "paced"]


class PageOptions(TypedDict):
    """The options of every page. No backend is in it: a page that opens a blind session is told of none."""

    title: str
    storage: bool
    sharing: bool
    examples: list[str]


class ParameterView(TypedDict):
    """A parameter that a backend takes. minimum, maximum: None is no limit."""

    name: str
    type: str
    description: str
    minimum: float | None
    maximum: float | None
    choices: list[str]


class BackendView(TypedDict):
    """A backend to choose. ready: why it is not, or None. discovers: whether one of its server's models may
    be chosen, as `name:model`."""

    name: str
    label: str
    ready: str | None
    discovers: bool
    parameters: list[ParameterView]


class LaneSpec(TypedDict, total=False):
    """A lane as the configuration or a form describes it."""

    backend: str
    label: str | None
    parameters: dict[str, Any]
    system: str | None


class Defaults(TypedDict):
    """The values with which the form for a new session begins."""

    lanes: list[LaneSpec]
    mode: Mode
    blind: bool
    reveal: Reveal
    repeats: int
    criteria: list[str]
    reasons: list[str]


class BackendChoices(TypedDict):
    """The backends that the forms for a new session and for another lane offer."""

    backends: list[BackendView]
    defaults: Defaults


class SessionListed(TypedDict):
    """A session of the list. updated: when, by ISO 8601."""

    id: str
    title: str
    updated: str


class SessionList(TypedDict):
    """One page of the list. next: what the one after it is asked for by, or None."""

    sessions: list[SessionListed]
    next: str | None


class LaneView(TypedDict):
    """A lane. While names are hidden it has a letter for an id and a name, and nothing else. answers: its
    backend by what people read of it. asked_as: as whom it was asked last."""

    id: str
    name: str
    label: NotRequired[str]
    backend: NotRequired[str]
    answers: NotRequired[str]
    parameters: NotRequired[dict[str, Any]]
    system: NotRequired[str | None]
    asked_as: NotRequired[str | None]
    ready: NotRequired[str | None]
    model: NotRequired[str | None]


class FoldedView(TypedDict):
    """A model's reasoning, or the sources: folded beside an answer. took: how long, in words."""

    title: str
    html: str
    took: str | None


class NoteView(TypedDict):
    """A note beside an answer. more: the sentences that its line leaves out."""

    line: str
    more: list[str]


class ToolView(TypedDict):
    """A call of a tool. result: None until there is one. took: how long, in words."""

    name: str
    arguments: str
    result: str | None
    took: str | None


class FiguresView(TypedDict):
    """The figures of an answer. line: all of it in words. Times in seconds; None is unknown."""

    line: str
    first_token: float | None
    total: float | None
    tokens_per_second: float | None
    longest_stall: float | None
    input: int | None
    output: int | None
    cost: float | None
    finish: str | None
    model: str | None
    receipt: str | None


class AnswerView(TypedDict):
    """One answer; while it runs or waits its text is painted instead.

    names: whether it names a lane of its blind session.
    """

    status: str
    html: str
    turn: NotRequired[str]
    error: NotRequired[str | None]
    notices: NotRequired[list[NoteView]]
    thoughts: NotRequired[list[FoldedView]]
    tools: NotRequired[list[ToolView]]
    sources: NotRequired[FoldedView]
    figures: NotRequired[FiguresView]
    names: NotRequired[bool]


class VoteView(TypedDict):
    """This person's vote. best: a lane, "tie" or "bad". changes: how often it was changed."""

    best: str
    reasons: list[str]
    note: str
    marked: list[str]
    changes: int


class TimingView(TypedDict):
    """The times of a lane, for a chart: medians in seconds, and the same in words."""

    name: str
    first_token: float | None
    total: float | None
    said: str
    spoken: str


class QuestionView(TypedDict):
    """The message of a round, and where it stands among its versions. message: the id of the first of them.

    previous, next: the version before or after it, as far as there is one to go to.
    """

    id: str
    message: str
    version: int
    versions: int
    previous: str | None
    next: str | None
    text: str
    text_html: str
    files: list[str]


class RoundView(QuestionView):
    """A message and what each lane answered.

    only: the lanes that were asked, if not all were. given: of a lane with more answers than are shown, which
    is shown, from 1, and of how many. chosen: which repeat a lane goes on from. copied: by lane that was not
    asked, whose answer it goes on from. picked: the lane whose answer all go on from.
    """

    only: list[str] | None
    answers: dict[str, list[AnswerView]]
    timings: list[TimingView]
    given: dict[str, list[int]]
    picked: str | None
    votes: dict[str, VoteView]
    mismatches: list[str]
    chosen: dict[str, int]
    copied: dict[str, str]


class SessionView(TypedDict):
    """A whole session as one person sees it. unsaved: why something that was answered is not saved."""

    id: str
    title: str
    mode: Mode
    blind: bool
    hidden: bool
    reveal: Reveal
    criteria: list[str]
    reasons: list[str]
    running: bool
    seq: int
    unsaved: list[str]
    lanes: list[LaneView]
    rounds: list[RoundView]
    timings: list[TimingView]


class PaintEvent(TypedDict):
    """The new part of a running answer. add: HTML that stays. tail: HTML of the block that grows."""

    round: str
    lane: str
    repeat: int
    add: NotRequired[str]
    tail: NotRequired[str]
    doing: NotRequired[str]


class AnswerEvent(TypedDict):
    """An answer that has ended. timings, overall: of its round, and of all rounds."""

    round: str
    lane: str
    repeat: int
    running: bool
    answer: AnswerView
    timings: list[TimingView]
    overall: list[TimingView]


class Begun(TypedDict):
    """A session that was begun."""

    id: str


class ChatToCompare(TypedDict):
    """A chat that a session is to begin with. lane: as what its last answer was asked."""

    title: str
    lane: LaneSpec


class RoundAsked(TypedDict):
    """A round that was asked."""

    round: str


class UndoneView(TypedDict):
    """The message that was taken back."""

    text: str


class LaneMade(TypedDict):
    """A lane that was added or changed."""

    lane: str


class Continued(TypedDict):
    """The conversation of the chat page that goes on from a lane."""

    conversation: str


class Uploaded(TypedDict):
    """An attachment. not_for: the lanes that are asked without it, as a sentence, or None."""

    id: str
    name: str | None
    media_type: str
    not_for: str | None


class SentReceipt(TypedDict):
    """The receipt of one turn of a lane."""

    lane: str
    repeat: int
    receipt: dict[str, Any]


class SentDifferenceView(TypedDict):
    """The differences between two lanes' requests, a line each; none if they are the same."""

    a: str
    b: str
    lines: list[str]


class Receipts(TypedDict):
    """The receipts of a round. mismatches: what differs though it should not, a sentence each."""

    receipts: list[SentReceipt]
    differences: list[SentDifferenceView]
    mismatches: list[str]


SpanKind = Literal["same", "only_a", "only_b"]


class SpanView(TypedDict):
    """A piece of two texts."""

    kind: SpanKind
    text: str


class DifferenceView(TypedDict):
    """The difference of two answers. agreement: the share of words that agree, from 0 to 1."""

    agreement: float
    spans: list[SpanView]


class SpreadView(TypedDict):
    """The spread of each lane's repeats, a sentence a lane and a sentence a difference."""

    measure: str
    lanes: list[str]
    differences: list[str]


class AgreementView(TypedDict):
    """agreement: by two lanes, "a|b", the share of words that agree, from 0 to 1."""

    agreement: dict[str, float]
    spread: list[SpreadView]


class RankedRow(TypedDict):
    """One lane of a ranking. score, low, high: points on Elo's scale; low and high of a 95 % interval."""

    rank: str
    lane: str
    score: float
    low: float | None
    high: float | None
    count: str


class RankedCriterion(TypedDict):
    """The ranking by one criterion. notes: what to know of it, a sentence each."""

    criterion: str
    rows: list[RankedRow]
    notes: list[str]


class RankingView(TypedDict):
    """The rankings by the votes, one for each criterion."""

    sentence: str | None
    criteria: list[RankedCriterion]
