"""chatlab's own routes beside Gradio's: alike for a page that is launched and one that is mounted."""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from chatlab import content_security
from chatlab.lab import Lab
from chatlab.render.code import CODE_CSS
from chatlab.web.compare.routes import CompareRoutes
from chatlab.web.conversations.routes import conversation_routes
from chatlab.web.probes import PATHS, probe_routes
from chatlab.web.shared.immutable_files import preloaded
from chatlab.web.shared.models import models_endpoint
from chatlab.web.shared.owner import person_of
from chatlab.web.shared.page_words import page_words, told_words
from chatlab.web.shared.static_files import FOLDER, STATIC, OwnStatic, with_imported

_WORD = re.compile(r"\{\{([\w.-]+)\}\}")  # the key of a text of the comparison page
_SIGNED_IN = """<form class="chatlab-person" method="post" action="{root}/-/sign-out">
        <span>{name}</span><button>{sign_out}</button>
      </form>"""


class ApiRoutes:
    """ASGI middleware that answers chatlab's own routes and passes everything else to the app inside."""

    def __init__(self, app: ASGIApp, lab: Lab, path: str = "/") -> None:
        self._app = app
        self._path = path.rstrip("/")
        compare = CompareRoutes(lab)
        below = [
            Route("/code.css", _code_style),
            Mount("/static", OwnStatic()),
            Mount("/compare", routes=compare.routes()),
            Route("/backends/{name}/models", models_endpoint(lab, compare.sessions.words)),
            Route("/shared/comparison/{token}", compare.export.shared),
            *conversation_routes(lab),
        ]
        routes = [*probe_routes(lab), Mount("/-", routes=below), Route("/compare", _compare_page(lab))]
        self._own = Starlette(routes=[Mount(self._path or "/", routes=routes)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        ours = scope["type"] == "http" and self._is_own(path)
        await (self._own if ours else self._app)(scope, receive, send)

    def _is_own(self, path: str) -> bool:
        below = path.removeprefix(self._path)
        return path.startswith(self._path) and (below.startswith("/-/") or below in ("/compare", *PATHS))


async def _code_style(_: Request) -> Response:
    return Response(CODE_CSS, media_type="text/css", headers={"cache-control": "no-cache"})


def _compare_page(lab: Lab) -> Callable[[Request], Awaitable[HTMLResponse]]:
    assert lab.config is not None
    words = page_words(lab.config.ui)
    written = (FOLDER / "compare" / "index.html").read_text("utf-8")
    text = _WORD.sub(lambda found: html.escape(words(found[1])), written)
    text = text.replace("$modules", preloaded(f"$static/{name}" for name in with_imported("compare/page.js")))
    text = text.replace("$static", f"$root/{STATIC}")
    text = text.replace("$words", told_words(words, "compare.", "share.", "sidebar."))

    async def page(request: Request) -> HTMLResponse:
        root, person = html.escape(root_of(lab, request)), person_of(request)
        policy, shown = content_security.COMPARISON_PAGE, text.replace("$root", root)
        if person is not None:
            policy = content_security.COMPARISON_PAGE_SIGNED_IN
            sign_out = html.escape(words("both.sign-out"))
            said = _SIGNED_IN.format(root=root, name=html.escape(person.name), sign_out=sign_out)
            shown = shown.replace("<!-- person -->", said)
        headers = {content_security.HEADER: policy, "referrer-policy": "no-referrer"}
        return HTMLResponse(shown, headers=headers)

    return page


def root_of(lab: Lab, request: Request) -> str:
    """Return the path of the app for the browser, without a slash at its end."""
    configured = lab.config.server.root_path if lab.config else None
    return (configured or request.scope.get("root_path", "")).rstrip("/")
