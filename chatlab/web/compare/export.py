"""The exports of a comparison session: its report, a lane's recording, and links for others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast, get_args
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from chatlab import content_security
from chatlab.compare.report import Format, session_recording, session_report
from chatlab.compare.session.blind import lane_of
from chatlab.conversations.service import StorageService
from chatlab.errors import ChatlabError
from chatlab.lab import Lab
from chatlab.render.document import sentence_document
from chatlab.store import NotStored
from chatlab.web.compare.open_sessions import PageSession, PageSessions
from chatlab.web.shared.endpoint import NotPossible
from chatlab.web.shared.limits import limits_of
from chatlab.web.shared.schemas import ShareLink
from chatlab.web.shared.sharing import audience_of, links_of, reader_of

_TYPES = {
    "html": ("text/html", "html"),
    "markdown": ("text/markdown", "md"),
    "jsonl": ("application/jsonl", "jsonl"),
    "votes": ("text/csv", "csv"),
}
_HEADERS = {content_security.HEADER: content_security.DOCUMENT, "cache-control": "no-store"}


class ExportRoutes:
    """The answers to these requests, for the sessions that one app has open."""

    def __init__(self, lab: Lab, sessions: PageSessions) -> None:
        self._lab = lab
        self._sessions = sessions
        self._limits = lab.config.limits.reports if lab.config else None
        self._visitors = limits_of(lab)

    async def report(self, found: PageSession, _: str, request: Request) -> Response:
        """format: one of `Format`. redact, any number of times: what `--redact` takes."""
        found.require_names_told()
        query = request.query_params
        wanted = query.get("format", "html")
        if wanted not in get_args(Format):
            raise NotPossible("refusal.no-format", name=wanted, names=", ".join(get_args(Format)))
        storage = await self._lab.storage()
        with self._place(request):
            text = await session_report(
                found.session,
                cast(Format, wanted),
                query.getlist("redact"),
                title=found.title,
                files=storage.files if storage else None,
                limits=self._limits,
                words=self._sessions.words,
            )
        media_type, ending = _TYPES[wanted]
        name = _file_name(found.title, ending)
        kind = "inline" if wanted == "html" else "attachment"
        return Response(
            text, media_type=media_type, headers={**_HEADERS, "content-disposition": f"{kind}; {name}"}
        )

    async def recording(self, found: PageSession, _: str, request: Request) -> Response:
        """Return a lane's answers as the file that the kind `replay` plays."""
        found.require_names_told()
        lane = lane_of(found.session.state, request.path_params["lane"])
        with self._place(request):
            text = await session_recording(found.session, lane, title=found.title, limits=self._limits)
        name = _file_name(found.session.state.lane(lane).label, "jsonl")
        headers = {**_HEADERS, "content-disposition": f"attachment; {name}"}
        return Response(text, media_type="application/jsonl", headers=headers)

    async def shares(self, found: PageSession, owner: str, request: Request) -> Response:
        """Return which links there are; with POST a new one, with DELETE none any more."""
        storage = await self._sharing()
        session_id = found.session.id
        if request.method == "POST":
            found.require_names_told()
            audience = await audience_of(request)
            share = await storage.store.share(owner, comparison=session_id, audience=audience)
            return JSONResponse(ShareLink(token=share.token))
        if request.method == "DELETE":
            await storage.store.revoke(owner, comparison=session_id)
        return JSONResponse(links_of(request, await storage.store.shares(owner, comparison=session_id)))

    async def shared(self, request: Request) -> Response:
        """Return the report of a shared comparison, for anybody who has the link and whom it is for."""
        try:
            storage = await self._sharing()
            token, reader = request.path_params["token"], reader_of(request)
            owner, what, session_id = await storage.store.shared(token, reader)
            if what != "comparison":
                raise NotStored("refusal.no-link")
            return await self.report(await self._sessions.get(owner, session_id), owner, request)
        except ChatlabError as exc:
            gone = isinstance(exc, NotStored)
            words = self._sessions.words
            said = words("refusal.dead-link") if gone else words.told(exc)
            page = sentence_document(words("compare.title"), said, words.language)
            return HTMLResponse(page, status_code=404 if gone else exc.http_status, headers=_HEADERS)

    @contextmanager
    def _place(self, request: Request) -> Iterator[None]:
        """Hold one of the places that whoever asks has for what is written. Raise LimitReached."""
        place = self._visitors.hold_report(self._visitors.visitor(request))
        try:
            yield
        finally:
            place.release()

    async def _sharing(self) -> StorageService:
        storage = await self._lab.storage()
        configured = self._lab.config.storage if self._lab.config else None
        if storage is None or configured is None or not configured.sharing:
            raise NotStored("refusal.no-links")
        return storage


def _file_name(title: str, ending: str) -> str:
    name = re.sub(r"[^\w.-]+", "-", title).strip("-.")[:60] or "comparison"
    return f"filename*=UTF-8''{quote(name)}.{ending}"
