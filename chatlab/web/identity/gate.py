"""The gate of a lab's pages: the one for how its people sign in."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from starlette.middleware import Middleware

from chatlab.config.auth import AzureAppService, Basic, DatabricksApps
from chatlab.errors import ConfigError, MissingExtra, NotReady, StoreError
from chatlab.identity.forwarded import platform_of
from chatlab.identity.service import SignInService
from chatlab.lab import Lab
from chatlab.store.sign_ins import SignIns
from chatlab.web.identity.documents import SignInPages
from chatlab.web.identity.gates.forwarded import ForwardedGate
from chatlab.web.identity.gates.passwords import PasswordGate
from chatlab.web.identity.gates.sessions import SessionGate
from chatlab.web.shared.asked import audit_of
from chatlab.web.shared.limits import limits_of
from chatlab.web.shared.page_words import page_words


def sign_in_gate(lab: Lab, path: str) -> Middleware:
    """Return the gate of a lab's pages below a path.

    Raise ConfigError where a secret, a library or the platform is missing: a page that nobody could sign in
    at, or anybody could by a header, is not served.
    """
    assert lab.config is not None
    config = lab.config.auth
    around: dict[str, Any] = {
        "audit": audit_of(lab),
        "limits": limits_of(lab),
        "pages": SignInPages(page_words(lab.config.ui)),
        "path": path,
        "root_path": lab.config.server.root_path,
    }
    if isinstance(config, DatabricksApps | AzureAppService):
        try:
            platform = platform_of(config)
        except (NotReady, MissingExtra) as exc:
            raise ConfigError([str(exc)]) from None
        return Middleware(ForwardedGate, config=config, platform=platform, **around)
    gate = PasswordGate if isinstance(config, Basic) else SessionGate
    return Middleware(gate, service=sign_in_service(lab), **around)


_services: WeakKeyDictionary[Lab, SignInService] = WeakKeyDictionary()


def sign_in_service(lab: Lab) -> SignInService:
    """Return what signs people in at a lab's pages: the same for all of them. Raise ConfigError as
    `sign_in_gate` does."""
    assert lab.config is not None and lab.config.auth is not None
    assert not isinstance(lab.config.auth, DatabricksApps | AzureAppService)
    if lab in _services:
        return _services[lab]

    async def rows() -> SignIns:
        storage = await lab.storage()
        if storage is None:
            raise StoreError("auth needs storage: it has who is signed in")
        return storage.store.sign_ins

    own = any(entry.cls.as_person(entry.config.options) for entry in lab.backends.values())
    sharing = lab.config.storage is not None and lab.config.storage.sharing  # with people of some groups
    try:
        service = SignInService(lab.config.auth, rows, stores_tokens=own, groups=sharing)
        return _services.setdefault(lab, service)
    except (NotReady, MissingExtra) as exc:
        raise ConfigError([str(exc)]) from None
