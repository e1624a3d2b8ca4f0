"""The values of a comparison: lanes, receipts, results, checks, votes and verdicts.

A session on the page, a run of many prompts and a report all speak these values; `results.jsonl` has one
`Result` a line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from chatlab.ids import LaneId, RoundId, TurnId
from chatlab.messages import Message
from chatlab.store import StoredTurn

Mode: TypeAlias = Literal["own", "shared"]
"""own: each lane continues with its own answers. shared: all continue from the answer that was picked."""

Order: TypeAlias = Literal["parallel", "interleaved", "sequential"]
"""parallel: the lanes of an item start together. interleaved: one call at a time or a few, in random order
over lanes and items. sequential: lane after lane."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One column of a comparison: a backend with its own parameters and system prompt.

    id: opaque, drawn at random, so that it tells nothing of the backend. backend: a configured name or an
    address. label: what people read once they may. The same backend twice with different settings is normal.
    """

    id: LaneId
    backend: str
    label: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Exactly what a lane was sent for one turn. Never a secret.

    messages: every message, the system prompt first if one was sent, as the backend was given them.
    parameters: those sent. model: what was asked for; model_answered: what the upstream says answered.
    endpoint: the base URL or workspace host. identity: as whom, a person or "the service"; None is "nobody
    signed in". dropped: the notices about what was left out. sha256: of the canonical JSON (RFC 8785 in
    spirit: sorted keys, no spaces, UTF-8) of `messages` and `parameters` alone, so that two lanes which
    should be sent the same have the same one. wire_sha256: of the body of the HTTP request, where chatlab's
    own client sent it. arrivals: when the events of the answer arrived, as `chatlab.recording.arrivals`
    writes it; here because it is written once, with the receipt, and is no part of what was sent.
    """

    backend: str
    kind: str
    messages: tuple[Message, ...]
    parameters: Mapping[str, Any]
    sha256: str
    model: str | None = None
    model_answered: str | None = None
    endpoint: str | None = None
    identity: str | None = None
    dropped: tuple[str, ...] = ()
    wire_sha256: str | None = None
    arrivals: str | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check of an answer, made without a model. score: 0 to 1."""

    name: str
    passed: bool
    score: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One answer of one lane to one item.

    item: the prompt's id in a run of many, the round's id in a session. step: which user turn of an item of
    several, from 0. repeat: which of the repeats, from 0. turn: the answer itself with its figures.
    receipt: what it was sent; None only for a turn that failed before it was prepared.
    """

    item: str
    step: int
    repeat: int
    lane: LaneId
    turn: StoredTurn
    receipt: Receipt | None
    checks: tuple[Check, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vote:
    """A person's vote on a round, or on one item and repeat: for one criterion.

    best: the lane's id, "tie" or "bad" (all bad). shown: the lanes' ids from left to right as the voter saw
    them. blind: whether the names were hidden when it was given. marked: why it should be taken with care
    (an answer named its own model, say). answers: the turns it was given on; older votes have none. A later
    vote of the same voter for the same round and criterion replaces it; both stay in the log.
    """

    round: RoundId
    criterion: str
    best: str
    shown: tuple[LaneId, ...]
    voter: str
    at: datetime
    blind: bool
    reasons: tuple[str, ...] = ()
    note: str = ""
    marked: tuple[str, ...] = ()
    answers: tuple[TurnId, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's comparison of two answers, asked in both orders.

    winner: a lane's id, or "tie"; "flip" if the two orders disagree, which counts as no preference; "unclear"
    if the judge failed or its reply cannot be read, which counts as no verdict: the reasons say why.
    preferred: which answer each reply preferred, lane_a's shown first and then lane_b's: "first", "second" or
    "tie"; "" if it cannot be read, or the verdict is from before this was stored.
    """

    item: str
    step: int
    repeat: int
    lane_a: LaneId
    lane_b: LaneId
    winner: str
    judge: str
    criterion: str
    reasons: tuple[str, str] = ("", "")
    cost: float | None = None
    preferred: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything of one comparison, for a report.

    results, verdicts: of a run they are read from the disk, one at a time, whenever they are looked at.
    mode: None for a run of many prompts, in which every item begins anew. versions: of chatlab, Python and
    the libraries that matter. redacted: what was taken out of it and where ("email in prompts"), and how
    often. session: the id of the session on the page it is of, whose lanes had fixed columns; "" of a run.
    mismatches: lanes that were not sent what they should have been. notes: what a reader must know, such as
    what of the session is not in it; sentences, both of them.
    """

    title: str
    created: datetime
    mode: Mode | None
    order: Order
    blind: bool
    lanes: tuple[Lane, ...]
    results: Sequence[Result]
    votes: tuple[Vote, ...] = ()
    verdicts: Sequence[Verdict] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    redacted: Mapping[str, int] = field(default_factory=dict)
    repeats: int = 1
    session: str = ""
    mismatches: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


UNCLEAR = "unclear"
"""The winner of a verdict for which the judge failed, or wrote what cannot be read as a preference."""
