"""The protection of a page from its content: model output is untrusted.

A picture or a link in an answer can carry the conversation to a foreign host. Pictures, media, frames and
requests are held by a policy (`chatlab.content_security`), which the browser enforces whatever the Markdown
or HTML was; links, which no policy covers, lose their target unless the configuration allows the host.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatlab import content_security
from chatlab.web.shared.request_guard import path_below


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
        self._policy = content_security.chat_page(allowed_hosts)
        self._frames = content_security.frame_ancestors(framed_by)
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                rules = headers.get(content_security.HEADER, self._policy)
                headers[content_security.HEADER] = f"{rules}; {self._frames}"
                headers["referrer-policy"] = "no-referrer"
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        ours = scope["type"] == "http" and path_below(scope, self._path) is not None
        await self._app(scope, receive, guarded if ours else send)
