"""Everything chatlab raises on purpose. `str(error)` is one sentence for the person; causes are for the log.

ChatlabError
  ConfigError            the YAML is wrong; one problem a line, each with file:line:column
  MissingExtra           a kind's SDK is not installed; names the extra
  UnsupportedContent     the backend or adapter cannot take this content
  NotReady               a backend's secret or variable is missing
  StoreError             conversations could not be read or written
  AuthRequired           the call needs a signed-in person
  BackendError           an upstream failed; has backend, status, retry_after
    AuthenticationFailed   401: the credential was refused
      SignInRejected         the person's own was
    PermissionDenied       403: the credential is good, the right is missing
    RateLimited            429
    InvalidRequest         400, 413, 422
      ContextTooLong
    ModelNotFound          404
    ContentFiltered        the upstream's policy refused
    Unavailable            no connection, a timeout, 5xx
    BrokenStream           the stream ended or broke before its end was said
      BackendMistake       a kind of backend does not do what docs/adding-a-backend.md asks of it
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from chatlab.installing import how_to_install, how_to_install_package
from chatlab.secret import scrub, scrubbed_value


class ChatlabError(Exception):
    """Base of all. http_status: what a page or an API of chatlab answers with; not what an upstream said.
    trace_id: the trace of the turn that it ended, where `telemetry` is on.
    shown: what `sentence` says in place of `str`, where people know by another name what that names.
    says_all: whether `str` says all that its cause does, so that the log does without a traceback: many come
    at once of what is away.
    """

    http_status: int = 500
    says_all: ClassVar[bool] = False
    trace_id: str | None = None
    shown: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Return how another process makes the same error, without the secrets that this one knows."""
        return _made_again, (type(self), scrubbed_value(self.args), scrubbed_value(vars(self)))

    @property
    def sentence(self) -> str:
        """Return what anybody may read, on a page, in a store, behind a link: `str` is for whoever runs
        chatlab.
        """
        return str(self) if self.shown is None else self.shown


def _made_again(kind: type[ChatlabError], args: list[Any], fields: dict[str, Any]) -> ChatlabError:
    error = kind.__new__(kind, *args)  # each kind is made of other arguments than those it has
    vars(error).update(fields)
    return error


class ConfigError(ChatlabError):
    """One or more problems of a configuration, all of them at once."""

    http_status = 500

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class MissingExtra(ChatlabError):
    """A kind's SDK is not installed."""

    http_status = 503

    def __init__(self, kind: str, extra: str | None, module: str, *, what: str | None = None) -> None:
        how = how_to_install(extra) if extra else how_to_install_package(module)
        super().__init__(f"{what or f'the {kind} backend'} needs {module}: {how}")
        self.kind = kind
        self.extra = extra


class UnsupportedContent(ChatlabError):
    """Content that cannot be translated or sent."""

    http_status = 422


class NotReady(ChatlabError):
    """A backend that is listed but lacks something, with what to do about it."""

    http_status = 503


class StoreError(ChatlabError):
    """Stored conversations could not be read or written."""

    @property
    def sentence(self) -> str:
        """Without the file, database or host, which `str` names for whoever runs chatlab."""
        return "Conversations cannot be read or written just now: try again soon"  # as in `chatlab.words`


class AuthRequired(ChatlabError):
    """The call needs a signed-in person's own credential; nothing else is ever used in its place."""

    http_status = 401


class BackendError(ChatlabError):
    """An upstream failed.

    backend, label: its name in the configuration, for whoever edits that, and what people read in its place;
    filled in by `run_turn`.
    where: the URL that was called, filled in where it may be the URL that is wrong (`PLACED`).
    status: the upstream's HTTP status, None where there was none.
    retry_after: seconds the upstream asked to wait, None if it did not say.
    retryable: whether the same request may be sent again, provided nothing was received yet.
    words: all that the upstream said, uncut, and the names it points at: for backends, never shown.
    """

    http_status = 502
    advice: ClassVar[str] = "try again, or choose another backend"

    def __init__(
        self,
        detail: str,
        *,
        backend: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
    ) -> None:
        self.detail = _one_line(detail)
        super().__init__(
            self.detail
        )  # what upstreams write may hold a credential: a repr shows the arguments
        self.backend = backend
        self.label: str | None = None
        self.where: str | None = None
        self.status = status
        self.retry_after = retry_after
        self.retryable = retryable
        self.words = detail

    def __str__(self) -> str:
        return self._said(" at ".join(filter(None, (self.backend, self.where))))

    @property
    def sentence(self) -> str:
        """By its label, and without the URL, which may be of an inner network."""
        return self._said(self.label or self.backend)

    def _said(self, who: str | None) -> str:
        return f"{who}: {self.detail} ({self.advice})" if who else f"{self.detail} ({self.advice})"


class AuthenticationFailed(BackendError):
    """401: the credential was missing or refused."""

    advice = "check the backend's key or token"


class SignInRejected(AuthenticationFailed):
    """The service refused the person's own credential, as one that was revoked there."""

    advice = "sign out here, and sign in again"


class PermissionDenied(BackendError):
    """403: the credential is known but may not do this."""

    advice = "ask for access to this model or endpoint"


class RateLimited(BackendError):
    """429."""

    advice = "wait a moment, then try again"


class InvalidRequest(BackendError):
    """The upstream refused the request itself."""

    advice = "change the message or the parameters"


class ContextTooLong(InvalidRequest):
    """The conversation does not fit the model's context."""

    advice = "start a new conversation or shorten this one"


class ModelNotFound(BackendError):
    """404, or a URL that leads nowhere: no such model, endpoint or route."""

    advice = "check the model and the URL in the configuration"


class ContentFiltered(BackendError):
    """The upstream's content policy refused the request or the answer."""

    advice = "rephrase the message"


class Unavailable(BackendError):
    """No connection, a timeout, or a 5xx."""


class BrokenStream(BackendError):
    """The stream broke, or ended without saying that it ended."""


class BackendMistake(BrokenStream):
    """The backend's own code, a plugin's for instance, breaks a rule of docs/adding-a-backend.md."""

    advice = "tell whoever wrote this backend: docs/adding-a-backend.md has the rules"


PLACED = (Unavailable, ModelNotFound)
"""Failures that a wrong URL would cause: they say which one it was."""


_CONTEXT = re.compile(
    r"context[ _](length|size|window)|maximum context|too many (input )?tokens"
    r"|exceed\w*.{0,40}(context|tokens)|inputs?`? tokens.{0,40}must be|inputs`? must have less than"
    r"|prompt is too long",
    re.I,
)
_FILTER = re.compile(r"content[ _]filter|content[ _]policy|content management policy|safety system", re.I)


def classify(
    status: int | None, detail: str, *, code: str | None = None, retry_after: float | None = None
) -> BackendError:
    """Return the error for an upstream's reply: by HTTP status first, by its code and text last.

    A 500 whose body happens to mention "policy" is an outage, not a refusal.
    """
    detail = detail or f"the upstream answered {status}"
    hint = f"{code or ''} {detail}"
    if status == 401:
        return AuthenticationFailed(detail, status=status)
    if status == 403:
        return PermissionDenied(detail, status=status)
    if status == 404:
        return ModelNotFound(detail, status=status)
    if status == 429:
        return RateLimited(detail, status=status, retry_after=retry_after, retryable=True)
    if status is not None and status >= 500:
        # The server had the request and says that it is down for now; a plain 500 may have done the work.
        return Unavailable(detail, status=status, retry_after=retry_after, retryable=status in (502, 503))
    if status == 408:
        return Unavailable(detail, status=status)
    if _CONTEXT.search(hint):
        return ContextTooLong(detail, status=status)
    if _FILTER.search(hint):
        return ContentFiltered(detail, status=status)
    if status is not None and 400 <= status < 500:
        return InvalidRequest(detail, status=status)
    return BrokenStream(detail, status=status)


def _one_line(text: str) -> str:
    flat = scrub(" ".join(text.split()))
    return flat if len(flat) <= 300 else flat[:299] + "…"
