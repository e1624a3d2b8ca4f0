"""The rights that a call of the agent uses: the asking person's or its own, never one for the other.

Rights are made for one call and dropped with it. A person's token comes from where the agent runs: from
Model Serving, from Databricks Apps, or from the sign-in of chatlab's page. Where there is none, the call is
refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import SecretStr

from chatlab.agent.config import AgentConfig, Variable, Whom
from chatlab.databricks_sdk import (
    blank_settings,
    databricks_sdk,
    sdk_config,
    sdk_error,
    sentence_of,
    workspace_url,
)
from chatlab.errors import AuthenticationFailed, AuthRequired, NotReady
from chatlab.secret import remember

FORWARDED = "x-forwarded-access-token"
"""The header in which Databricks Apps hands on the token of the person who asks."""
AS_ME = "CHATLAB_AGENT_AS_ME"
"""The variable by which the commands that somebody tries an agent with say that the person is themselves."""

_TIMEOUT = 10  # seconds of the SDK's for one connection, and in all for its retries
_SIGN_IN_FIRST = "this agent uses the rights of the person who asks: sign in first"


@dataclass(frozen=True, slots=True)
class Rights:
    """The credentials of one call.

    user: the token of the person who asks, None where there is none. name: that person, as far as known.
    only: the one whose rights are used whatever the agent's file says; None leaves it to the file.
    """

    host: str
    user: SecretStr | None = field(default=None, repr=False)
    name: str | None = None
    only: Whom | None = None

    def whom(self, wanted: Whom) -> Whom:
        """Return whose rights are used where the file says `wanted`."""
        return self.only or wanted

    def token(self, wanted: Whom) -> SecretStr:
        """Return the token of whoever's rights are wanted.

        Raises AuthRequired where the person's is missing, NotReady where the service's is.
        """
        if self.whom(wanted) == "service":
            return service_token(self.host)
        if self.user is None or not self.user.get_secret_value().strip():
            raise AuthRequired(_SIGN_IN_FIRST)
        return self.user

    def described(self, wanted: Whom) -> str:
        """Return whose rights are used, in words."""
        if self.whom(wanted) == "service":
            return "the service"
        return self.name or "the person who asks"

    def client(self, wanted: Whom) -> Any:
        """Return a WorkspaceClient of the SDK with these rights, for this call alone."""
        return workspace_client(self.host, self.token(wanted))


def workspace_client(host: str, token: SecretStr) -> Any:
    """Return a WorkspaceClient that has this token and nothing of the environment."""
    remember(token.get_secret_value(), source="tokens of agents")
    config = sdk_config()
    given = {"host": host, "token": token.get_secret_value(), "auth_type": "pat"}
    timeouts = {"retry_timeout_seconds": _TIMEOUT, "http_timeout_seconds": 60}
    return databricks_sdk().WorkspaceClient(config=config(**{**blank_settings(config), **given, **timeouts}))


def host_of(config: AgentConfig) -> str:
    """Return the URL of the agent's workspace. Raises NotReady with what to do."""
    if in_model_serving():
        for name in ("DATABRICKS_MODEL_SERVING_HOST_URL", "DB_MODEL_SERVING_HOST_URL"):
            if os.environ.get(name):
                return os.environ[name].rstrip("/")
    host = config.host
    value, where = (os.environ.get(host.env, ""), host.env) if isinstance(host, Variable) else (host, "host")
    try:
        return workspace_url(value, where)
    except LookupError as exc:
        raise NotReady(str(exc.args[0])) from exc


def endpoint_of(config: AgentConfig) -> str:
    """Return the name of the model's endpoint. Raises NotReady."""
    endpoint = config.endpoint
    name = os.environ.get(endpoint.env, "").strip() if isinstance(endpoint, Variable) else endpoint
    if not name:
        raise NotReady(
            f"set {endpoint.env}" if isinstance(endpoint, Variable) else "give the agent an endpoint"
        )
    return name


def in_model_serving() -> bool:
    """Return whether this process is a container of Databricks Model Serving, as the SDK tells it."""
    names = ("IS_IN_DB_MODEL_SERVING_ENV", "IS_IN_DATABRICKS_MODEL_SERVING_ENV")
    return any(os.environ.get(name) == "true" for name in names)


def rights_here(config: AgentConfig, headers: Mapping[str, str] | None = None) -> Rights:
    """Return the rights of a call that reached the agent where it is served.

    headers: those of the request, in Databricks Apps or under MLflow's AgentServer; None in Model Serving.
    """
    host = host_of(config)
    if in_model_serving():
        return Rights(host, _served_person())
    token = _forwarded(headers or {}) or own_token()
    return Rights(host, None if token is None else SecretStr(token))


def _forwarded(headers: Mapping[str, str]) -> str | None:
    """Return the token that a request was sent with, by the platform or by the person's own client."""
    lower = {name.lower(): value for name, value in headers.items()}
    scheme, _, bearer = lower.get("authorization", "").partition(" ")
    return lower.get(FORWARDED) or (bearer.strip() if scheme.lower() == "bearer" else None) or None


def own_token() -> str | None:
    """Return the token of whoever runs this process, if they said that the person who asks is themselves."""
    if os.environ.get(AS_ME) != "1" or os.environ.get("DATABRICKS_APP_NAME"):
        return None
    token = os.environ.get("DATABRICKS_TOKEN", "").strip()
    if not token:
        raise NotReady("this agent uses the rights of the person who asks, here yours: set DATABRICKS_TOKEN")
    return token


def _served_person() -> SecretStr | None:
    """Return the token of whoever called the endpoint, read once, at the beginning of the call.

    The SDK's class falls back to the environment's own credential where it is not in Model Serving, and reads
    the token anew for each request, which may be another person's by then.
    """
    databricks_sdk()
    from databricks.sdk.credentials_provider import ModelServingAuthProvider, ModelServingUserCredentials

    if not ModelServingAuthProvider.should_fetch_model_serving_environment_oauth():
        return None
    try:
        headers = ModelServingUserCredentials()(sdk_config()(**_serving_host()))()
    except Exception as exc:
        raise AuthRequired(f"{_SIGN_IN_FIRST} (Model Serving gave no token of theirs)") from exc
    return SecretStr(headers["Authorization"].removeprefix("Bearer "))


def _serving_host() -> dict[str, str]:
    host = os.environ.get("DATABRICKS_MODEL_SERVING_HOST_URL") or os.environ.get("DB_MODEL_SERVING_HOST_URL")
    return {"host": host or "https://model-serving", "token": "none", "auth_type": "pat"}


def service_token(host: str) -> SecretStr:
    """Return the token of the agent itself.

    In Model Serving the SDK finds the endpoint's own. Elsewhere it is a service principal's
    (DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET, as Databricks Apps sets them) or DATABRICKS_TOKEN.
    Raises NotReady where neither is set, BackendError where the workspace gives no token.
    """
    given = {"host": host, "auth_type": "model-serving"} if in_model_serving() else _own_credential(host)
    made = _config(tuple(sorted(given.items())))
    try:
        headers = made.authenticate()
    except Exception as exc:
        error = sdk_error(exc) or AuthenticationFailed(f"the workspace gave no token: {sentence_of(exc)}")
        raise error from exc
    token = headers.get("Authorization", "").removeprefix("Bearer ")
    remember(token, source="tokens of agents")
    return SecretStr(token)


def _own_credential(host: str) -> dict[str, str]:
    get = os.environ.get
    if get("DATABRICKS_CLIENT_ID") and get("DATABRICKS_CLIENT_SECRET"):
        client = {
            "client_id": get("DATABRICKS_CLIENT_ID", ""),
            "client_secret": get("DATABRICKS_CLIENT_SECRET", ""),
        }
        return {"host": host, "auth_type": "oauth-m2m", **client}
    if token := get("DATABRICKS_TOKEN", "").strip():
        return {"host": host, "auth_type": "pat", "token": token}
    raise NotReady(
        "this agent uses rights of its own: set DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET, or "
        "DATABRICKS_TOKEN"
    )


@cache
def _config(given: tuple[tuple[str, str], ...]) -> Any:
    """Return the SDK's configuration of the service, whose token it renews. A person's is never here."""
    config = sdk_config()
    timeouts = {"retry_timeout_seconds": _TIMEOUT, "http_timeout_seconds": _TIMEOUT}
    blanks = blank_settings(config)
    # Where the SDK would find it by a further question to the workspace.
    blanks["discovery_url"] = f"{dict(given)['host']}/oidc/.well-known/oauth-authorization-server"
    try:
        return config(**{**blanks, **dict(given), **timeouts})
    except Exception as exc:
        error = sdk_error(exc) or AuthenticationFailed(f"the workspace gave no token: {sentence_of(exc)}")
        raise error from exc
