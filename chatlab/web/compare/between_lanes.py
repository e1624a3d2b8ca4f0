"""The lanes of a round beside each other, as a page is told: requests, differences, agreement, ranking."""

from __future__ import annotations

import asyncio
from itertools import combinations

from starlette.requests import Request

from chatlab.compare.model_json import receipt_to_json
from chatlab.compare.session.blind import blind_round, turn_of
from chatlab.compare.session.events import SessionError
from chatlab.compare.session.receipt import difference
from chatlab.compare.statistics.text_diff import agreement, word_difference
from chatlab.ids import RoundId
from chatlab.web.compare.open_sessions import PageSession
from chatlab.web.compare.ranking import ranking
from chatlab.web.compare.view import text_of
from chatlab.web.compare.view_model import AgreementView, DifferenceView, RankingView, Receipts, SpanKind

_KINDS: dict[str, SpanKind] = {"same": "same", "removed": "only_a", "added": "only_b"}


async def receipts_of(found: PageSession, _: str, request: Request) -> Receipts:
    """Return what each lane was sent in a round, and in what that differs."""
    found.require_names_told()
    session, words, round_id = found.session, found.view.words, RoundId(request.path_params["round"])
    known = session.receipts(round_id)
    places = {found_id: session.state.positions[found_id] for found_id in known}
    turns = session.state.round(round_id).turns
    first = {lane: known[ids[0]] for lane, ids in turns.items() if ids[0] in known}
    return {
        "receipts": [
            {
                "lane": places[found_id].lane,
                "repeat": places[found_id].repeat,
                "receipt": receipt_to_json(receipt),
            }
            for found_id, receipt in known.items()
        ],
        "differences": [
            {
                "a": a,
                "b": b,
                "lines": [words.translated(str(one)) for one in difference(first[a], first[b])],
            }
            for a, b in combinations(first, 2)
        ],
        "mismatches": [words.translated(one.reason) for one in session.mismatches(round_id)],
    }


async def difference_of(found: PageSession, _: str, request: Request) -> DifferenceView:
    """Return in which words two answers differ. Raise SessionError."""
    query, round_id = request.query_params, RoundId(request.path_params["round"])
    repeat = int(query.get("repeat", "0")) if query.get("repeat", "0").isdecimal() else 0
    session = found.session
    if session.state.hidden and session.running():
        raise SessionError("refusal.wait-for-all")
    a, b = (text_shown(found, round_id, query.get(side, ""), repeat) for side in ("a", "b"))
    spans = await asyncio.to_thread(word_difference, a, b)
    return {
        "agreement": await asyncio.to_thread(agreement, a, b),
        "spans": [{"kind": _KINDS[span.kind], "text": span.text} for span in spans],
    }


async def agreement_of(found: PageSession, _: str, request: Request) -> AgreementView:
    """Return how much the answers of a round have in common."""
    state = found.session.state
    asked = state.round(RoundId(request.path_params["round"]))
    if state.hidden and found.session.running():
        return {"agreement": {}, "spread": []}
    return await asyncio.to_thread(found.agreement.of, asked, state)


async def ranking_of(found: PageSession, _: str, __: Request) -> RankingView:
    """Return the ranking of the lanes by their votes."""
    found.require_names_told()
    return await asyncio.to_thread(ranking, found.session.state, found.session.turn, found.view.words)


def text_shown(found: PageSession, round_id: RoundId, lane: str, repeat: int) -> str:
    """Return the text of an answer as far as the page may show it. Raises SessionError."""
    session, state = found.session, found.session.state
    turn_id = turn_of(state, round_id, lane, repeat)
    if not state.hidden:
        return text_of(session.turn(turn_id))
    answers = blind_round(state, state.round(round_id), session.turn).answers
    return next(one.text for one in answers if (one.letter, one.repeat) == (lane, repeat))
