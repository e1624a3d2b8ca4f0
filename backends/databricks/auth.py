"""The identity as which a Databricks workspace is called: one stated way, never a fallback to another.

The Databricks SDK fills whatever it was not given from `DATABRICKS_*` variables and from
`~/.databrickscfg`. Here every attribute of its `Config` is given, the unwanted ones blank, so that nothing
in the environment can change the credential, the workspace or the token server that was chosen.
"""

from __future__ import annotations

import asyncio
import configparser
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, assert_never

from backends.databricks.identities import (
    Auth,
    FromEnv,
    HostFromEnv,
    OAuthM2MAuth,
    PatAuth,
    ProfileAuth,
    UserAuth,
)
from backends.databricks.tokens import PrincipalTokens
from chatlab.backend import CallContext
from chatlab.credentials import sendable, token_of
from chatlab.databricks_sdk import blank_settings, sdk_config, sdk_error, sentence_of, workspace_url
from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    NotReady,
    Unavailable,
)
from chatlab.secret import remember

T = TypeVar("T")
SDK_TIMEOUT = 5  # seconds; without it, an unreachable workspace blocks the SDK for up to 300


@dataclass(frozen=True, slots=True)
class Access:
    """The address to call and the headers to send. Made for one request; the headers hold the credential."""

    host: str
    headers: dict[str, str]

    def __repr__(self) -> str:
        return f"<Access to {self.host}>"


def endpoint_of(endpoint: str | FromEnv) -> str | None:
    """Return the name of an endpoint; None while it is not known."""
    return (endpoint if isinstance(endpoint, str) else os.environ.get(endpoint.env, "").strip()) or None


def endpoint_problem(endpoint: str | FromEnv) -> str | None:
    """Return what to do before the endpoint is known, or None."""
    missing = isinstance(endpoint, FromEnv) and endpoint_of(endpoint) is None
    return f"set {endpoint.env}" if missing and isinstance(endpoint, FromEnv) else None


def host_problem(host: str | HostFromEnv | None, auth: Auth) -> str | None:
    """Return what to do before the workspace is known, or None."""
    try:
        _host(host, auth)
    except LookupError as exc:
        return str(exc.args[0])
    return None


def host_of(host: str | HostFromEnv | None, auth: Auth) -> str | None:
    """Return the workspace's URL; None while it is not known."""
    try:
        return _host(host, auth)
    except LookupError:
        return None


def profile_problem(auth: Auth) -> str | None:
    """Return what is wrong with the profile, or None."""
    if isinstance(auth, ProfileAuth):
        try:
            _profile_settings(auth)
        except LookupError as exc:
            return str(exc.args[0])
    return None


def bundle_problem(ca_bundle: Path | None, auth: Auth) -> str | None:
    """Return what to do where a backend's own authorities do not reach the sign-in, or None."""
    if ca_bundle is None or not isinstance(auth, ProfileAuth):
        return None
    try:
        kind = _profile_settings(auth)["auth_type"]
    except LookupError:
        return None
    if kind in ("pat", "oauth-m2m"):
        return None
    return f"set REQUESTS_CA_BUNDLE instead of ca_bundle: the Databricks SDK signs in by {kind} itself"


class Credentials:
    """Gives the headers of each request.

    A personal access token and a person's own go as they are; a service principal's token is asked for over
    the backend's HTTP client. Every other kind of credential, which only a profile can name, is the SDK's,
    whose `Config` blocks while it is made and while it renews a token, so both happen in a thread of their
    own: one, so that there is one `Config`, and none of the common pool, which a workspace that does not
    answer would fill. It is made at the first request, and anew when its secret has changed.
    """

    def __init__(self, host: str | HostFromEnv | None, auth: Auth, http: Any) -> None:
        self._host = host
        self._auth = auth
        self._principal = PrincipalTokens(http)
        self._thread = ThreadPoolExecutor(1, "databricks-credentials")
        self._config: Any = None
        self._made_from: int | None = None  # a hash: the secret itself is held by the SDK alone

    def __repr__(self) -> str:
        return f"<Credentials by {self._auth.type}>"

    async def access(self, ctx: CallContext) -> Access:
        """Raises AuthRequired when the person's own token is needed and missing, NotReady, BackendError."""
        if isinstance(self._auth, UserAuth):
            host = _ready(lambda: _host(self._host, self._auth))
            token = await token_of(ctx.credential, self._auth.resource(host))
            access = Access(host, {"Authorization": f"Bearer {token}"})
        else:
            access = await self._chosen()
        ctx.mark("credentials")
        return access

    async def _chosen(self) -> Access:
        # An empty secret is refused here, before anything is asked. Files are read off the event loop.
        loop = asyncio.get_running_loop()
        given = await loop.run_in_executor(
            self._thread, lambda: _ready(lambda: config_arguments(self._host, self._auth))
        )
        host, kind = str(given["host"]), given["auth_type"]
        if kind == "pat":
            return Access(host, _sendable({"Authorization": f"Bearer {given['token']}"}))
        if kind == "oauth-m2m":
            # Basic credentials travel encoded: what no header can hold is refused as a token is.
            _sendable({"id": given["client_id"], "secret": given["client_secret"]})
            token = await self._principal.token(host, given["client_id"], given["client_secret"])
            return Access(host, _sendable({"Authorization": f"Bearer {token}"}))
        return await loop.run_in_executor(self._thread, self._from_sdk, given)

    def close(self) -> None:
        """Lets the thread go; whoever still waits for it is cancelled."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _from_sdk(self, given: dict[str, Any]) -> Access:
        config = sdk_config()
        made_from = hash(tuple(sorted(given.items())))
        if self._config is None or self._made_from != made_from:
            try:
                self._config = config(**{**blank_settings(config), **given})
            except Exception as exc:
                raise auth_error(exc) from exc
            self._made_from = made_from
        try:
            headers = dict(self._config.authenticate())
        except Exception as exc:
            raise auth_error(exc) from exc
        return Access(str(self._config.host), _sendable(headers))


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    return {name: sendable(value) for name, value in headers.items()}


def _ready(found: Callable[[], T]) -> T:
    try:
        return found()
    except LookupError as exc:
        raise NotReady(str(exc.args[0])) from exc


def config_arguments(host: str | HostFromEnv | None, auth: Auth) -> dict[str, Any]:
    """Return what the SDK's `Config` is given besides blanks. Raises LookupError with what to do."""
    if isinstance(auth, PatAuth):
        chosen: dict[str, Any] = {"auth_type": "pat", "token": auth.token.resolve().get_secret_value()}
    elif isinstance(auth, OAuthM2MAuth):
        chosen = {
            "auth_type": "oauth-m2m",
            "client_id": auth.client_id.resolve().get_secret_value(),
            "client_secret": auth.client_secret.resolve().get_secret_value(),
        }
    elif isinstance(auth, ProfileAuth):
        chosen = _profile_settings(auth)
    elif isinstance(auth, UserAuth):
        raise LookupError("the signed-in person's token goes without the SDK")
    else:
        assert_never(auth)
    timeouts = {"retry_timeout_seconds": SDK_TIMEOUT, "http_timeout_seconds": SDK_TIMEOUT}
    return {**chosen, **timeouts, "host": _host(host, auth)}


def _profile_settings(auth: ProfileAuth) -> dict[str, Any]:
    path = auth.config_file
    # No section is special, and `%` means itself: as in every other Databricks tool but Python's parser.
    parser = configparser.ConfigParser(default_section="", interpolation=None)
    try:
        parser.read_string(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise LookupError(f"make {path} readable") from exc
    except configparser.Error as exc:
        raise LookupError(f"correct {path}: it is not a valid configuration file") from exc
    if not parser.has_section(auth.profile):
        raise LookupError(f"add the profile {auth.profile} to {path}")
    settings = {key: value.strip() for key, value in parser.items(auth.profile) if value and value.strip()}
    if "auth_type" not in settings:
        shown = [
            name
            for name, needed in (("pat", {"token"}), ("oauth-m2m", {"client_id", "client_secret"}))
            if needed <= settings.keys()
        ]
        if len(shown) != 1:
            raise LookupError(f"give the profile {auth.profile} in {path} an auth_type")
        settings["auth_type"] = shown[0]
    needs = {"pat": ("token",), "oauth-m2m": ("client_id", "client_secret")}.get(settings["auth_type"], ())
    for name in needs:
        if name not in settings:
            raise LookupError(f"give the profile {auth.profile} in {path} a {name}")
    for name in ("token", "client_secret", "password", "azure_client_secret", "google_credentials"):
        remember(settings.get(name, ""))
    if settings["auth_type"] == "databricks-cli":  # the command-line tool reads the file by itself
        settings |= {"profile": auth.profile, "config_file": str(path)}
    return settings


def _host(host: str | HostFromEnv | None, auth: Auth) -> str:
    """Return the workspace's URL without a trailing slash. Raises LookupError with what to do."""
    if isinstance(host, str):
        value, where = host, "host"
    elif host is None and isinstance(auth, ProfileAuth):
        value, where = str(_profile_settings(auth).get("host", "")), f"host of the profile {auth.profile}"
    else:
        where = host.env if host is not None else "DATABRICKS_HOST"
        value = os.environ.get(where, "")
    return workspace_url(value, where)


_UNREACHABLE = {"ConnectionError", "Timeout", "TimeoutError", "MissingSchema", "ChunkedEncodingError"}
_TOKEN_SERVER_DOWN = ("temporarily_unavailable", "server_error", "unknown: unknown")


def auth_error(exc: BaseException) -> BackendError:
    """Return the error for whatever the SDK raised while it got a credential.

    The SDK wraps nearly everything in ValueError, so the causes are looked through, the first one last.
    """
    chain = list(_causes(exc))
    for cause in reversed(chain):
        found = sdk_error(cause)
        if found is not None:
            return found
        if {base.__name__ for base in type(cause).__mro__} & _UNREACHABLE:
            return Unavailable("the workspace's sign-in service could not be reached", retryable=True)
    text = sentence_of(exc)
    # The token server's status is lost in the SDK; a body that is not JSON is a proxy or an outage.
    if any(cause.args and isinstance(cause.args[0], bytes) for cause in chain) or any(
        mark in text for mark in _TOKEN_SERVER_DOWN
    ):
        return Unavailable(f"the workspace's sign-in service failed: {text}", retryable=True)
    return AuthenticationFailed(f"the workspace gave no token: {text}")


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__
