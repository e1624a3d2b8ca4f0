"""The routes of the comparison page. `chatlab.web.compare.view` makes what a browser is told of a session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chatlab.compare.session.blind import lane_of, turn_of
from chatlab.compare.session.events import NOTHING_TO_PICK, Opened, SessionError
from chatlab.compare.session.from_chat import chat_path
from chatlab.config.models import CompareLane, Config
from chatlab.ids import ConversationId, LaneId, TurnId
from chatlab.lab import Lab
from chatlab.messages import Message, TextPart
from chatlab.store import StoredComparison, StoredTurn
from chatlab.web.compare.assessed import note_vote
from chatlab.web.compare.between_lanes import agreement_of, difference_of, ranking_of, receipts_of, text_shown
from chatlab.web.compare.export import ExportRoutes
from chatlab.web.compare.feed import EventStream, events, refusal
from chatlab.web.compare.open_sessions import PageSession, PageSessions
from chatlab.web.compare.options import backends_of, lane_spec, options_of
from chatlab.web.compare.places import VisitorPlaces
from chatlab.web.compare.schemas import (
    Ask,
    Ballot,
    Begin,
    Checkout,
    Edit,
    LaneOrder,
    ModeWanted,
    NewLane,
    Nothing,
    Pick,
    Retry,
    Title,
    Undo,
    Which,
)
from chatlab.web.compare.shown_runs import runs_of
from chatlab.web.compare.uploads import PendingUploads
from chatlab.web.compare.view_model import (
    Begun,
    ChatToCompare,
    Continued,
    LaneMade,
    RoundAsked,
    SessionList,
    SessionListed,
    SessionView,
    UndoneView,
    Uploaded,
)
from chatlab.web.shared.assessments import assessments_of
from chatlab.web.shared.endpoint import Answer, body_of, endpoint
from chatlab.web.shared.limits import LimitReached, limits_of
from chatlab.web.shared.owner import call_context, owner_of
from chatlab.web.shared.stored_room import room_of, size_of

InSession: TypeAlias = Callable[[PageSession, str, Request], Awaitable[Any]]
_SHARES = ("GET", "POST", "DELETE")


class CompareRoutes:
    """The routes of one app, and the sessions that its pages have open."""

    def __init__(self, lab: Lab) -> None:
        assert lab.config is not None
        self._lab = lab
        self._config: Config = lab.config
        self.sessions = PageSessions(lab)
        self.export = ExportRoutes(lab, self.sessions)
        self._limits = limits_of(lab)
        self._uploads = PendingUploads(
            int(lab.config.ui.max_file_mb * 1_000_000), self._limits, stored=lab.config.storage is not None
        )
        lab.at_close.append(self._uploads.aclose)

    def routes(self) -> list[Route]:
        """All of them, below `/-/compare`."""
        one = "/sessions/{id}"
        lane, round_id = f"{one}/lanes/{{lane}}", f"{one}/rounds/{{round}}"
        return [
            Route("/options", self._endpoint(self._options)),
            Route("/backends", self._endpoint(self._backends)),
            Route("/chats/{id}", self._endpoint(self._from_chat)),
            Route("/runs/{token}", self._endpoint(self._run), methods=["POST"]),
            Route("/uploads", self._endpoint(self._upload), methods=["POST"]),
            Route("/sessions", self._endpoint(self._list), methods=["GET"]),
            Route("/sessions", self._endpoint(self._begin), methods=["POST"]),
            Route(one, self._endpoint(self._delete), methods=["DELETE"]),
            Route(f"{one}/restore", self._endpoint(self._restore), methods=["POST"]),
            Route(f"{one}/events", self._endpoint(self._events)),
            self._route(one, "GET", self._whole),
            self._route(f"{one}/ask", "POST", self._ask),
            self._route(f"{one}/edit", "POST", self._edit),
            self._route(f"{one}/retry", "POST", self._retry),
            self._route(f"{one}/undo", "POST", self._undo),
            self._route(f"{one}/checkout", "POST", self._checkout),
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
            self._route(f"{round_id}/receipts", "GET", receipts_of),
            self._route(f"{round_id}/difference", "GET", difference_of),
            self._route(f"{round_id}/agreement", "GET", agreement_of),
            self._route(f"{one}/ranking", "GET", ranking_of),
            self._route(f"{one}/report", "GET", self.export.report),
            self._route(f"{lane}/recording", "GET", self.export.recording),
            *(self._route(f"{one}/shares", method, self.export.shares) for method in _SHARES),
        ]

    def _endpoint(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        return endpoint(answer, self.sessions.words)

    def _route(self, path: str, method: str, act: InSession) -> Route:
        async def acted(owner: str, request: Request) -> Response:
            found = await self.sessions.get(owner, request.path_params["id"])
            said = await act(found, owner, request)
            return said if isinstance(said, Response) else JSONResponse(said or {})

        return Route(path, self._endpoint(acted), methods=[method])

    async def _places(self, request: Request, message: Message | None = None) -> VisitorPlaces:
        """Return where turns may run whose message is stored. Raise NoRoom."""
        size = 0 if message is None else size_of(message)
        await room_of(self._lab).hold(await self._lab.storage(), owner_of(request), size)
        return VisitorPlaces(self._limits, self._limits.visitor(request))

    # -- sessions

    async def _options(self, _: str, __: Request) -> Response:
        return JSONResponse(options_of(self._config))

    async def _backends(self, _: str, __: Request) -> Response:
        return JSONResponse(backends_of(self._config, self._lab.backends, self.sessions.words))

    async def _list(self, owner: str, request: Request) -> Response:
        storage = await self._lab.storage()
        if storage is None:
            return JSONResponse(SessionList(sessions=[], next=None))
        found, following = await storage.store.comparisons(owner, after=request.query_params.get("after"))
        return JSONResponse(SessionList(sessions=[_listed(one) for one in found], next=following))

    async def _begin(self, owner: str, request: Request) -> Response:
        wanted = await body_of(request, Begin)
        title, chat = "", tuple[StoredTurn, ...]()
        if wanted.conversation is not None:
            title, chat = await self._chat_of(owner, wanted.conversation, wanted.turn)
        opened = Opened(
            wanted.mode,
            wanted.blind and not chat,  # whose answers the chat has is known already
            wanted.reveal,
            wanted.repeats,
            self._config.compare.criteria,
            self._config.compare.reasons,
        )
        found = await self.sessions.create(owner, wanted.lanes, opened, title=title, chat=chat)
        if chat:
            await found.session.ask_others(places=await self._places(request))
        return JSONResponse(Begun(id=found.session.id))

    async def _from_chat(self, owner: str, request: Request) -> Response:
        title, chat = await self._chat_of(
            owner, request.path_params["id"], request.query_params.get("turn", "")
        )
        last = chat[-1]
        lane = CompareLane(backend=last.backend, parameters=dict(last.parameters), system=last.system)
        return JSONResponse(ChatToCompare(title=title, lane=lane_spec(lane)))

    async def _run(self, owner: str, request: Request) -> Response:
        made = await runs_of(self._lab).session(self._lab, owner, request.path_params["token"])
        return JSONResponse(Begun(id=made))

    async def _chat_of(self, owner: str, conversation: str, turn: str) -> tuple[str, tuple[StoredTurn, ...]]:
        """Return a chat's title, and its turns up to one. Raises NotStored, SessionError."""
        storage = await self._lab.storage()
        if storage is None:
            raise SessionError("refusal.no-storage-compare")
        chat = ConversationId(conversation)
        found = await storage.store.get(owner, chat)
        return found.title, chat_path(await storage.store.turns(owner, chat), TurnId(turn))

    async def _delete(self, owner: str, request: Request) -> Response:
        found = await self.sessions.get(owner, request.path_params["id"])
        await found.session.stop()  # on other servers, too
        await self.sessions.close(found)
        storage = await self._lab.storage()
        if storage is not None:
            await storage.store.delete_comparison(owner, found.session.id)
        return JSONResponse({})

    async def _restore(self, owner: str, request: Request) -> Response:
        storage = await self._lab.storage()
        if storage is None:
            raise SessionError("refusal.no-storage-restore")
        await storage.store.restore_comparison(owner, request.path_params["id"])
        return JSONResponse({})

    async def _events(self, owner: str, request: Request) -> Response:
        found = await self.sessions.get(owner, request.path_params["id"])
        try:
            held = self._limits.hold_session(self._limits.visitor(request))
        except LimitReached as exc:
            return EventStream(refusal(self.sessions.words.told(exc)))
        return EventStream(events(found, owner), held)

    async def _whole(self, found: PageSession, owner: str, _: Request) -> SessionView:
        await found.view.make_ready()
        return found.view.whole(owner, found.title)

    async def _title(self, found: PageSession, owner: str, request: Request) -> None:
        await self._retitle(found, owner, (await body_of(request, Title)).title)

    async def _retitle(self, found: PageSession, owner: str, title: str) -> None:
        found.title = _title(title)
        storage = await self._lab.storage()
        if storage is not None:
            await storage.store.retitle_comparison(owner, found.session.id, found.title)

    # -- asking

    async def _upload(self, owner: str, request: Request) -> Response:
        headers = request.headers
        length = headers.get("content-length", "")
        upload_id, part = await self._uploads.take(
            owner,
            self._limits.visitor(request),
            unquote(headers.get("x-filename", "file")),
            headers.get("content-type"),
            int(length) if length.isdecimal() else None,
            request.stream(),
        )
        shown: Uploaded = {"id": upload_id, "name": part.name, "media_type": part.media_type, "not_for": None}
        session = request.query_params.get("session")
        if session is not None:
            shown["not_for"] = (await self.sessions.get(owner, session)).view.not_for(part)
        return JSONResponse(shown)

    async def _ask(self, found: PageSession, owner: str, request: Request) -> RoundAsked:
        wanted = await body_of(request, Ask)
        files = [self._uploads.part(owner, found_id) for found_id in wanted.files]
        text = (TextPart(wanted.text),) if wanted.text.strip() else ()
        message = Message("user", (*files, *text))
        untitled = not found.title
        if untitled:  # before the pages are told of the round: they are told the title with it
            found.title = _title(wanted.text) or _title(", ".join(part.name or "" for part in files))
        try:
            round_id = await found.session.ask(
                message,
                lanes=_lanes(found, wanted.lanes),
                repeats=wanted.repeats,
                ctx=call_context(request),
                places=await self._places(request, message),
            )
        except BaseException:
            if untitled:
                found.title = ""
            raise
        self._uploads.sent(owner, dict.fromkeys(wanted.files))
        if untitled:
            await self._retitle(found, owner, found.title)
        return {"round": round_id}

    async def _edit(self, found: PageSession, _: str, request: Request) -> RoundAsked:
        wanted = await body_of(request, Edit)
        files = await found.session.attached(wanted.round)
        message = Message("user", (*files, TextPart(wanted.text)))
        return {
            "round": await found.session.edit(
                wanted.round,
                message,
                lanes=_lanes(found, wanted.lanes),
                ctx=call_context(request),
                places=await self._places(request, message),
            )
        }

    async def _retry(self, found: PageSession, _: str, request: Request) -> None:
        wanted = await body_of(request, Retry)
        await found.session.retry(
            wanted.round,
            lanes=_lanes(found, wanted.lanes),
            ctx=call_context(request),
            places=await self._places(request),
        )

    async def _undo(self, found: PageSession, _: str, request: Request) -> UndoneView:
        wanted = await body_of(request, Undo)
        return {"text": (await found.session.undo(lanes=_lanes(found, wanted.lanes))).text}

    async def _checkout(self, found: PageSession, _: str, request: Request) -> None:
        wanted = await body_of(request, Checkout)
        chosen = _lanes(found, None if wanted.lane is None else [wanted.lane])
        if chosen is None:
            await found.session.to_version(wanted.round)
        else:
            await found.session.to_answer(wanted.round, chosen[0], wanted.answer)

    async def _stop(self, found: PageSession, _: str, request: Request) -> None:
        lane = (await body_of(request, Which)).lane
        chosen = _lanes(found, None if lane is None else [lane])
        await found.session.stop(chosen[0] if chosen else None)

    # -- lanes

    async def _add_lane(self, found: PageSession, _: str, request: Request) -> LaneMade:
        wanted = await body_of(request, NewLane)
        found.require_names_told()
        like = None if wanted.history_from is None else lane_of(found.session.state, wanted.history_from)
        return {"lane": (await found.session.add_lane(wanted.spec(), like=like)).id}

    async def _change_lane(self, found: PageSession, _: str, request: Request) -> LaneMade:
        wanted = await body_of(request, NewLane)
        found.require_names_told()
        session = found.session
        found_id = lane_of(session.state, request.path_params["lane"])
        if wanted.backend == session.state.lane(found_id).backend:
            return {"lane": (await session.change_lane(wanted.spec(), found_id)).id}
        keep = wanted.history_from is not None
        return {"lane": (await session.swap(found_id, wanted.spec(), keep_history=keep)).id}

    async def _remove_lane(self, found: PageSession, _: str, request: Request) -> None:
        await found.session.remove_lane(lane_of(found.session.state, request.path_params["lane"]))

    async def _rerun(self, found: PageSession, _: str, request: Request) -> None:
        found.require_names_told()
        lane_id = lane_of(found.session.state, request.path_params["lane"])
        await found.session.rerun(lane_id, ctx=call_context(request), places=await self._places(request))

    async def _chat(self, found: PageSession, _: str, request: Request) -> Continued:
        lane = lane_of(found.session.state, request.path_params["lane"])
        return {"conversation": await found.session.continue_in_chat(lane)}

    async def _order(self, found: PageSession, _: str, request: Request) -> None:
        wanted = await body_of(request, LaneOrder)
        found.require_names_told()
        await found.session.reorder([lane_of(found.session.state, lane) for lane in wanted.lanes])

    async def _mode(self, found: PageSession, _: str, request: Request) -> None:
        await found.session.set_mode((await body_of(request, ModeWanted)).mode)

    # -- judging

    async def _pick(self, found: PageSession, _: str, request: Request) -> None:
        wanted = await body_of(request, Pick)
        hidden = found.session.state.hidden and not found.session.running()
        if hidden and not text_shown(found, wanted.round, wanted.lane, wanted.repeat):
            raise SessionError(NOTHING_TO_PICK)  # also where something is that nobody may see
        await found.session.pick(turn_of(found.session.state, wanted.round, wanted.lane, wanted.repeat))

    async def _vote(self, found: PageSession, owner: str, request: Request) -> None:
        wanted = await body_of(request, Ballot)
        state = found.session.state
        best = wanted.best if wanted.best in ("tie", "bad") else lane_of(state, wanted.best)
        vote = await found.session.vote(
            wanted.round,
            best,
            voter=owner,
            criterion=wanted.criterion,
            reasons=wanted.reasons,
            note=wanted.note,
        )
        if (assessments := assessments_of(self._lab)) is not None:
            note_vote(assessments, found.session, vote)

    async def _reveal(self, found: PageSession, _: str, request: Request) -> None:
        await body_of(request, Nothing)
        await found.session.reveal()


def _title(text: str) -> str:
    """Return a title on one line."""
    return " ".join(text.split())[:80]


def _lanes(found: PageSession, names: list[str] | None) -> list[LaneId] | None:
    """Return the lanes that a page means, in its own names for them."""
    opened = found.session.state.opened
    if names is not None and found.session.state.hidden and opened.reveal != "as they come":
        raise SessionError("refusal.time-tells")
    return None if names is None else [lane_of(found.session.state, name) for name in names]


def _listed(one: StoredComparison) -> SessionListed:
    return {"id": one.id, "title": one.title, "updated": one.updated.isoformat()}
