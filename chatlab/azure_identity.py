"""Tokens of Entra ID for the service itself, instead of keys and passwords: by the identity that is written.

The libraries (extra `azure`) are imported when the first token is asked for.
"""

from __future__ import annotations

import asyncio
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from chatlab.errors import AuthenticationFailed, ChatlabError, MissingExtra, NotReady, Unavailable
from chatlab.installing import how_to_install
from chatlab.secret import remember

_OF_A_POD = ("AZURE_AUTHORITY_HOST", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE")
_EARLY = 300.0  # seconds before its end from which a token is replaced


class AzureIdentity(BaseModel):
    """An identity that Azure gives a service."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    type: Literal["managed_identity", "workload_identity", "azure_default"] = Field(
        description="The managed identity of the machine, app or container; the workload identity of a pod; "
        "or what azure-identity's DefaultAzureCredential finds, on a developer's machine for instance."
    )
    client_id: str | None = Field(
        None, description="Client id of the identity, where there are several; not with azure_default."
    )


class Token(NamedTuple):
    """A token, and its end by the clock of `time.time`."""

    value: str
    ends: float

    def __repr__(self) -> str:
        return "<Token>"


class AzureTokens:
    """The tokens of one identity for one scope: each is asked for once however many ask, until it ends.

    Of any thread and any event loop: one thread of its own asks.
    """

    def __init__(self, identity: AzureIdentity, scope: str) -> None:
        self._identity = identity
        self._scope = scope
        self._thread = ThreadPoolExecutor(1, "azure-tokens")
        self._credential: Any = None
        self._held: Token | None = None

    def __repr__(self) -> str:
        return f"<AzureTokens by {self._identity.type} for {self._scope}>"

    async def token(self) -> Token:
        """Return a token that is good now. Raise NotReady, MissingExtra, and BackendError."""
        held = self._held
        if held is not None and _lasts(held):
            return held
        return await asyncio.wrap_future(self._thread.submit(self._current))

    def token_now(self) -> Token:
        """Return what `token` does, and wait for it in this thread."""
        held = self._held
        return held if held is not None and _lasts(held) else self._thread.submit(self._current).result()

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _current(self) -> Token:
        if self._held is None or not _lasts(self._held):
            if self._credential is None:
                self._credential = credential(self._identity)
            try:
                # The library holds a token longer than it is wanted here; this one asks for a new one.
                found = self._credential.get_token(self._scope)
            except Exception as exc:
                raise _error(exc, self._identity, self._scope) from exc
            remember(found.token, source="tokens of Entra ID")
            self._held = Token(found.token, float(found.expires_on))
        return self._held


def credential(identity: AzureIdentity) -> Any:
    """Return the library's credential for an identity. Raise MissingExtra, NotReady."""
    try:
        from azure import identity as library
    except ModuleNotFoundError as exc:
        raise MissingExtra("azure", "azure", "azure-identity", what=f"{identity.type}") from exc
    if identity.type == "managed_identity" and all(os.environ.get(name) for name in _OF_A_POD):
        # The library would take that in place of the machine's, and say nothing of it.
        raise NotReady("managed_identity: this is a pod with a workload identity: write workload_identity")
    named = {} if identity.client_id is None else {"client_id": identity.client_id}
    try:
        if identity.type == "managed_identity":
            return library.ManagedIdentityCredential(**named)
        if identity.type == "workload_identity":
            return library.WorkloadIdentityCredential(**named)
        return library.DefaultAzureCredential()
    except ValueError as exc:
        raise NotReady(f"{identity.type}: this is not a place that has one ({exc})") from exc


def azure_problem() -> str | None:
    """Return what to do before tokens can be asked for, or None. Imports nothing."""
    with suppress(ModuleNotFoundError):
        if find_spec("azure.identity") is not None:
            return None
    return how_to_install("azure")


def _lasts(token: Token) -> bool:
    return token.ends - _EARLY > time.time()


def _error(exc: Exception, identity: AzureIdentity, scope: str) -> ChatlabError:
    names = {base.__name__ for base in type(exc).__mro__}
    said = _said(exc)
    if "CredentialUnavailableError" in names:
        return NotReady(f"{identity.type} is not to be had here ({said})")
    if "ServiceRequestError" in names or "ServiceResponseError" in names:
        return Unavailable(f"the token service of {identity.type} cannot be reached: {said}", retryable=True)
    return AuthenticationFailed(f"{identity.type} got no token for {scope}: {said}")


def _said(exc: Exception) -> str:
    """Return what the library says, in one line: of several that it tried, which, and why the last was the
    last."""
    lines = str(exc).splitlines() or [type(exc).__name__]
    tried = [line.strip().partition(": ") for line in lines if line.startswith("\t")]
    if not tried:
        return lines[0]
    return f"tried {', '.join(name for name, _, _ in tried)}: {tried[-1][2]}"
