"""The permission or scope that is missing where a workspace refuses a call, and whom to ask for it."""

from __future__ import annotations

import re

from chatlab.errors import BackendError, PermissionDenied

_SCOPES = re.compile(r"required scopes?", re.I)
_NETWORK = re.compile(r"\bIP\b|network|private.link", re.I)


def refused_call(error: BackendError, endpoint: str, creator: str | None) -> BackendError:
    """Return a refusal with the scope or the permission that is missing. creator: of the endpoint, as the
    workspace says; None where it does not."""
    if _NETWORK.search(error.detail):
        return error
    if _SCOPES.search(error.detail):
        whom = "whoever runs this page adds it to auth.scopes, or to the user authorization of the app"
        return PermissionDenied(f"{error.detail}: {whom}", status=error.status)
    whom = f"ask {creator}, who made it" if creator else "ask an administrator of the workspace"
    missing = f"the endpoint {endpoint} takes the permission Can Query"
    return PermissionDenied(f"{error.detail}: {missing}; {whom}", status=error.status)
