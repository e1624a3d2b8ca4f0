"""The protection of a page from its content: model output is untrusted.

A picture or a link in an answer can carry the conversation to a foreign host. Pictures, media, frames and
requests are held by a Content-Security-Policy, which the browser enforces whatever the Markdown or HTML
was; links, which no policy covers, lose their target unless the configuration allows the host.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab.paths import PACKAGE
from chatlab.web.shared.request_guard import path_below

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9.-]+(:\d+)?")


def policy(allowed_hosts: Sequence[str]) -> str:
    """Return the Content-Security-Policy of a page whose answers may show pictures from these hosts."""
    hosts = " ".join(host for host in allowed_hosts if _HOST.fullmatch(host))
    foreign = f" {hosts}" if hosts else ""
    return "; ".join(
        (
            # Gradio's own page needs inline scripts and evaluates its bundles.
            "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'",
            f"img-src 'self' data: blob:{foreign}",
            f"media-src 'self' data: blob:{foreign}",
            "connect-src 'self' data: blob:",
            "frame-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
        )
    )


def frame_ancestors(framed_by: Sequence[str]) -> str:
    """Return the directive that says who may show a page in a frame: our own pages and the sites given; in a
    Hugging Face Space, which is always shown so, Hugging Face."""
    sites = [host for host in framed_by if _HOST.fullmatch(host)]
    if os.environ.get("SYSTEM") == "spaces":
        sites.append("https://huggingface.co")
    return " ".join(["frame-ancestors 'self'", *sites])


class SafetyHeaders:
    """ASGI middleware that adds the policy to every response below a path.

    A response that has a stricter policy keeps it. Who may frame it is one rule for all of them.
    """

    def __init__(
        self,
        app: ASGIApp,
        allowed_hosts: Sequence[str] = (),
        framed_by: Sequence[str] = (),
        path: str = "/",
    ) -> None:
        self._app = app
        self._policy = policy(allowed_hosts)
        self._frames = frame_ancestors(framed_by)
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                rules = headers.get("content-security-policy", self._policy)
                headers["content-security-policy"] = f"{rules}; {self._frames}"
                headers["referrer-policy"] = "no-referrer"
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        ours = scope["type"] == "http" and path_below(scope, self._path) is not None
        await self._app(scope, receive, guarded if ours else send)


def link_guard(allowed_hosts: Sequence[str]) -> str:
    """Return a script for the page's head: links of the conversation lead only where the configuration
    allows."""
    script = (PACKAGE / "web" / "static" / "chat" / "links.js").read_text("utf-8")
    hosts = json.dumps(list(allowed_hosts)).replace("<", "\\u003c")
    return f"<script>(() => {{ const allowed = {hosts};\n{script}}})();</script>"
