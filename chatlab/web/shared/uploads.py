"""The owners of uploaded files, from when they are attached until their message is stored.

Gradio puts every upload below one folder and gives it to whoever knows its path. Here it is given to the
browser that uploaded it, and taken into a message from that browser alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.errors import UnsupportedContent
from chatlab.messages import FilePart
from chatlab.messages import Message as ChatMessage
from chatlab.web.shared.owner import owner_of

UPLOAD_LIFETIME = 86_400
"""Seconds after which an upload is removed."""

_FILE = re.compile(r"/file[=/](?P<path>.+)", re.DOTALL)
_LONGEST_ANSWER = 1_000_000  # bytes of JSON that name what was uploaded


class UploadOwners:
    """The uploads of one page, each with those who uploaded it: of the same content, Gradio has one file.

    folder: where Gradio puts them.
    """

    def __init__(self, folder: Path, most: int = 20_000) -> None:
        self.copies: set[str] = set()
        """Files that chatlab put there itself, to be removed as uploads are."""
        self._folder = folder.resolve()
        self._most = most
        self._public: frozenset[Path] = frozenset()
        self._owners: dict[Path, set[str | None]] = {}

    def publish(self, paths: Iterable[str]) -> None:
        """Let everybody read these files: the page's own."""
        self._public |= {Path(path).resolve() for path in paths}

    def add(self, path: str | Path, owner: str | None) -> None:
        """Add an owner of a file; None stands for all clients without a cookie."""
        found = Path(path).resolve()
        owners = self._owners.pop(found, set())
        self._owners[found] = owners | {owner}  # last again: the dict's order is that of upload
        if len(self._owners) > self._most:
            del self._owners[next(iter(self._owners))]

    def lend(self, path: Path, owner: str | None) -> None:
        """Add a copy that was put there, as if this owner had uploaded it."""
        self.copies.add(str(path))
        self.add(path, owner)

    def readable(self, path: str, owner: str | None) -> bool:
        """Return whether a browser may have what Gradio would give it. Clients without a cookie cannot be
        told apart, so none of them may. Other folders are for Gradio to guard."""
        found = Path(path).resolve()
        if not found.is_relative_to(self._folder) or found in self._public:
            return True
        return owner is not None and owner in self._owners.get(found, ())

    def check(self, message: ChatMessage, owner: str | None) -> None:
        """Raise UnsupportedContent for a file in a message that its owner did not upload: a client can
        claim any path."""
        for part in message.parts:
            if isinstance(part, FilePart) and part.path:
                found = part.path.resolve()
                if found not in self._public and owner not in self._owners.get(found, ()):
                    raise UnsupportedContent("that file was not uploaded here: attach it again")


class UploadGuard:
    """ASGI middleware that notes who uploads what, and refuses everybody else's reading it."""

    def __init__(self, app: ASGIApp, uploads: UploadOwners) -> None:
        self._app = app
        self._uploads = uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path, owner = scope["path"], owner_of(HTTPConnection(scope).cookies)
        if scope["method"] == "POST" and path.rstrip("/").endswith("/gradio_api/upload"):
            # Not compressed: the answer is read on its way.
            plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            await self._app({**scope, "headers": plain}, receive, self._noting(owner, send))
            return
        asked = _FILE.search(path)
        if asked is not None and not self._uploads.readable(asked["path"], owner):
            await PlainTextResponse("there is no such file", 404)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _noting(self, owner: str | None, send: Send) -> Send:
        """Return a `send` that notes the uploads that an answer names before it sends it."""
        body = bytearray()
        said_json = False

        async def noted(message: Message) -> None:
            nonlocal said_json
            if message["type"] == "http.response.start":
                kind = Headers(raw=message["headers"]).get("content-type", "")
                said_json = message["status"] == 200 and kind.startswith("application/json")
            elif said_json and message["type"] == "http.response.body" and len(body) < _LONGEST_ANSWER:
                body.extend(message.get("body", b""))
                if not message.get("more_body"):
                    for path in json.loads(body):
                        self._uploads.add(path, owner)
            await send(message)

        return noted
