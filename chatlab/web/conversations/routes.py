"""The routes of the page's sidebar: the owner's conversations, their attachments and links to them.

Every answer is for the owner of the request's cookie alone; somebody else's id is as unknown as one that
does not exist.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeAlias, cast, get_args
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from chatlab import content_security
from chatlab.conversations.service import StorageService
from chatlab.errors import StoreError
from chatlab.ids import ConversationId
from chatlab.lab import Lab
from chatlab.render.document import sentence_document
from chatlab.slices import Slices
from chatlab.store import Hit, NotStored, StoredConversation
from chatlab.text import well_formed
from chatlab.transfer import Format, export, shared_html
from chatlab.web.conversations.along import TakenAlong
from chatlab.web.conversations.imports import Imports
from chatlab.web.conversations.schemas import (
    ConversationChange,
    ConversationList,
    ConversationListed,
)
from chatlab.web.shared.endpoint import NotPossible, body_of, endpoint
from chatlab.web.shared.limits import limits_of
from chatlab.web.shared.page_words import page_words
from chatlab.web.shared.schemas import ShareLink
from chatlab.web.shared.sharing import audience_of, links_of, reader_of
from chatlab.web.shared.stored_room import room_of
from chatlab.words import Words

Handler: TypeAlias = Callable[[StorageService, str, Request], Awaitable[Response]]

_ENDING = {
    "jsonl": (".jsonl", "application/jsonl"),
    "markdown": (".md", "text/markdown; charset=utf-8"),
    "html": (".html", "text/html; charset=utf-8"),
}
# What others made: no script of it runs, and it asks for nothing outside of itself.
_INERT = {
    content_security.HEADER: content_security.CONVERSATION,
    "referrer-policy": "no-referrer",
    "cache-control": "private, no-store",
}

_SENT_AT_ONCE = 60_000  # bytes of an export, at least

# What a browser may show in place; anything else is downloaded, so that no upload becomes a page of ours.
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "audio/", "application/pdf")


def conversation_routes(lab: Lab) -> list[Route]:
    """Return the routes, for a lab whose configuration stores conversations; none for `storage: none`."""
    if lab.config is None or lab.config.storage is None:
        return []
    words = page_words(lab.config.ui)

    def route(path: str, answer: Handler, method: str) -> Route:
        async def with_storage(owner: str, request: Request) -> Response:
            storage = await lab.storage()
            assert storage is not None
            return await answer(storage, owner, request)

        return Route(path, endpoint(with_storage, words), methods=[method])

    imports = Imports(lab.config.storage, lab.config.limits.imports, limits_of(lab), room_of(lab))
    along = TakenAlong(lab)
    sharing = lab.config.storage.sharing
    return [
        route("/conversations", _list, "GET"),
        route("/conversations/{id}", _change, "PATCH"),
        route("/conversations/{id}", _delete, "DELETE"),
        route("/conversations/{id}/restore", _restore, "POST"),
        route("/conversations/{id}/export", partial(_export, words), "GET"),
        route("/export", partial(_export, words), "GET"),
        route("/import", imports.progress, "GET"),
        route("/import", imports.take, "POST"),
        route("/along", along.told, "GET"),
        route("/along", along.take, "POST"),
        route("/along", along.leave, "DELETE"),
        route("/files/{sha256}", _file, "GET"),
        *(
            [
                route("/conversations/{id}/shares", _shares, "GET"),
                route("/conversations/{id}/shares", _share, "POST"),
                route("/conversations/{id}/shares", _revoke, "DELETE"),
                Route("/shared/{token}", _shared(lab, words), methods=["GET"]),
            ]
            if sharing
            else []
        ),
    ]


async def _list(storage: StorageService, owner: str, request: Request) -> Response:
    text = request.query_params.get("q", "").strip()
    if text:
        hits = await storage.store.search(owner, text[:200], limit=30)
        return JSONResponse(ConversationList(conversations=[_hit(hit) for hit in hits], next=None))
    listed = await storage.store.recent(owner, after=request.query_params.get("after"), limit=40)
    shown = [_shown(found) for found in listed.conversations]
    return JSONResponse(ConversationList(conversations=shown, next=listed.next))


async def _change(storage: StorageService, owner: str, request: Request) -> Response:
    change = await body_of(request, ConversationChange)
    title = " ".join(change.title.split()) if change.title else None
    changed = await storage.store.change(owner, _id(request), title=title, pinned=change.pinned)
    return JSONResponse(_shown(changed))


async def _delete(storage: StorageService, owner: str, request: Request) -> Response:
    await storage.saving.stop(owner, _id(request))
    await storage.store.delete(owner, _id(request))
    return JSONResponse({})


async def _restore(storage: StorageService, owner: str, request: Request) -> Response:
    return JSONResponse(_shown(await storage.store.restore(owner, _id(request))))


async def _export(words: Words, storage: StorageService, owner: str, request: Request) -> Response:
    wanted = request.query_params.get("format", "jsonl")
    if wanted not in _ENDING:
        raise NotPossible("refusal.format", names=", ".join(get_args(Format)))
    conversation_id = _id(request) if "id" in request.path_params else None
    title = (
        "conversations"
        if conversation_id is None
        else (await storage.store.get(owner, conversation_id)).title or "conversation"
    )
    ending, media_type = _ENDING[wanted]
    name = "".join(c if c.isalnum() or c in " -_." else "-" for c in title)[:80].strip() + ending
    # What a page gets must not tell which lane of a blind session is which.
    pieces = export(
        storage.store,
        storage.files,
        owner,
        conversation_id,
        output_format=cast(Format, wanted),
        hidden=False,
        words=words,
    )
    headers = {**_INERT, "content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    encoded = _encoded(pieces)
    first = await anext(encoded)  # a store that cannot be read is said in place of a file, and not within one
    return StreamingResponse(_all(first, encoded), media_type=media_type, headers=headers)


async def _all(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _encoded(pieces: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """Yield an export in pieces that are worth sending each; one at least."""
    made = bytearray()
    with Slices() as slices:
        async for piece in pieces:
            made += piece.encode("utf-8", "replace")
            if len(made) > _SENT_AT_ONCE:
                yield bytes(made)
                made.clear()
            await slices.rest()
    yield bytes(made)


def _shared(lab: Lab, words: Words) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a read-only link: the only answer that is given without asking whose browser
    it is."""

    async def shared(request: Request) -> Response:
        try:
            storage = await lab.storage()
            assert storage is not None
            token, reader = request.path_params["token"], reader_of(request)
            page = await shared_html(storage.store, storage.files, token, reader, words)
        except NotStored:
            page = sentence_document(words("refusal.not-found"), words("refusal.dead-link"), words.language)
            return HTMLResponse(page, status_code=404, headers=_INERT)
        except StoreError:
            page = sentence_document(words("refusal.not-now"), words("refusal.store"), words.language)
            return HTMLResponse(page, status_code=503, headers=_INERT)
        return HTMLResponse(page, headers=_INERT)

    return shared


async def _file(storage: StorageService, owner: str, request: Request) -> Response:
    sha256 = request.path_params["sha256"]
    media_type = await storage.store.may_read(owner, sha256)
    if media_type is None:
        raise NotStored("refusal.no-file")
    shown = media_type.startswith(_SHOWN)
    return FileResponse(
        await storage.files.path(sha256),
        media_type=media_type if shown else "application/octet-stream",
        content_disposition_type="inline" if shown else "attachment",
        headers={
            "cache-control": "private, max-age=31536000, immutable",
            content_security.HEADER: content_security.STORED_FILE,
        },
    )


async def _shares(storage: StorageService, owner: str, request: Request) -> Response:
    return JSONResponse(links_of(request, await storage.store.shares(owner, conversation=_id(request))))


async def _share(storage: StorageService, owner: str, request: Request) -> Response:
    audience = await audience_of(request)
    share = await storage.store.share(owner, conversation=_id(request), audience=audience)
    return JSONResponse(ShareLink(token=share.token))


async def _revoke(storage: StorageService, owner: str, request: Request) -> Response:
    await storage.store.revoke(owner, conversation=_id(request))
    return JSONResponse({})


def _id(request: Request) -> ConversationId:
    return ConversationId(request.path_params["id"])


def _shown(conversation: StoredConversation) -> ConversationListed:
    return {
        "id": conversation.id,
        "title": well_formed(conversation.title),
        "updated": conversation.updated.isoformat(),
        "pinned": conversation.pinned,
    }


def _hit(hit: Hit) -> ConversationListed:
    return {**_shown(hit.conversation), "turn": hit.turn, "snippet": hit.snippet}
