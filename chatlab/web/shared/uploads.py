"""The owners of uploaded files, from when they are attached until their message is stored.

Gradio puts every upload below one folder and gives it to whoever knows its path. Here it is given to the
browser that uploaded it, and taken into a message from that browser alone.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from pathlib import Path
from time import monotonic

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.errors import UnsupportedContent
from chatlab.messages import FilePart
from chatlab.messages import Message as ChatMessage
from chatlab.web.shared.limits import Held, LimitReached, Visitor, VisitorLimits
from chatlab.web.shared.owner import owner_of
from chatlab.web.shared.request_guard import path_below
from chatlab.words import ENGLISH, Words

UPLOAD_LIFETIME = 86_400
"""Seconds after which an upload is removed."""

_FILE = re.compile(r"/file[=/](?P<path>.+)", re.DOTALL)
_PRUNED_EVERY = 60.0  # seconds


class UploadOwners:
    """The uploads of one page, each with those who uploaded it: of the same content, Gradio has one file.

    folder: where Gradio puts them.
    """

    def __init__(self, folder: Path) -> None:
        self.copies: set[str] = set()
        """Files that chatlab put there itself, to be removed as uploads are."""
        self._folder = folder.resolve()
        self._public: frozenset[Path] = frozenset()
        self._owners: dict[Path, set[str | None]] = {}
        self._held: dict[tuple[Path, str | None], Held] = {}
        self._pruned = monotonic()

    def publish(self, paths: Iterable[str]) -> None:
        """Let everybody read these files: the page's own."""
        self._public |= {Path(path).resolve() for path in paths}

    def add(self, path: str | Path, owner: str | None) -> None:
        """Add an owner of a file; None stands for all clients without a cookie."""
        self._owners.setdefault(Path(path).resolve(), set()).add(owner)

    def count(self, path: str | Path, owner: str | None, held: Held) -> None:
        """Have an upload counted until it is gone; one of the same content counts once."""
        key = (Path(path).resolve(), owner)
        if key in self._held:
            held.release()
        else:
            self._held[key] = held

    async def prune(self) -> None:
        """Forget the files that are gone. Looks for them once a minute at most."""
        if monotonic() - self._pruned < _PRUNED_EVERY:
            return
        self._pruned = monotonic()
        known = tuple(self._owners)
        gone = await asyncio.to_thread(lambda: [path for path in known if not path.exists()])
        for path in gone:
            for owner in self._owners.pop(path, set()):
                held = self._held.pop((path, owner), None)
                if held is not None:
                    held.release()

    def is_known(self, path: Path) -> bool:
        """Return whether somebody uploaded this file, or it is the page's own."""
        found = path.resolve()
        return found in self._owners or found in self._public

    def lend(self, path: Path, owner: str | None) -> None:
        """Add a copy that was put there, as if this owner had uploaded it."""
        self.copies.add(str(path))
        self.add(path, owner)

    def readable(self, path: str, owner: str | None) -> bool:
        """Return whether a browser may have what Gradio would give it. Clients without a cookie cannot be
        told apart, so none of them may. Other folders are for Gradio to guard."""
        try:
            found = Path(path).resolve()
            found.stat()  # what is no path at all would fail in Gradio
        except FileNotFoundError:
            pass
        except (OSError, ValueError):
            return False
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
                    raise UnsupportedContent(ENGLISH("refusal.not-uploaded"))


class UploadGuard:
    """ASGI middleware that notes who uploads what, and refuses everybody else's reading it."""

    def __init__(
        self, app: ASGIApp, uploads: UploadOwners, limits: VisitorLimits, words: Words, path: str = "/"
    ) -> None:
        self._app = app
        self._uploads = uploads
        self._limits = limits
        self._words = words
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = path_below(scope, self._path) if scope["type"] == "http" else None
        if below is None:
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        if scope["method"] == "POST" and below.rstrip("/") == "/gradio_api/upload":
            await self._take(scope, receive, send, self._limits.visitor(connection))
            return
        asked = _FILE.search(scope["path"])
        if asked is not None and not self._uploads.readable(asked["path"], owner_of(connection)):
            await PlainTextResponse(self._words("refusal.no-file"), 404)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _take(self, scope: Scope, receive: Receive, send: Send, visitor: Visitor) -> None:
        """Have an upload counted before any of it is read, and by its files once they are known."""
        await self._uploads.prune()
        length = Headers(scope=scope).get("content-length", "")
        size = int(length) if length.isdecimal() else 0
        try:
            place = self._limits.hold_upload(visitor, size)
        except LimitReached as exc:
            await PlainTextResponse(self._words.told(exc), exc.http_status)(scope, receive, send)
            return
        # Not compressed: the answer is read on its way.
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        answer = _Recorded()
        try:
            await self._app({**scope, "headers": plain}, receive, answer.send)
        finally:
            place.release()
        try:
            await self._note([Path(path) for path in answer.paths()], visitor)
        except LimitReached as exc:
            await PlainTextResponse(self._words.told(exc), exc.http_status)(scope, receive, send)
        else:
            for message in answer.messages:
                await send(message)

    async def _note(self, paths: list[Path], visitor: Visitor) -> None:
        """Note the files of an upload. Raise LimitReached, and remove them, if they are too many."""
        sizes = await asyncio.to_thread(_sizes, paths)
        taken: list[Held] = []
        try:
            for size in sizes:
                taken.append(self._limits.hold_upload(visitor, size))
        except LimitReached:
            for held in taken:
                held.release()
            unknown = [path for path in paths if not self._uploads.is_known(path)]
            await asyncio.to_thread(_remove, unknown)
            raise
        for path, held in zip(paths, taken, strict=True):
            self._uploads.add(path, visitor.owner)
            self._uploads.count(path, visitor.owner, held)


class _Recorded:
    """An answer that waits until what it names is noted. Gradio's is small, and ends at once."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    def paths(self) -> list[str]:
        """Return the files that a successful answer names."""
        body = b"".join(message.get("body", b"") for message in self.messages)
        start = next((one for one in self.messages if one["type"] == "http.response.start"), None)
        if start is None or start["status"] != 200:
            return []
        return [str(path) for path in json.loads(body)]


def _sizes(paths: Iterable[Path]) -> list[int]:
    """Return the sizes of files; of one that is not there (Gradio moves some after it has answered) 0."""
    return [path.stat().st_size if path.exists() else 0 for path in paths]


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
