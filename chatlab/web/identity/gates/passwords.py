"""The gate of people who sign in with a password, on a page of chatlab's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from chatlab.config.auth import LONGEST_NAME
from chatlab.errors import ChatlabError
from chatlab.identity.errors import SignInRefused
from chatlab.web.identity.documents import PasswordForm
from chatlab.web.identity.gates.base import Route
from chatlab.web.identity.gates.sessions import SessionGate
from chatlab.web.shared.limits import LimitReached
from chatlab.web.shared.request_guard import read_body

_LARGEST_FORM = 20_000  # bytes


class PasswordGate(SessionGate):
    """A gate with a page on which people sign in.

    The form has the state of a sign-in that its browser began, so that no page of another site can send one,
    and each state is taken once.
    """

    _needs_a_tab = False

    def _own(self) -> Mapping[Route, Callable[[Request], Awaitable[Response]]]:
        path = self._service.config.redirect_path
        return {**super()._own(), ("GET", path): self._form, ("POST", path): self._come_back}

    async def _form(self, request: Request) -> Response:
        """Answer the address that people are sent to; opened anew, it begins anew."""
        if self._service.back_of(self._begun(request, request.query_params)) is not None:
            return self._pages.form(
                PasswordForm(self._action(request), request.query_params.get("state", ""))
            )
        return await self._anew(request, "/")

    async def _come_back(self, request: Request) -> Response:
        """Answer a form that was sent."""
        body = await read_body(request.receive, _LARGEST_FORM)
        form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=10))
        name = form.get("name", "").strip()[:LONGEST_NAME]
        try:
            await self._limits.charge_password(name, self._limits.visitor(request))
            answer = await self._finished(request, form)
        except (SignInRefused, LimitReached) as exc:
            self._note_refused(request, exc, name)
            back = self._service.back_of(self._begun(request, form)) or "/"
            answer = await self._anew(request, back, name, exc)
        return self._without_begun(request, form, answer)

    async def _anew(
        self, request: Request, back: str, name: str = "", failed: ChatlabError | None = None
    ) -> Response:
        try:
            url, cookie = await self._begin(request, back)
        except LimitReached as exc:
            return self._failed(request, exc)
        state = url.rpartition("=")[2]
        answer = self._pages.form(PasswordForm(self._action(request), state, name), failed)
        answer.headers.append("set-cookie", cookie)
        return answer

    def _action(self, request: Request) -> str:
        return self._base(request) + self._service.config.redirect_path
