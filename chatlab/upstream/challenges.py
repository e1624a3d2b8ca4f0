"""The scope that a token lacks, as a service says it: https://www.rfc-editor.org/rfc/rfc6750#section-3."""

from __future__ import annotations

import re
from collections.abc import Mapping

from chatlab.errors import BackendError, PermissionDenied

_LONGEST = 100  # characters of a scope's name


def with_challenge(error: BackendError, headers: Mapping[str, str]) -> BackendError:
    """Return the error of a reply, with the scope that its `WWW-Authenticate` asks for, and whom to ask.

    headers: the reply's, in which upper and lower case are the same, as the HTTP libraries have them.
    """
    given = dict(re.findall(r'(\w+)="([^"]*)"', headers.get("www-authenticate", "")))
    if error.status not in (401, 403) or given.get("error") != "insufficient_scope":
        return error
    scope = given.get("scope", "")[:_LONGEST]
    lacks = f"the token lacks the scope {scope}" if scope else "the token lacks a scope"
    whom = "whoever runs this page has it asked for at sign-in"
    return PermissionDenied(f"{error.detail}: {lacks}; {whom}", status=error.status)
