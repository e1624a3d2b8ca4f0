"""Signing in as a server does it: a sign-in begins, comes back from the provider, and is a session."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

from pydantic import SecretStr

from chatlab.config.auth import Basic, Databricks, HuggingFaceSpace, Oidc, SignedIn
from chatlab.credentials import ProtectedResource
from chatlab.errors import AuthRequired, NotReady
from chatlab.identity.databricks import DatabricksProvider
from chatlab.identity.errors import SignInRefused
from chatlab.identity.exchange import Exchanges
from chatlab.identity.passwords import PasswordProvider
from chatlab.identity.person import Person
from chatlab.identity.provider import BegunSignIn, OidcProvider, SignInProvider
from chatlab.identity.sealing import Seal, session_keys
from chatlab.identity.sessions import Session, Sessions
from chatlab.identity.tokens import ENDED, PersonTokens, Tokens
from chatlab.store import now
from chatlab.store.sign_ins import SignIns
from chatlab.words import ENGLISH

PATIENCE = 600
"""Seconds that a person may take to sign in at the provider."""


class SignInService:
    """Signs people in at the provider of a configuration. Used in the event loop alone.

    stores_tokens: whether a backend is asked with people's own tokens, which are not stored otherwise.
    groups: whether people's groups are of use for more than letting them in.
    Raise NotReady where a secret is missing, MissingExtra where a library is.
    """

    def __init__(
        self,
        given: SignedIn,
        rows: Callable[[], Awaitable[SignIns]],
        *,
        stores_tokens: bool = False,
        groups: bool = False,
    ) -> None:
        self.config = config = _resolved(given)
        self._rows = rows
        self.provider = _provider(config, stores_tokens, groups)
        keys = session_keys(config.keys)
        self._began = Seal(keys, "sign-in that has begun")
        self.sessions = Sessions(config, Seal(keys, "session"), rows, self.provider.require_known)
        self._tokens = PersonTokens(Seal(keys, "tokens"), rows, self.provider.renewed)
        self._exchanges = Exchanges()

    async def begin(self, redirect_uri: str, back: str) -> tuple[str, str, str]:
        """Return where to send a person, the name under which their browser has what began, and that, sealed.

        back: the page to return to. Raise ProviderAway.
        """
        begun = BegunSignIn.at(redirect_uri, back)
        url = await self.provider.sign_in_url(begun)
        return url, short_name(begun.state), self._began.sealed(begun.as_dict())

    def back_of(self, sealed: str) -> str | None:
        """Return the page that a sign-in which a browser began leads back to; None if it began none, or a
        while ago."""
        opened = self._began.opened(sealed, most_seconds=PATIENCE)
        return None if opened is None else BegunSignIn(**opened).back

    async def finish(
        self, answer: Mapping[str, str], sealed: str, *, instead_of: str | None
    ) -> tuple[str, str, Person]:
        """Return the id of a new session, the page to return to, and who is signed in.

        answer: what the provider sent the browser back with. sealed: what that browser had. instead_of: the
        id of its session until now. Raise SignInRefused, ProviderAway, StoreError.
        """
        opened = self._began.opened(sealed, most_seconds=PATIENCE)
        if opened is None:
            raise SignInRefused("refusal.not-begun")
        begun = BegunSignIn(**opened)
        if answer.get("state") == begun.state:
            spent = hashlib.sha256(begun.state.encode()).hexdigest()
            if not await (await self._rows()).spend(spent, now() + timedelta(seconds=2 * PATIENCE)):
                raise SignInRefused("refusal.used")
        person, tokens = await self.provider.arrived(begun, answer)

        def sealed_tokens(key: str) -> str | None:
            return None if tokens is None else self._tokens.sealed(key, tokens)

        session_id = await self.sessions.begin(person, instead_of=instead_of, tokens=sealed_tokens)
        return session_id, begun.back, person

    async def credential(self, session: Session, resource: ProtectedResource) -> SecretStr:
        """Return a person's own token for a resource: the one that it gave them where they signed in there;
        where the resource says so, the provider's or one in exchange for it.

        Raise AuthRequired for any other, and where their sign-in has ended; PermissionDenied where the
        provider gives none for it; ProviderAway, StoreError.
        """
        provider, key = self.provider, session.key
        there = provider.resource is not None and resource.origin == provider.resource
        as_it_is = resource.grant == "pass_through" and provider.passes_on(resource)
        if not (there or as_it_is) and (resource.grant == "own" or not provider.exchanges):
            raise AuthRequired(ENGLISH("refusal.sign-in-there"))
        if not await self.sessions.goes_on(session):
            self._exchanges.forget(key)
            raise AuthRequired(ENDED)
        if resource.grant in ("own", "pass_through"):
            return SecretStr(await self._tokens.access(key))

        async def exchanged() -> Tokens:
            return await provider.exchanged(resource, await self._tokens.current(key))

        return SecretStr(await self._exchanges.token(key, resource, exchanged))


def short_name(state: str) -> str:
    """Return a name for what began with a state, so that several tabs of a browser can sign in at once."""
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _resolved(given: SignedIn) -> Oidc | Databricks | Basic:
    if not isinstance(given, HuggingFaceSpace):
        return given
    try:
        return given.oidc()
    except LookupError as exc:
        raise NotReady(f"auth: {exc}") from exc


def _provider(config: Oidc | Databricks | Basic, stores_tokens: bool, groups: bool) -> SignInProvider:
    match config:
        case Basic():
            return PasswordProvider(config)
        case Databricks():
            return DatabricksProvider(config)
        case Oidc():
            return OidcProvider(config, stores_tokens=stores_tokens, groups=groups)
