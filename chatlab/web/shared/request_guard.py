"""Guards whatever is served against requests that are no requests: too long, nonsense, or made to fail.

Nobody is told by an error what only whoever runs chatlab may know: the detail is in the log.
"""

from __future__ import annotations

import logging
import re

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.log import incident
from chatlab.words import ENGLISH, WordedError, Words

log = logging.getLogger(__name__)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_PATH = 4_096  # characters, as long as a path of Linux may be
_LONGEST_NAME = 255  # bytes of one name in it
_LARGEST_BODY = 8_000_000  # bytes, where nothing else is said


class Refused(WordedError):
    """A request that is answered with a sentence and nothing else. key, values: as of a WordedError."""

    def __init__(self, key: str, status: int = 400, **values: object) -> None:
        super().__init__(key, **values)
        self.http_status = status


class RequestGuard:
    """ASGI middleware that refuses what nothing can answer, and answers for what fails below a path.

    upload_bytes: the largest upload to Gradio, over all of its files. words: in which it says why.
    """

    def __init__(self, app: ASGIApp, upload_bytes: int, path: str = "/", words: Words = ENGLISH) -> None:
        self._app = app
        self._words = words
        self._upload_bytes = upload_bytes
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = path_below(scope, self._path)
        if scope["type"] != "http" or below is None:
            await self._app(scope, receive, send)
            return
        began = False

        async def sent(message: Message) -> None:
            nonlocal began
            began = began or message["type"] == "http.response.start"
            await send(message)

        try:
            self._check(scope, below)
            await self._app(scope, receive, sent)
        except Refused as exc:
            if not began:
                await PlainTextResponse(self._words.told(exc), exc.http_status)(scope, receive, send)
        except Exception as exc:  # noqa: BLE001 - whoever asked reads a sentence, and the log has the rest
            said = {"sentence": self._words("refusal.wrong"), "incident": incident(log, exc)}
            sentence = self._words("notice.incident", **said)
            if not began:
                await PlainTextResponse(sentence, 500)(scope, receive, send)

    def _check(self, scope: Scope, below: str) -> None:
        if _CONTROL.search(scope["path"]):
            raise Refused("refusal.no-address")
        names = scope["path"].encode("utf-8", "surrogatepass").split(b"/")
        if len(scope["path"]) > _LONGEST_PATH or max(map(len, names)) > _LONGEST_NAME:
            raise Refused("refusal.long-address", 414)
        if f"{below}/".startswith("/monitoring/"):  # figures of all, which older Gradio gives to anybody
            raise Refused("refusal.no-address", 404)
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        upload = below.rstrip("/") == "/gradio_api/upload"
        if upload and scope["method"] == "POST" and not length:
            raise Refused("refusal.no-length", 411)
        most = self._upload_bytes if upload else _LARGEST_BODY
        if length.isdecimal() and int(length) > most and not below.startswith("/-/"):  # those look themselves
            raise Refused("refusal.large", 413, most=most // 1_000_000)


def path_below(scope: Scope, path: str) -> str | None:
    """Return the address of a request below the path that a page is at; None for one that is elsewhere."""
    whole: str = scope.get("path", "")
    root = scope.get("root_path", "")
    if root and (whole == root or whole.startswith(root.rstrip("/") + "/")):
        whole = whole[len(root.rstrip("/")) :] or "/"
    path = path.rstrip("/")
    if whole != path and not whole.startswith(path + "/"):
        return None
    return whole[len(path) :]


async def read_body(receive: Receive, most: int) -> bytes:
    """Return a request's body. Raise Refused if it has more than so many bytes."""
    body = bytearray()
    while True:
        message = await receive()
        body.extend(message.get("body", b""))
        if len(body) > most:
            raise Refused("refusal.large", 413, most=most // 1_000_000)
        if message["type"] != "http.request" or not message.get("more_body"):
            return bytes(body)


def received_again(content: bytes, receive: Receive) -> Receive:
    """Return what receives a body that was read already."""
    waiting: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received
