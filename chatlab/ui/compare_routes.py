"""What the comparison page asks for. Everything of a session that it is told is made by `compare_view`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from chatlab.compare.blind import lane_of
from chatlab.compare.difference import agreement, word_difference
from chatlab.compare.receipt import difference, receipt_to_json
from chatlab.compare.session import Session
from chatlab.compare.session_entries import Opened, SessionError
from chatlab.compare.session_log import MOST_LANES
from chatlab.config import CompareLane, Config
from chatlab.lab import Lab
from chatlab.messages import Message, TextPart
from chatlab.store import StoredComparison
from chatlab.ui.compare_ranking import ranking
from chatlab.ui.compare_sessions import Open, OpenSessions, events
from chatlab.ui.compare_uploads import Uploads
from chatlab.ui.compare_view import text_of
from chatlab.ui.own_answers import Body, answering, body_of

InSession: TypeAlias = Callable[[Open, str, Request], Awaitable[Any]]
_KINDS = {"same": "same", "removed": "only_a", "added": "only_b"}


class _Begin(Body):
    lanes: list[CompareLane] = Field(min_length=2, max_length=MOST_LANES)
    mode: Literal["own", "shared"] = "own"
    blind: bool = False
    reveal: Literal["as they come", "together", "paced"] = "together"
    repeats: int = Field(1, ge=1, le=20)


class _Ask(Body):
    text: str = ""
    files: list[str] = Field(default_factory=list)
    lanes: list[str] | None = None
    repeats: int | None = Field(None, ge=1, le=20)


class _Edit(Body):
    round: str
    text: str
    lanes: list[str] | None = None


class _Retry(Body):
    round: str
    lanes: list[str] | None = None


class _Undo(Body):
    lanes: list[str] | None = None


class _Lane(Body):
    backend: str
    label: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    system: str | None = None
    history_from: str | None = None

    def spec(self) -> CompareLane:
        return CompareLane(
            backend=self.backend, label=self.label, parameters=self.parameters, system=self.system
        )


class _Which(Body):
    lane: str | None = None


class _Order(Body):
    lanes: list[str]


class _Mode(Body):
    mode: Literal["own", "shared"]


class _Pick(Body):
    round: str
    lane: str
    repeat: int = 0


class _Vote(Body):
    round: str
    criterion: str
    best: str
    reasons: list[str] = Field([], max_length=50)
    note: str = Field("", max_length=2000)


class _Title(Body):
    title: str = Field(min_length=1, max_length=200)


class _Nothing(Body):
    pass


class CompareRoutes:
    """The routes of one app, and the sessions that its pages have open."""

    def __init__(self, lab: Lab) -> None:
        assert lab.config is not None
        self._lab = lab
        self._config: Config = lab.config
        self.sessions = OpenSessions(lab)
        self._uploads = Uploads(int(lab.config.ui.max_file_mb * 1_000_000))

    def routes(self) -> list[Route]:
        """All of them, below `/-/compare`."""
        one = "/sessions/{id}"
        lane, round = f"{one}/lanes/{{lane}}", f"{one}/rounds/{{round}}"
        return [
            Route("/options", answering(self._options)),
            Route("/uploads", answering(self._upload), methods=["POST"]),
            Route("/sessions", answering(self._list), methods=["GET"]),
            Route("/sessions", answering(self._begin), methods=["POST"]),
            Route(one, answering(self._delete), methods=["DELETE"]),
            Route(f"{one}/restore", answering(self._restore), methods=["POST"]),
            Route(f"{one}/events", answering(self._events)),
            self._route(one, "GET", self._whole),
            self._route(f"{one}/ask", "POST", self._ask),
            self._route(f"{one}/edit", "POST", self._edit),
            self._route(f"{one}/retry", "POST", self._retry),
            self._route(f"{one}/undo", "POST", self._undo),
            self._route(f"{one}/stop", "POST", self._stop),
            self._route(f"{one}/lanes", "POST", self._add_lane),
            self._route(lane, "PATCH", self._change_lane),
            self._route(lane, "DELETE", self._remove_lane),
            self._route(f"{lane}/rerun", "POST", self._rerun),
            self._route(f"{lane}/chat", "POST", self._chat),
            self._route(f"{one}/order", "POST", self._order),
            self._route(f"{one}/mode", "POST", self._mode),
            self._route(f"{one}/pick", "POST", self._pick),
            self._route(f"{one}/votes", "POST", self._vote),
            self._route(f"{one}/reveal", "POST", self._reveal),
            self._route(f"{one}/title", "POST", self._title),
            self._route(f"{round}/receipts", "GET", self._receipts),
            self._route(f"{round}/difference", "GET", self._difference),
            self._route(f"{one}/ranking", "GET", self._ranking),
        ]

    def _route(self, path: str, method: str, act: InSession) -> Route:
        async def acted(owner: str, request: Request) -> Response:
            found = await self.sessions.get(owner, request.path_params["id"])
            return JSONResponse(await act(found, owner, request) or {})

        return Route(path, answering(acted), methods=[method])

    # -- sessions

    async def _options(self, _: str, __: Request) -> Response:
        compare, ui = self._config.compare, self._config.ui
        backends = []
        for name, entry in self._lab.backends.items():
            capabilities = entry.capabilities
            parameters = [
                {
                    "name": one.name,
                    "type": one.type,
                    "description": one.description,
                    "minimum": one.minimum,
                    "maximum": one.maximum,
                    "choices": list(one.choices),
                }
                for one in capabilities.parameters
            ]
            backends.append(
                {
                    "name": name,
                    "label": entry.label,
                    "ready": entry.not_ready,
                    "parameters": parameters,
                    "files": list(capabilities.files),
                }
            )
        lanes = [CompareLane(backend=lane) if isinstance(lane, str) else lane for lane in compare.lanes]
        defaults = compare.model_dump(mode="json", exclude={"lanes"})
        return JSONResponse(
            {
                "title": ui.title,
                "backends": backends,
                "defaults": {**defaults, "lanes": [lane.model_dump(mode="json") for lane in lanes]},
                "storage": self._config.storage is not None,
                "sharing": self._config.storage is not None and self._config.storage.sharing,
            }
        )

    async def _list(self, owner: str, request: Request) -> Response:
        kept = await self._lab.kept()
        if kept is None:
            return JSONResponse({"sessions": [], "next": None})
        found, following = await kept.store.comparisons(owner, after=request.query_params.get("after"))
        return JSONResponse({"sessions": [_listed(one) for one in found], "next": following})

    async def _begin(self, owner: str, request: Request) -> Response:
        wanted = await body_of(request, _Begin)
        opened = Opened(
            wanted.mode,
            wanted.blind,
            wanted.reveal,
            wanted.repeats,
            self._config.compare.criteria,
            self._config.compare.reasons,
        )
        kept = await self._lab.kept()
        session = await Session.create(
            self._lab.backends,
            wanted.lanes,
            owner=owner,
            opened=opened,
            store=kept.store if kept else None,
            saving=kept.saving if kept else None,
            files=kept.files if kept else None,
        )
        await self.sessions.add(session)
        return JSONResponse({"id": session.id})

    async def _delete(self, owner: str, request: Request) -> Response:
        found = await self.sessions.get(owner, request.path_params["id"])
        await self.sessions.forget(found.session.id)
        kept = await self._lab.kept()
        if kept is not None:
            await kept.store.delete_comparison(owner, found.session.id)
        return JSONResponse({})

    async def _restore(self, owner: str, request: Request) -> Response:
        kept = await self._lab.kept()
        if kept is None:
            raise SessionError("without storage nothing can be brought back")
        await kept.store.restore_comparison(owner, request.path_params["id"])
        return JSONResponse({})

    async def _events(self, owner: str, request: Request) -> Response:
        found = await self.sessions.get(owner, request.path_params["id"])
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(events(found, owner), media_type="text/event-stream", headers=headers)

    async def _whole(self, found: Open, owner: str, _: Request) -> Any:
        return found.view.whole(owner, found.title)

    async def _title(self, found: Open, owner: str, request: Request) -> Any:
        await self._retitle(found, owner, (await body_of(request, _Title)).title)

    async def _retitle(self, found: Open, owner: str, title: str) -> None:
        found.title = " ".join(title.split())[:80]
        kept = await self._lab.kept()
        if kept is not None:
            await kept.store.retitle_comparison(owner, found.session.id, found.title)

    # -- asking

    async def _upload(self, owner: str, request: Request) -> Response:
        name = unquote(request.headers.get("x-filename", "file"))
        id, part = await self._uploads.take(
            owner, name, request.headers.get("content-type"), request.stream()
        )
        return JSONResponse({"id": id, "name": part.name, "media_type": part.media_type})

    async def _ask(self, found: Open, owner: str, request: Request) -> Any:
        wanted = await body_of(request, _Ask)
        files = [self._uploads.part(owner, id) for id in wanted.files]
        text = (TextPart(wanted.text),) if wanted.text.strip() else ()
        message = Message("user", (*files, *text))
        round = await found.session.ask(message, lanes=_lanes(found, wanted.lanes), repeats=wanted.repeats)
        if not found.title:
            await self._retitle(found, owner, wanted.text or "Untitled")
        return {"round": round}

    async def _edit(self, found: Open, _: str, request: Request) -> Any:
        wanted = await body_of(request, _Edit)
        files = await found.session.attached(wanted.round)
        message = Message("user", (*files, TextPart(wanted.text)))
        return {"round": await found.session.edit(wanted.round, message, lanes=_lanes(found, wanted.lanes))}

    async def _retry(self, found: Open, _: str, request: Request) -> Any:
        wanted = await body_of(request, _Retry)
        await found.session.retry(wanted.round, lanes=_lanes(found, wanted.lanes))

    async def _undo(self, found: Open, _: str, request: Request) -> Any:
        wanted = await body_of(request, _Undo)
        return {"text": (await found.session.undo(lanes=_lanes(found, wanted.lanes))).text}

    async def _stop(self, found: Open, _: str, request: Request) -> Any:
        lane = (await body_of(request, _Which)).lane
        await found.session.stop(None if lane is None else lane_of(found.session.state, lane))

    # -- lanes

    async def _add_lane(self, found: Open, _: str, request: Request) -> Any:
        wanted = await body_of(request, _Lane)
        like = None if wanted.history_from is None else lane_of(found.session.state, wanted.history_from)
        return {"lane": (await found.session.add_lane(wanted.spec(), like=like)).id}

    async def _change_lane(self, found: Open, _: str, request: Request) -> Any:
        wanted = await body_of(request, _Lane)
        session = found.session
        id = lane_of(session.state, request.path_params["lane"])
        if wanted.backend == session.state.lane(id).backend:
            return {"lane": (await session.change_lane(wanted.spec(), id)).id}
        keep = wanted.history_from is not None
        return {"lane": (await session.swap(id, wanted.spec(), keep_history=keep)).id}

    async def _remove_lane(self, found: Open, _: str, request: Request) -> Any:
        await found.session.remove_lane(lane_of(found.session.state, request.path_params["lane"]))

    async def _rerun(self, found: Open, _: str, request: Request) -> Any:
        await found.session.rerun(lane_of(found.session.state, request.path_params["lane"]))

    async def _chat(self, found: Open, _: str, request: Request) -> Any:
        lane = lane_of(found.session.state, request.path_params["lane"])
        return {"conversation": await found.session.continue_in_chat(lane)}

    async def _order(self, found: Open, _: str, request: Request) -> Any:
        wanted = await body_of(request, _Order)
        _named(found)
        await found.session.reorder(wanted.lanes)

    async def _mode(self, found: Open, _: str, request: Request) -> Any:
        await found.session.set_mode((await body_of(request, _Mode)).mode)

    # -- judging

    async def _pick(self, found: Open, _: str, request: Request) -> Any:
        wanted = await body_of(request, _Pick)
        await found.session.pick(_turn(found, wanted.round, wanted.lane, wanted.repeat))

    async def _vote(self, found: Open, owner: str, request: Request) -> Any:
        wanted = await body_of(request, _Vote)
        state = found.session.state
        best = wanted.best if wanted.best in ("tie", "bad") else lane_of(state, wanted.best)
        await found.session.vote(
            wanted.round,
            best,
            voter=owner,
            criterion=wanted.criterion,
            reasons=wanted.reasons,
            note=wanted.note,
        )

    async def _reveal(self, found: Open, _: str, request: Request) -> Any:
        await body_of(request, _Nothing)
        await found.session.reveal()

    async def _receipts(self, found: Open, _: str, request: Request) -> Any:
        _named(found)
        session, round = found.session, request.path_params["round"]
        known = session.receipts(round)
        places = {id: session.state.places[id] for id in known}
        first = {place.lane: known[id] for id, place in reversed(list(places.items()))}
        pairs = [(a, b) for a in first for b in first if list(first).index(a) < list(first).index(b)]
        return {
            "receipts": [
                {"lane": places[id].lane, "repeat": places[id].repeat, "receipt": receipt_to_json(receipt)}
                for id, receipt in known.items()
            ],
            "differences": [
                {"a": a, "b": b, "lines": [str(one) for one in difference(first[a], first[b])]}
                for a, b in pairs
            ],
            "mismatches": [one.reason for one in session.mismatches(round)],
        }

    async def _difference(self, found: Open, _: str, request: Request) -> Any:
        query, round = request.query_params, request.path_params["round"]
        repeat = int(query.get("repeat", "0")) if query.get("repeat", "0").isdecimal() else 0
        session = found.session
        if session.state.hidden and session.running():
            raise SessionError("wait for all answers")
        a, b = (
            text_of(session.turn(_turn(found, round, query.get(side, ""), repeat))) for side in ("a", "b")
        )
        spans = await asyncio.to_thread(word_difference, a, b)
        return {
            "agreement": await asyncio.to_thread(agreement, a, b),
            "spans": [{"kind": _KINDS[span.kind], "text": span.text} for span in spans],
        }

    async def _ranking(self, found: Open, _: str, __: Request) -> Any:
        _named(found)
        return await asyncio.to_thread(ranking, found.session.state, found.session.turn)


def _named(found: Open) -> None:
    if found.session.state.hidden:
        raise SessionError("take the letters off first: this would tell which lane is which")


def _lanes(found: Open, names: list[str] | None) -> list[str] | None:
    """The lanes that a page means, in its own names for them."""
    return None if names is None else [lane_of(found.session.state, name) for name in names]


def _turn(found: Open, round: str, lane: str, repeat: int) -> str:
    state = found.session.state
    turns = state.round(round).turns.get(lane_of(state, lane), ())
    if not 0 <= repeat < len(turns):
        raise SessionError("there is no such answer in this session")
    return turns[repeat]


def _listed(one: StoredComparison) -> dict[str, Any]:
    return {"id": one.id, "title": one.title, "updated": one.updated.isoformat()}
