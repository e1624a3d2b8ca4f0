"""The Databricks SDK, called with what it is given and with nothing else of the environment.

Only what makes a `Config` of it and what it raises; used by the backend `databricks` and by the agent.
"""

from __future__ import annotations

from functools import cache
from threading import RLock
from typing import Any
from urllib.parse import urlsplit

from chatlab.errors import BackendError, Unavailable, classify

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
# Status of each public exception of databricks.sdk.errors, by class name; the closest base decides.
_SDK_STATUS: dict[str, int] = {
    "BadRequest": 400,
    "Unauthenticated": 401,
    "PermissionDenied": 403,
    "NotFound": 404,
    "ResourceConflict": 409,
    "TooManyRequests": 429,
    "Cancelled": 499,
    "InternalError": 500,
    "NotImplemented": 501,
    "TemporarilyUnavailable": 503,
    "DeadlineExceeded": 504,
}
_SDK_UNAVAILABLE = {"OperationFailed", "OperationTimeout", "DatabricksError"}


_importing = RLock()


def databricks_sdk() -> Any:
    """Return the module `databricks.sdk`, imported by one thread alone.

    Its modules need each other: of two threads that import it at once, one gets half of it.
    """
    with _importing:
        import databricks.sdk

        return databricks.sdk


@cache
def sdk_config() -> Any:
    """Return the SDK's `Config` without its look at the workspace's metadata.

    That look is a guess at what a profile leaves out. Where the route hangs it costs six seconds a backend,
    and where it fails the SDK writes a sentence of its own to the log. There is no setting for it.
    """
    with _importing:  # a second thread would go through the class while the first writes into it
        databricks_sdk()
        from databricks.sdk.config import Config

        Config.attributes()  # a class remembers those that stand in itself: here, where they are, and first
        return type("Config", (Config,), {"_resolve_host_metadata": lambda self: None})


def blank_settings(config: Any) -> dict[str, Any]:
    """Return a blank value for each setting that the SDK would otherwise read from the environment."""
    blanks: dict[Any, Any] = {bool: False, int: 0, float: 0.0}
    return {a.name: blanks.get(a.transform, "") for a in config.attributes() if a.env}


def workspace_url(value: str, where: str) -> str:
    """Return a workspace's URL without a trailing slash. Raises LookupError with what to do.

    where: what holds the URL, as a person knows it.
    """
    value = value.strip()
    if not value:
        raise LookupError(f"set {where}")
    parts = urlsplit(value if "://" in value else f"https://{value}")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise LookupError(
            f"set {where} to the URL of a workspace, such as https://dbc-1234.cloud.databricks.com"
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise LookupError(f"set {where} to an https URL: the token would travel unencrypted")
    return f"{parts.scheme}://{parts.netloc}"


def sdk_error(exc: BaseException) -> BackendError | None:
    """Return the error for an exception of databricks.sdk.errors; None for any other."""
    for base in type(exc).__mro__:
        if not base.__module__.startswith("databricks.sdk.errors"):
            continue
        if base.__name__ in _SDK_STATUS:
            retry_after = getattr(exc, "retry_after_secs", None)
            return classify(
                _SDK_STATUS[base.__name__],
                sentence_of(exc),
                code=getattr(exc, "error_code", None),
                retry_after=float(retry_after) if retry_after is not None else None,
            )
        if base.__name__ in _SDK_UNAVAILABLE:
            return Unavailable(sentence_of(exc))
    return None


def sentence_of(exc: BaseException) -> str:
    """Return what happened, without the SDK's listing of its whole configuration and of the environment."""
    return str(exc).split(". Config:")[0].split(". Env:")[0] or type(exc).__name__
