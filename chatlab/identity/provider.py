"""A provider: where people sign in, by the authorization code flow with PKCE."""

from __future__ import annotations

import asyncio
import hmac
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from secrets import token_urlsafe
from time import monotonic
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from chatlab.config.auth import LOOPBACK, AtProvider, Oidc
from chatlab.credentials import ProtectedResource
from chatlab.errors import AuthRequired, MissingExtra, NotReady
from chatlab.identity.errors import ProviderAway, SignInRefused
from chatlab.identity.exchange import exchange_form, federated, refusal, tokens_of
from chatlab.identity.id_token import checked_claims
from chatlab.identity.person import Person
from chatlab.identity.tokens import ENDED, Tokens
from chatlab.secret import SecretRef
from chatlab.words import ENGLISH

_TIMEOUT = 10.0  # seconds of one request to the provider
_DISCOVERED_FOR = 3_600.0  # seconds for which the discovery document is taken for true


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """A sign-in that has begun; what comes back has to fit it. Only the browser that began it has this."""

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    back: str

    @classmethod
    def at(cls, redirect_uri: str, back: str) -> Self:
        """Return a new one. back: the page to return to, below the address of the pages."""
        return cls(token_urlsafe(32), token_urlsafe(32), token_urlsafe(48), redirect_uri, back)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    def require_state_of(self, answer: Mapping[str, str]) -> None:
        """Raise SignInRefused for an answer to another sign-in."""
        if not hmac.compare_digest(answer.get("state", "").encode(), self.state.encode()):
            raise SignInRefused("refusal.other-begun")


@dataclass(frozen=True, slots=True)
class Discovered:
    """The provider's discovery document."""

    issuer: str
    authorization: str
    token: str
    keys: str | None
    userinfo: str | None
    end_session: str | None
    names_issuer: bool
    takes_post: bool


class SignInProvider(ABC):
    """The place where the people of a configuration sign in. Used in the event loop alone. Raise NotReady,
    MissingExtra.

    resource: the URL of the service whose tokens are stored, so that it can be asked as the person; None
    where none are. exchanges: whether its tokens may be sent on to other services that backends name, as they
    are or in exchange.
    """

    resource: str | None = None
    exchanges: bool = False

    @abstractmethod
    async def sign_in_url(self, begun: BegunSignIn) -> str:
        """Return where a person is to be sent for signing in. Raise ProviderAway."""

    @abstractmethod
    async def arrived(self, begun: BegunSignIn, answer: Mapping[str, str]) -> tuple[Person, Tokens | None]:
        """Return who came back, and the tokens that are to be kept. answer: the parameters that the provider
        sent them back with. Raise SignInRefused and ProviderAway.
        """

    async def renewed(self, tokens: Tokens) -> Tokens:
        """Return new tokens for old ones. Raise AuthRequired where the provider gives none, ProviderAway."""
        raise AuthRequired(ENDED)

    def passes_on(self, resource: ProtectedResource) -> bool:
        """Return whether its tokens may be sent as they are to another service that a backend names."""
        return self.exchanges

    async def exchanged(self, resource: ProtectedResource, tokens: Tokens) -> Tokens:
        """Return a person's tokens for another resource. Raise AuthRequired, PermissionDenied, and
        ProviderAway."""
        raise AuthRequired(ENGLISH("refusal.no-other-tokens"))

    async def sign_out_url(self, back: str) -> str | None:
        """Return where a person signs out of the provider, if it offers that. back: a whole URL."""
        return None

    def require_known(self, person: Person) -> None:
        """Raise SignInRefused for somebody who could not sign in any more as they did."""
        if person.proof is not None:
            raise SignInRefused("refusal.no-passwords")


class CodeFlowProvider(SignInProvider):
    """A provider that people are sent to, and come back from with a code.

    discovery: the URL of what it says about itself.
    """

    def __init__(self, config: AtProvider, discovery: str, scopes: Sequence[str]) -> None:
        try:
            from authlib.integrations.httpx_client import AsyncOAuth2Client
        except ModuleNotFoundError as exc:
            raise MissingExtra("auth", "auth", "authlib", what="signing in") from exc
        self._client_class = AsyncOAuth2Client
        self._discovery = discovery
        self._scopes = tuple(scopes)
        self.client_id = _read("client_id", config.client_id)
        secret = config.client_secret
        self._secret = None if secret is None else _read("client_secret", secret)
        self._known: tuple[Discovered, float] | None = None
        self._discovering = asyncio.Lock()

    async def sign_in_url(self, begun: BegunSignIn) -> str:
        known = await self._discovered()
        async with self._client(known, begun.redirect_uri) as client:
            # A nonce is for the ID token, and refused by some who are asked for none.
            nonce = {"nonce": begun.nonce} if "openid" in self._scopes else {}
            url, _ = client.create_authorization_url(
                known.authorization, state=begun.state, code_verifier=begun.verifier, **nonce
            )
        return str(url)

    @abstractmethod
    async def _person(self, known: Discovered, begun: BegunSignIn, tokens: Mapping[str, Any]) -> Person:
        """Return who signed in. Raise SignInRefused and ProviderAway."""

    async def arrived(self, begun: BegunSignIn, answer: Mapping[str, str]) -> tuple[Person, Tokens | None]:
        known = await self._discovered()
        begun.require_state_of(answer)
        # https://www.rfc-editor.org/rfc/rfc9207: an answer of another provider is not taken to this one.
        if answer.get("iss", None if known.names_issuer else known.issuer) != known.issuer:
            raise SignInRefused("refusal.other-provider")
        if "error" in answer:
            raise SignInRefused("refusal.provider-refused", error=_word(answer["error"]))
        if not answer.get("code"):
            raise SignInRefused("refusal.no-code")
        tokens = await self._exchanged(known, begun, answer["code"])
        person = await self._person(known, begun, tokens)
        return person, Tokens.of(tokens) if self.resource is not None else None

    async def renewed(self, tokens: Tokens) -> Tokens:
        from authlib.common.errors import AuthlibBaseError
        from httpx2 import HTTPError

        if tokens.refresh is None:
            raise AuthRequired(ENDED)
        known = await self._discovered()
        try:
            async with self._client(known) as client:
                client.scope = None  # what was given: it may be less than was asked for, and more is refused
                said = await client.refresh_token(known.token, refresh_token=tokens.refresh)
        except AuthlibBaseError:
            raise AuthRequired(ENDED) from None
        except (HTTPError, ValueError) as exc:
            raise ProviderAway(_AWAY) from exc
        return Tokens.of(said, tokens)

    async def exchanged(self, resource: ProtectedResource, tokens: Tokens) -> Tokens:
        from authlib.common.errors import AuthlibBaseError
        from httpx2 import HTTPError

        if resource.grant == "federation":
            return await federated(resource, tokens)
        known, form = await self._discovered(), exchange_form(resource, tokens)
        try:
            async with self._client(known) as client:
                client.scope = None  # that of the sign-in, which nobody asks for here
                said = await client.fetch_token(known.token, **form)
        except AuthlibBaseError as exc:
            raise refusal(resource, known.token, exc.error, exc.description or "") from None
        except (HTTPError, ValueError) as exc:
            raise ProviderAway(_AWAY) from exc
        return tokens_of(resource, known.token, said)

    async def sign_out_url(self, back: str) -> str | None:
        try:
            known = await self._discovered()
        except ProviderAway:
            return None
        if known.end_session is None:
            return None
        # By the client's id, not by the ID token: no token is in an address, or comes to a browser at all.
        given = urlencode({"client_id": self.client_id, "post_logout_redirect_uri": back})
        return f"{known.end_session}{'&' if '?' in known.end_session else '?'}{given}"

    def _client(self, known: Discovered | None, redirect_uri: str | None = None) -> Any:
        from chatlab.http import ssl_context

        post = known is not None and known.takes_post
        method = "none" if self._secret is None else "client_secret_post" if post else "client_secret_basic"
        return self._client_class(
            client_id=self.client_id,
            client_secret=self._secret,
            scope=" ".join(self._scopes),
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method=method,
            verify=ssl_context(),
            timeout=_TIMEOUT,
        )

    async def _discovered(self) -> Discovered:
        async with self._discovering:  # whoever comes meanwhile has the same answer
            if self._known is None or monotonic() - self._known[1] > _DISCOVERED_FOR:
                self._known = (self._read(await self._json(self._discovery)), monotonic())
            return self._known[0]

    async def _exchanged(self, known: Discovered, begun: BegunSignIn, code: str) -> Mapping[str, Any]:
        from authlib.common.errors import AuthlibBaseError
        from httpx2 import HTTPError

        try:
            async with self._client(known, begun.redirect_uri) as client:
                tokens: Mapping[str, Any] = await client.fetch_token(
                    known.token, code=code, code_verifier=begun.verifier, grant_type="authorization_code"
                )
        except AuthlibBaseError as exc:
            raise SignInRefused("refusal.code-refused", error=_word(exc.error)) from None
        except (HTTPError, ValueError) as exc:
            raise ProviderAway(_AWAY) from exc
        return tokens

    def _read(self, said: Mapping[str, Any]) -> Discovered:
        return discovered(said)

    async def _json(self, url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        from httpx2 import AsyncClient, HTTPError

        from chatlab.http import ssl_context

        try:
            async with AsyncClient(verify=ssl_context(), timeout=_TIMEOUT) as client:
                answer = await client.get(url, headers={"accept": "application/json", **(headers or {})})
                answer.raise_for_status()
                value = answer.json()
        except (HTTPError, ValueError, LookupError) as exc:
            raise ProviderAway(_AWAY) from exc
        if not isinstance(value, dict):
            raise ProviderAway(_AWAY)
        return value


class OidcProvider(CodeFlowProvider):
    """A provider of OpenID Connect, which says by an ID token who somebody is.

    groups: whether a person's groups are of use, though nobody is let in by them.
    """

    def __init__(self, config: Oidc, *, stores_tokens: bool = False, groups: bool = False) -> None:
        super().__init__(config, config.discovery, config.scopes)
        self._config = config
        self._groups = groups
        self.exchanges = stores_tokens
        self.resource = ProtectedResource(config.discovery).origin if stores_tokens else None

    async def _person(self, known: Discovered, begun: BegunSignIn, tokens: Mapping[str, Any]) -> Person:
        if known.keys is None:
            raise ProviderAway(_AWAY)
        keys = await self._json(known.keys)
        claims = await asyncio.to_thread(
            checked_claims,
            str(tokens.get("id_token", "")),
            keys,
            issuer=known.issuer,
            client_id=self.client_id,
            nonce=begun.nonce,
        )
        whole = await self._completed(known, claims, tokens.get("access_token"))
        return Person.of(whole, self._config.groups_claim)

    async def _completed(self, known: Discovered, claims: dict[str, Any], token: Any) -> dict[str, Any]:
        """Return the claims with what some providers say only when they are asked for it."""
        wanted = {"email": "email", "name": "profile"}
        missing = [
            name for name, scope in wanted.items() if scope in self._config.scopes and name not in claims
        ]
        ungrouped = self._config.groups_claim not in claims
        if self._config.allowed.groups and ungrouped:
            missing.append(self._config.groups_claim)
        of_use = bool(missing) or (self._groups and ungrouped)
        if not of_use or known.userinfo is None or not isinstance(token, str):
            return claims
        try:
            said = await self._json(known.userinfo, {"authorization": f"Bearer {token}"})
        except ProviderAway:
            if missing:
                raise
            return claims
        if said.get("sub") != claims["sub"]:
            raise SignInRefused("refusal.not-believed", reason="the provider gave details of somebody else")
        whole = {**said, **claims}
        if "email" in claims:  # what was verified is the address beside which it is said
            whole["email_verified"] = claims.get("email_verified")
        return whole


_AWAY = "refusal.provider-away"


def discovered(said: Mapping[str, Any]) -> Discovered:
    """Return what a discovery document says. Raise ProviderAway if it leaves out what is needed."""

    def url(name: str) -> str | None:
        value = said.get(name)
        if not isinstance(value, str):
            return None
        parts = urlsplit(value)
        encrypted = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
        return value if encrypted else None

    issuer, authorization, token = said.get("issuer"), url("authorization_endpoint"), url("token_endpoint")
    if not (isinstance(issuer, str) and authorization and token):
        raise ProviderAway(_AWAY)
    if "{" in issuer:  # Entra's common and organizations: there each tenant is an issuer of its own
        raise ProviderAway("refusal.no-tenant")
    methods = said.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    return Discovered(
        issuer,
        authorization,
        token,
        url("jwks_uri"),
        url("userinfo_endpoint"),
        url("end_session_endpoint"),
        said.get("authorization_response_iss_parameter_supported") is True,
        "client_secret_basic" not in methods,
    )


def _read(name: str, given: str | SecretRef) -> str:
    if isinstance(given, str):
        return given
    try:
        return given.resolve().get_secret_value()
    except LookupError as exc:
        raise NotReady(f"auth.{name}: {exc}") from exc


def _word(text: Any) -> str:
    """Return an error's code as a provider may send it: https://www.rfc-editor.org/rfc/rfc6749#section-5.2."""
    word = str(text)
    return (
        word if len(word) <= 60 and word.isascii() and word.replace("_", "").isalnum() else "an unknown error"
    )
