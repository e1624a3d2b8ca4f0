"""People whom a platform signs in: who they are by its headers, and where their token goes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from starlette.datastructures import Headers

from chatlab.config.auth import AzureAppService, DatabricksApps, HuggingFaceSpace
from chatlab.credentials import ProtectedResource
from chatlab.errors import AuthRequired, NotReady, PermissionDenied
from chatlab.identity.errors import SignInRefused
from chatlab.identity.forwarded import Platform, platform_of
from chatlab.identity.person import Person
from tests.servers.exchanging import Exchanging
from tests.servers.oidc import CLIENT, SECRET

TOKEN, HOST = "canary-of-a-person", "https://adb-1.azuredatabricks.net"
OF_APPS = {
    "x-forwarded-user": "7@1",
    "x-forwarded-email": "Ann@Example.org",
    "x-forwarded-preferred-username": "Ann",
    "x-forwarded-access-token": TOKEN,
}


def principal(*claims: tuple[str, Any]) -> str:
    listed = [{"typ": name, "val": value} for name, value in claims]
    return base64.b64encode(json.dumps({"auth_typ": "aad", "claims": listed}).encode()).decode()


@pytest.fixture
def apps(monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("DATABRICKS_APP_NAME", "chat")
    monkeypatch.setenv("DATABRICKS_HOST", HOST.removeprefix("https://"))
    return platform_of(DatabricksApps(type="databricks_apps"))


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    return platform_of(AzureAppService(type="azure_app_service", token_for=HOST))


async def test_an_app_of_databricks_knows_a_person_and_their_token_for_its_workspace(apps: Platform) -> None:
    ann = apps.visitor(Headers(OF_APPS))
    assert (ann.person.name, ann.person.email, ann.person.subject) == ("Ann", "ann@example.org", "7@1")
    assert (
        await ann.credential(ProtectedResource(f"{HOST}/serving-endpoints/x"))
    ).get_secret_value() == TOKEN
    assert TOKEN not in repr(ann)
    for elsewhere in ("https://evil.example", f"{HOST}.evil.example", HOST.replace("https", "http"), ""):
        with pytest.raises(AuthRequired, match="not for this service"):
            await ann.credential(ProtectedResource(elsewhere))


async def test_without_a_token_nothing_takes_its_place(
    apps: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABRICKS_TOKEN", "of-the-service")
    for given in ({**OF_APPS, "x-forwarded-access-token": ""}, {**OF_APPS, "x-forwarded-access-token": " "}):
        with pytest.raises(AuthRequired, match="did not forward"):
            await apps.visitor(Headers(given)).credential(ProtectedResource(HOST))


@pytest.mark.parametrize("name", ["x-forwarded-user", "x-forwarded-email"])
def test_a_header_that_is_missing_or_there_twice_lets_nobody_in(apps: Platform, name: str) -> None:
    with pytest.raises(SignInRefused, match="did not say who you are"):
        apps.visitor(Headers({**OF_APPS, name: ""}))
    twice = [(key.encode(), value.encode()) for key, value in OF_APPS.items()] + [(name.encode(), b"admin")]
    with pytest.raises(SignInRefused, match="more than once"):
        apps.visitor(Headers(raw=twice))


LONG = "http://schemas.microsoft.com/identity/claims/"


@pytest.mark.parametrize("names", [("oid", "tid"), (f"{LONG}objectidentifier", f"{LONG}tenantid")])
async def test_a_person_of_entra_is_the_same_as_by_openid_connect(
    azure: Platform, names: tuple[str, str]
) -> None:
    claims = ((names[0], "o"), (names[1], "t"), ("name", "Ann"), ("groups", "g1"), ("groups", "g2"))
    given = {"x-ms-client-principal": principal(*claims), "x-ms-client-principal-idp": "aad"}
    ann = azure.visitor(Headers({**given, "x-ms-token-aad-access-token": TOKEN}))
    by_oidc = {"iss": "https://login.microsoftonline.com/t/v2.0", "sub": "s", "tid": "t", "oid": "o"}
    assert ann.person.owner == Person.of(by_oidc, "groups").owner
    assert (ann.person.name, ann.person.groups, ann.person.email) == ("Ann", ("g1", "g2"), None)
    assert (await ann.credential(ProtectedResource(HOST))).get_secret_value() == TOKEN


async def test_a_token_goes_nowhere_unless_it_is_said_for_which_workspace_it_is(
    azure: Platform,
) -> None:
    elsewhere = platform_of(AzureAppService(type="azure_app_service"))
    given = {
        "x-ms-client-principal": principal(("oid", "o"), ("tid", "t")),
        "x-ms-token-aad-access-token": TOKEN,
    }
    with pytest.raises(AuthRequired, match="not for this service"):
        await elsewhere.visitor(Headers(given)).credential(ProtectedResource(HOST))


async def test_a_forwarded_token_is_exchanged_on_behalf_of_whom_it_is_of_and_for_what_a_backend_asks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WEBSITE_AUTH_ENABLED", "True")
    monkeypatch.setenv("THE_SECRET", SECRET)
    of_databricks = ProtectedResource(HOST, grant="on_behalf_of", scope="databricks/.default")
    with Exchanging() as provider:
        discovery = f"{provider.issuer}/.well-known/openid-configuration"
        application = {"discovery": discovery, "client_id": CLIENT, "client_secret": {"env": "THE_SECRET"}}
        config = AzureAppService(type="azure_app_service", application=application)  # type: ignore[arg-type]
        platform = platform_of(config)

        def visitor(name: str, token: str) -> Any:
            claims = {"x-ms-client-principal": principal(("oid", name), ("tid", "t"))}
            return platform.visitor(Headers({**claims, "x-ms-token-aad-access-token": token}))

        own = {name: provider.access(sub=name, aud="chatlab") for name in ("ann", "bob")}
        for name in ("ann", "bob", "ann"):
            given = (await visitor(name, own[name]).credential(of_databricks)).get_secret_value()
            claims = provider.of(given)
            assert (claims["sub"], claims["aud"]) == (name, "databricks/.default")
        assert [form["assertion"] for form in provider.exchanges] == [own["ann"], own["bob"]]
        with pytest.raises(AuthRequired, match="did not forward"):
            await visitor("ann", "").credential(of_databricks)
        for other in ("own", "pass_through", "exchange", "federation"):
            with pytest.raises(AuthRequired, match="not for this service"):
                await visitor("ann", own["ann"]).credential(ProtectedResource(HOST, grant=other))
        provider.refuses = {"error": "invalid_grant", "error_description": "AADSTS500131: audience"}
        with pytest.raises(PermissionDenied, match="login parameters"):
            await visitor("eve", provider.access(sub="eve")).credential(of_databricks)
        assert own["ann"] not in repr(visitor("ann", own["ann"]))


@pytest.mark.parametrize(
    "value",
    ["", "nonsense!", base64.b64encode(b"{").decode(), base64.b64encode(b'{"claims": [1]}').decode(),
     base64.b64encode(b'{"claims": null}').decode(), principal(("name", "Ann"))],
)  # fmt: skip
def test_a_principal_that_says_nobody_lets_nobody_in(azure: Platform, value: str) -> None:
    with pytest.raises(SignInRefused):
        azure.visitor(Headers({"x-ms-client-principal": value, "x-ms-client-principal-name": "ann"}))


@pytest.mark.parametrize(
    "of", [DatabricksApps(type="databricks_apps"), AzureAppService(type="azure_app_service")]
)
def test_headers_are_believed_on_their_own_platform_alone(
    of: DatabricksApps | AzureAppService, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABRICKS_APP_NAME", "WEBSITE_AUTH_ENABLED", "CONTAINER_APP_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(NotReady, match="auth: "):
        platform_of(of)


def test_a_space_says_all_that_openid_connect_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    space = HuggingFaceSpace(type="huggingface_space")
    for name in ("SPACE_HOST", "OPENID_PROVIDER_URL", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"):
        with pytest.raises(LookupError, match=f"{name} is not set"):
            space.oidc()
        monkeypatch.setenv(
            name, "https://huggingface.co" if name == "OPENID_PROVIDER_URL" else "ann-chat.hf.space"
        )
    monkeypatch.setenv("OAUTH_SCOPES", "openid profile email")
    oidc = space.oidc()
    assert oidc.discovery == "https://huggingface.co/.well-known/openid-configuration"
    assert oidc.public_url == "https://ann-chat.hf.space" and oidc.redirect_path == "/login/callback"
    assert oidc.scopes == ("openid", "profile", "email")
    claims = {"iss": "https://huggingface.co", "sub": "1", "orgs": [{"preferred_username": "team"}, {}, 7]}
    assert Person.of(claims, oidc.groups_claim).groups == ("team",)
