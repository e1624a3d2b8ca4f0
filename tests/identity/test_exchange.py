"""Tokens for other services: got for the person who asks, once however many ask, and for nothing else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab.config.auth import Oidc as OidcConfig
from chatlab.credentials import ProtectedResource
from chatlab.errors import AuthRequired, PermissionDenied
from chatlab.identity.errors import ProviderAway
from chatlab.identity.exchange import Exchanges
from chatlab.identity.service import SignInService
from chatlab.identity.sessions import Session
from chatlab.identity.tokens import Tokens
from chatlab.secret import SecretRef
from chatlab.store.sign_ins import SignIns
from chatlab.store.sql import SqlStore
from tests.servers.exchanging import CANARY, Exchanging
from tests.servers.front import Front
from tests.servers.oidc import CLIENT, SECRET

GATEWAY = ProtectedResource("https://gateway.example/v1", "exchange", None, "gateway")
ENTRA = ProtectedResource("https://adb-1.azuredatabricks.net", "on_behalf_of", "2ff814a6/.default")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Exchanging]:
    monkeypatch.setenv("CHATLAB_TEST_CLIENT", SECRET)
    with Exchanging() as server:
        yield server


@pytest.fixture
def service(provider: Exchanging, store: SqlStore) -> SignInService:
    return service_of(provider, store)


def service_of(provider: Exchanging, store: SqlStore, *, stores_tokens: bool = True) -> SignInService:
    async def rows() -> SignIns:
        return store.sign_ins

    config = OidcConfig(
        type="oidc",
        discovery=f"{provider.issuer}/.well-known/openid-configuration",
        client_id=CLIENT,
        client_secret=SecretRef(env="CHATLAB_TEST_CLIENT"),
    )
    return SignInService(config, rows, stores_tokens=stores_tokens)


async def signed_in(service: SignInService, provider: Exchanging, sub: str) -> Session:
    session = await service.sessions.find(await begun(service, provider, sub))
    assert session is not None
    return session


async def begun(service: SignInService, provider: Exchanging, sub: str) -> str:
    """The id of a new session."""
    url, _, sealed = await service.begin("http://chat.example/auth/callback", "/")
    query = dict(parse_qsl(urlsplit(url).query))
    code = provider.code(query, {"sub": sub, "name": sub, "email": f"{sub}@example.org"})
    answer = {"code": code, "state": query["state"], "iss": provider.issuer}
    return (await service.finish(answer, sealed, instead_of=None))[0]


async def test_each_person_has_tokens_of_their_own_for_each_resource_got_once(
    service: SignInService, provider: Exchanging
) -> None:
    people = [await signed_in(service, provider, name) for name in ("ann", "bob")]
    asked = [(one, resource) for _ in range(50) for one in people for resource in (GATEWAY, ENTRA)]
    got = await asyncio.gather(*(service.credential(one, resource) for one, resource in asked))
    for (one, resource), token in zip(asked, got, strict=True):
        claims = provider.of(token.get_secret_value())
        assert claims["sub"] == one.person.subject and CANARY not in repr(token)
        assert claims["aud"] == (resource.audience or resource.scope)
    assert len(provider.exchanges) == 4
    assert CANARY not in repr(service._exchanges)


async def test_a_token_that_is_about_to_end_is_got_anew(service: SignInService, provider: Exchanging) -> None:
    ann = await signed_in(service, provider, "ann")
    provider.lifetime = 30  # of less than a minute: to be got anew each time
    first = await service.credential(ann, GATEWAY)
    assert (await service.credential(ann, GATEWAY)) != first
    assert len(provider.exchanges) == 2


async def test_the_providers_token_goes_as_it_is_where_the_configuration_says_so_and_nowhere_else(
    service: SignInService, provider: Exchanging, store: SqlStore
) -> None:
    ann = await signed_in(service, provider, "ann")
    token = await service.credential(ann, ProtectedResource("https://gateway.example", "pass_through"))
    assert provider.of(token.get_secret_value())["aud"] == "chatlab" and provider.exchanges == []
    for url in ("https://gateway.example", "https://adb-1.azuredatabricks.net", "https://huggingface.co"):
        with pytest.raises(AuthRequired, match="did not sign in there"):
            await service.credential(ann, ProtectedResource(url))
    not_asked = service_of(provider, store, stores_tokens=False)
    bob = await signed_in(not_asked, provider, "bob")
    row = await store.sign_ins.get(bob.key)
    assert row is not None and row.tokens is None
    with pytest.raises(AuthRequired, match="did not sign in there"):
        await not_asked.credential(bob, ProtectedResource("https://gateway.example", "pass_through"))


async def test_after_signing_out_there_is_no_token_though_one_was_got(
    service: SignInService, provider: Exchanging
) -> None:
    session_id = await begun(service, provider, "ann")
    ann = await service.sessions.find(session_id)
    assert ann is not None and await service.credential(ann, GATEWAY)
    await service.sessions.end(session_id)
    with pytest.raises(AuthRequired, match="Your sign-in has ended"):
        await service.credential(ann, GATEWAY)
    assert repr(service._exchanges) == "<Exchanges with 0 tokens>"


REFUSALS = [
    ({"error": "invalid_grant", "error_description": "AADSTS65001: The user has not consented; " + CANARY},
     PermissionDenied, "consent to 2ff814a6/.default is missing; an administrator of the tenant grants it"),
    ({"error": "interaction_required", "error_description": "more is needed"}, PermissionDenied, "consent"),
    ({"error": "invalid_grant", "error_description": "AADSTS500131: audience"}, PermissionDenied,
     "adds a scope of its own, api://CLIENT-ID/NAME, to auth.scopes"),
    ({"error": "invalid_scope"}, PermissionDenied, r"for 2ff814a6/.default in exchange for yours"),
    ({"error": "unauthorized_client"}, PermissionDenied, "has the application allowed to ask for it there"),
    ({"error": "invalid_grant"}, AuthRequired, "sign in again"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "kind", "sentence"), REFUSALS)
async def test_a_refusal_says_who_refused_which_scope_and_whom_to_ask(
    service: SignInService, provider: Exchanging, said: dict[str, str], kind: type[Exception], sentence: str
) -> None:
    ann = await signed_in(service, provider, "ann")
    provider.refuses = said
    with pytest.raises(kind, match=sentence) as raised:
        await service.credential(ann, ENTRA)
    host = urlsplit(provider.issuer).netloc
    assert host in str(raised.value) and said["error"] in str(raised.value)
    assert CANARY not in str(raised.value)


async def test_a_provider_that_is_away_is_said_and_asked_again_the_next_time(
    service: SignInService, provider: Exchanging
) -> None:
    ann = await signed_in(service, provider, "ann")
    provider.front.fail(503)
    with pytest.raises(ProviderAway):
        await service.credential(ann, GATEWAY)
    assert await service.credential(ann, GATEWAY)


async def test_a_workspace_gives_a_token_for_the_providers(
    service: SignInService, provider: Exchanging
) -> None:
    ann = await signed_in(service, provider, "ann")
    with Front() as workspace:
        forms: list[dict[str, str]] = []

        async def token(request: Request) -> Response:
            assert "authorization" not in request.headers
            forms.append(dict(parse_qsl((await request.body()).decode())))
            if len(forms) > 1:
                return JSONResponse({"error": "invalid_grant", "error_description": "no policy"}, 400)
            return JSONResponse({"access_token": "of-the-workspace", "expires_in": 3600})

        workspace.on("POST", "/oidc/v1/token", token)
        resource = ProtectedResource(workspace.url, "federation")
        for _ in range(2):
            assert (await service.credential(ann, resource)).get_secret_value() == "of-the-workspace"
        subject = forms[0].pop("subject_token")
        assert provider.of(subject)["sub"] == "ann"
        assert forms == [
            {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                "scope": "all-apis",
            }
        ]
        bob = await signed_in(service, provider, "bob")
        with pytest.raises(PermissionDenied, match="adds a federation policy for where you sign in"):
            await service.credential(bob, resource)
    with pytest.raises(ProviderAway):
        await service.credential(bob, resource)


async def test_what_has_ended_is_let_go_of() -> None:
    exchanges, moment = Exchanges(), time.time()

    async def get() -> Tokens:
        return Tokens("token", moment + 3_600)

    await exchanges.token("ann", GATEWAY, get)
    await exchanges.token("bob", GATEWAY, get)
    exchanges.forget("ann")
    assert repr(exchanges) == "<Exchanges with 1 tokens>"
