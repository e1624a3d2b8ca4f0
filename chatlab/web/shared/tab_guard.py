"""Guards Gradio's routes: a page is its browser's alone, and what no page of ours needs is not there."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from pydantic_core import from_json, to_json
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from chatlab.web.shared.limits import LimitReached, Visitor, VisitorLimits
from chatlab.web.shared.request_guard import Refused, path_below, read_body, received_again
from chatlab.web.shared.tabs import BODY, PAGE, TabOwners, is_scoped, scoped_hash, text_of
from chatlab.words import ENGLISH, Words

# Gradio's routes that its page and its clients use. Others hand out a session's values by its hash
# (deep_link), run a component's functions, fetch addresses, or belong to features that are off.
_READ = re.compile(
    r"(queue/(data|status)|heartbeat/[^/]+|upload_progress|info|openapi\.json|startup-events|theme\.css|user"
    r"|login_check|token|app_id|dev/reload|call/(v2/)?[^/]+/[^/]+|file[=/].*)/?",
    re.DOTALL,
)
_WRITTEN = re.compile(r"(queue/join|cancel|reset|(run|api)/[^/]+|call/(v2/)?[^/]+|upload)/?")
_BY_EVENT = re.compile(r"call/(?:v2/)?[^/]+/(?P<event>[^/]+)/?")
_HEARTBEAT = re.compile(r"(?P<before>.*/heartbeat/)(?P<hash>[^/]+)", re.DOTALL)
_IDS = ("session_hash", "event_id", "upload_id")

_PREDICTS = ("data", "fn_index", "session_hash", "event_data", "trigger_id", "simple_format")
"""The fields of a call; Gradio's own has others that say who asks, for its queue."""

_LARGEST_BODY = 8_000_000  # bytes of JSON: some 30 painted messages, each as long as a page takes
_MOST_VALUES = 400_000  # values of JSON, of which Gradio looks at each several times
_MADE_AT_ONCE = 200_000  # bytes of JSON that are read or written within a millisecond or two


class TabGuard:
    """ASGI middleware that lets a request act on its owner's pages alone.

    event_session: returns the hash of the page that an event of Gradio's queue is of, if there is one.
    """

    def __init__(
        self,
        app: ASGIApp,
        tabs: TabOwners,
        limits: VisitorLimits,
        event_session: Callable[[str], str | None],
        path: str = "/",
        words: Words = ENGLISH,
    ) -> None:
        self._app = app
        self._words = words
        self._tabs = tabs
        self._limits = limits
        self._event_session = event_session
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = path_below(scope, self._path)
        if scope["type"] != "http" or below is None or not below.startswith("/gradio_api/"):
            await self._app(scope, receive, send)
            return
        visitor = self._limits.visitor(HTTPConnection(scope))
        try:
            known = _READ if scope["method"] in ("GET", "HEAD") else _WRITTEN
            route = below.removeprefix("/gradio_api/")
            if known.fullmatch(route) is None:
                raise Refused("refusal.no-address", 404)
            page, scope = self._own_address(scope, route, visitor)
            if scope["method"] == "POST" and not route.startswith("upload"):
                receive, scope = await self._own_body(scope, receive, route.rstrip("/"), visitor)
        except (Refused, LimitReached) as exc:
            await PlainTextResponse(self._words.told(exc), exc.http_status)(scope, receive, send)
        else:
            with self._tabs.connected(page):
                await self._app(scope, receive, send)

    def _own_hash(self, given: Any, visitor: Visitor) -> str | None:
        """Return the hash that stands for a page of this visitor. Raise Refused for somebody else's."""
        session_hash = text_of(given)
        if session_hash is None:
            return None
        if not self._tabs.admit(session_hash, visitor.owner, visitor.address):
            raise Refused("refusal.somebody-elses", 403)
        return scoped_hash(session_hash, visitor.owner)

    def _own_event(self, given: Any, visitor: Visitor) -> None:
        """Raise Refused for an event of somebody else's page."""
        event = text_of(given)
        session = None if event is None else self._event_session(event)
        if session is not None and not is_scoped(session, visitor.owner):
            raise Refused("refusal.somebody-elses", 403)

    def _own_address(self, scope: Scope, route: str, visitor: Visitor) -> tuple[str | None, Scope]:
        """Return the hash that the address has, and the scope with the hash that Gradio is to see."""
        page: str | None = None
        pairs = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        for name in _IDS:
            if sum(key == name for key, _ in pairs) > 1:
                raise Refused("refusal.twice", name=name)
        if any(name in _IDS for name, _ in pairs):
            given = dict(pairs)
            page = given.get("session_hash")
            self._own_event(given.get("event_id"), visitor)
            if page is not None:
                given["session_hash"] = self._own_hash(page, visitor) or ""
            if "upload_id" in given:
                given["upload_id"] = scoped_hash(text_of(given["upload_id"]) or "", visitor.owner)
            scope = {**scope, "query_string": urlencode(given).encode("ascii")}
        # To be written to, `call/v2/chat` has a name and no event.
        by_event = _BY_EVENT.fullmatch(route) if scope["method"] in ("GET", "HEAD") else None
        if by_event is not None:
            self._own_event(by_event["event"], visitor)
            if self._event_session(by_event["event"]) is None:
                raise Refused("refusal.event-elsewhere", 404)
        heartbeat = _HEARTBEAT.fullmatch(scope["path"])
        if heartbeat is not None and route.startswith("heartbeat/"):
            page = heartbeat["hash"].removesuffix("/")
            path = heartbeat["before"] + (self._own_hash(page, visitor) or "")
            scope = {**scope, "path": path, "raw_path": quote(path).encode("ascii")}
        return page, scope

    async def _own_body(
        self, scope: Scope, receive: Receive, route: str, visitor: Visitor
    ) -> tuple[Receive, Scope]:
        """Return the body that Gradio is to see, and the scope with its length."""
        sent = await read_body(receive, _LARGEST_BODY)
        body, whole = await _parsed(sent), len(sent)
        self._own_event(body.get("event_id"), visitor)
        if route.startswith("call/"):
            scope = {**scope, PAGE: scoped_hash(secrets.token_hex(16), visitor.owner)}
        if route.startswith("call/v2/"):
            body.pop("session_hash", None)  # there it would be one of the call's own values
        else:
            if route not in ("cancel", "reset"):
                body = {name: body[name] for name in _PREDICTS if name in body}
            own = self._own_hash(body.get("session_hash"), visitor)
            if own is not None:
                body["session_hash"] = own
        content = await _beside(to_json, body, whole)
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name not in (b"content-length", b"transfer-encoding")
        ]
        headers.append((b"content-length", str(len(content)).encode("ascii")))
        return received_again(content, receive), {**scope, "headers": headers, BODY: body}


async def _parsed(content: bytes) -> dict[str, Any]:
    """Return what a body says; of a key that is there twice, the last. Raise Refused if it is no JSON object.

    Gradio never sees the bytes: what another parser would make of them (another encoding, say) is no matter.
    """
    if content.count(b",") + content.count(b"[") + content.count(b"{") > _MOST_VALUES:
        raise Refused("refusal.many-values", 413)
    try:
        body = await _beside(from_json, content, len(content))
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused("refusal.no-object", 422)
    return body


async def _beside(make: Callable[[Any], Any], given: Any, size: int) -> Any:
    """Return what is made of something, beside the event loop where there is much of it. size: in bytes."""
    return await asyncio.to_thread(make, given) if size > _MADE_AT_ONCE else make(given)
