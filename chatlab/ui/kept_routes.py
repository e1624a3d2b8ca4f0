"""What the page's sidebar asks for: the owner's conversations, their attachments and links to them.

Every answer is for the owner of the request's cookie alone; somebody else's id is as unknown as one that
does not exist.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from pydantic import Field
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from chatlab.kept import Kept
from chatlab.lab import Lab
from chatlab.store import Hit, NotStored, StoredConversation
from chatlab.ui.own_answers import Body, answering, body_of

Answering: TypeAlias = Callable[[Kept, str, Request], Awaitable[Response]]

# What a browser may show in place; anything else is downloaded, so that no upload becomes a page of ours.
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "audio/", "application/pdf")


class _Change(Body):
    title: str | None = Field(None, min_length=1, max_length=200)
    pinned: bool | None = None


def kept_routes(lab: Lab) -> list[Route]:
    """The routes, for a lab whose configuration keeps conversations; none for one that keeps nothing."""
    if lab.config is None or lab.config.storage is None:
        return []

    def route(path: str, answer: Answering, method: str) -> Route:
        async def kept(owner: str, request: Request) -> Response:
            found = await lab.kept()
            assert found is not None
            return await answer(found, owner, request)

        return Route(path, answering(kept), methods=[method])

    shared = lab.config.storage.sharing
    return [
        route("/conversations", _list, "GET"),
        route("/conversations/{id}", _change, "PATCH"),
        route("/conversations/{id}", _delete, "DELETE"),
        route("/conversations/{id}/restore", _restore, "POST"),
        route("/files/{sha256}", _file, "GET"),
        *(
            [
                route("/conversations/{id}/shares", _shares, "GET"),
                route("/conversations/{id}/shares", _share, "POST"),
                route("/conversations/{id}/shares", _revoke, "DELETE"),
            ]
            if shared
            else []
        ),
    ]


async def _list(kept: Kept, owner: str, request: Request) -> Response:
    text = request.query_params.get("q", "").strip()
    if text:
        hits = await kept.store.search(owner, text[:200], limit=30)
        return JSONResponse({"conversations": [_hit(hit) for hit in hits], "next": None})
    listed = await kept.store.recent(owner, after=request.query_params.get("after"), limit=40)
    return JSONResponse(
        {"conversations": [_shown(found) for found in listed.conversations], "next": listed.next}
    )


async def _change(kept: Kept, owner: str, request: Request) -> Response:
    change = await body_of(request, _Change)
    title = " ".join(change.title.split()) if change.title else None
    changed = await kept.store.change(owner, request.path_params["id"], title=title, pinned=change.pinned)
    return JSONResponse(_shown(changed))


async def _delete(kept: Kept, owner: str, request: Request) -> Response:
    await kept.store.delete(owner, request.path_params["id"])
    return JSONResponse({})


async def _restore(kept: Kept, owner: str, request: Request) -> Response:
    return JSONResponse(_shown(await kept.store.restore(owner, request.path_params["id"])))


async def _file(kept: Kept, owner: str, request: Request) -> Response:
    sha256 = request.path_params["sha256"]
    media_type = await kept.store.may_read(owner, sha256)
    if media_type is None:
        raise NotStored("there is no such file")
    shown = media_type.startswith(_SHOWN)
    return FileResponse(
        await kept.files.path(sha256),
        media_type=media_type if shown else "application/octet-stream",
        content_disposition_type="inline" if shown else "attachment",
        headers={
            "cache-control": "private, max-age=31536000, immutable",
            "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        },
    )


async def _shares(kept: Kept, owner: str, request: Request) -> Response:
    return JSONResponse({"links": await kept.store.shares(owner, conversation=request.path_params["id"])})


async def _share(kept: Kept, owner: str, request: Request) -> Response:
    share = await kept.store.share(owner, conversation=request.path_params["id"])
    return JSONResponse({"token": share.token})


async def _revoke(kept: Kept, owner: str, request: Request) -> Response:
    await kept.store.revoke(owner, conversation=request.path_params["id"])
    return JSONResponse({})


def _shown(conversation: StoredConversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "title": conversation.title,
        "updated": conversation.updated.isoformat(),
        "pinned": conversation.pinned,
    }


def _hit(hit: Hit) -> dict[str, Any]:
    return {**_shown(hit.conversation), "turn": hit.turn, "snippet": hit.snippet}
