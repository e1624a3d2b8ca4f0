"""Calls with a person's own rights: with their token, or not at all, whatever else there is to be found."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab.backend import CallContext, ChatRequest
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry, backend_class
from chatlab.credentials import ProtectedResource, one_token
from chatlab.errors import AuthenticationFailed, AuthRequired, PermissionDenied
from chatlab.messages import Message
from tests.folded import accumulate
from tests.servers.front import Front

HELLO = ChatRequest((Message.of("user", "hello"),))
REPLY = {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
CANARY = "hf_canary-of-a-person-4711"
ROUTES = (
    "/v1/chat/completions",
    "/openai/v1/chat/completions",
    "/serving-endpoints/agent/invocations",
)


@pytest.fixture
def upstream() -> Iterator[Front]:
    async def reply(_: Request) -> Response:
        return JSONResponse(REPLY)

    with Front() as server:
        for route in ROUTES:
            server.on("POST", route, reply)
        yield server


@pytest.fixture
def tempting(upstream: Front, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Front]:
    """An environment full of other credentials, each of which would be good at the upstream, and a server
    that gives tokens to whoever asks."""

    async def token(_: Request) -> Response:
        return JSONResponse({"access_token": "ambient-token", "expires_in": 3600, "expires_on": "9999999999"})

    with Front() as server:
        for method in ("GET", "POST"):
            server.on(method, "/token", token)
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".databrickscfg").write_text(f"[DEFAULT]\nhost={upstream.url}\ntoken=ambient-dapi\n")
        (tmp_path / ".azure").mkdir()
        (tmp_path / ".cache/huggingface").mkdir(parents=True)
        (tmp_path / ".cache/huggingface/token").write_text("hf_ambient-file")
        (tmp_path / "federated").write_text("ambient-federated")
        for name, value in {
            "DATABRICKS_HOST": upstream.url,
            "DATABRICKS_TOKEN": "ambient-dapi",
            "DATABRICKS_CLIENT_ID": "ambient-client",
            "DATABRICKS_CLIENT_SECRET": "ambient-secret",
            "HF_TOKEN": "hf_ambient-variable",
            "HUGGING_FACE_HUB_TOKEN": "hf_ambient-variable",
            "OPENAI_API_KEY": "ambient-openai",
            "OPENAI_ORG_ID": "ambient-organization",
            "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer ambient-header",
            "AZURE_OPENAI_API_KEY": "ambient-azure",
            "AZURE_OPENAI_AD_TOKEN": "ambient-ad",
            "AZURE_TENANT_ID": "ambient-tenant",
            "AZURE_CLIENT_ID": "ambient-client",
            "AZURE_CLIENT_SECRET": "ambient-secret",
            "AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "federated"),
            "AZURE_AUTHORITY_HOST": server.url,
            "AZURE_POD_IDENTITY_AUTHORITY_HOST": server.url,
            "IDENTITY_ENDPOINT": f"{server.url}/token",
            "IDENTITY_HEADER": "ambient-identity",
            "MSI_ENDPOINT": f"{server.url}/token",
        }.items():
            monkeypatch.setenv(name, value)
        yield server
        assert server.requests == []


WAYS: list[tuple[str, dict[str, Any], ProtectedResource]] = [
    ("openai", {"model": "m", "base_url": "{url}/v1"}, ProtectedResource("{url}/v1", "pass_through")),
    (
        "openai",
        {"model": "m", "base_url": "{url}/v1", "auth": {"type": "user", "by": "exchange", "audience": "gw"}},
        ProtectedResource("{url}/v1", "exchange", None, "gw"),
    ),
    (
        "openai",
        {
            "azure": {"endpoint": "{url}", "deployment": "d"},
            "auth": {"type": "user", "by": "on_behalf_of", "scope": "api://x/.default"},
        },
        ProtectedResource("{url}/openai/v1", "on_behalf_of", "api://x/.default"),
    ),
    ("huggingface", {"endpoint": "{url}/v1"}, ProtectedResource("https://huggingface.co")),
    ("databricks", {"endpoint": "agent", "host": "{url}", "task": "chat"}, ProtectedResource("{url}")),
    (
        "databricks",
        {"endpoint": "agent", "host": "{url}", "task": "chat", "auth": {"type": "user", "by": "federation"}},
        ProtectedResource("{url}", "federation"),
    ),
    (
        "databricks",
        {
            "endpoint": "agent",
            "host": "{url}",
            "task": "chat",
            "auth": {"type": "user", "by": "on_behalf_of"},
        },
        ProtectedResource("{url}", "on_behalf_of", "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"),
    ),
]
each = pytest.mark.parametrize(("kind", "options", "resource"), WAYS)


def entry_of(kind: str, options: dict[str, Any], url: str) -> Entry:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(one) for name, one in value.items()}
        return value.replace("{url}", url) if isinstance(value, str) else value

    cls = backend_class(kind)
    values = {"auth": {"type": "user"}, **filled(options)}
    config = BackendConfig(kind=kind, options=cls.Options.model_validate(values))
    return Entry("it", config, cls)


async def ask(entry: Entry, ctx: CallContext) -> str:
    backend = await entry.prepared()
    try:
        return accumulate([event async for event in backend.stream(HELLO, ctx)]).message.text
    finally:
        await entry.aclose()


@each
async def test_nobodys_call_is_not_made_with_anybody_elses_credential(
    upstream: Front, tempting: Front, kind: str, options: dict[str, Any], resource: ProtectedResource
) -> None:
    async def none_for_it(_: ProtectedResource) -> SecretStr:
        raise AuthRequired("you did not sign in there")

    async def empty(_: ProtectedResource) -> SecretStr:
        return SecretStr(" ")

    for credential in (None, none_for_it, empty):
        entry = entry_of(kind, options, upstream.url)
        assert entry.not_ready is None
        for look in (
            ask(entry, CallContext("ann", credential)),
            probe(entry, CallContext("ann", credential)),
        ):
            with pytest.raises(AuthRequired):
                await look
    assert upstream.requests == []


async def probe(entry: Entry, ctx: CallContext) -> None:
    await (await entry.prepared()).probe(ctx)


@each
async def test_a_persons_call_has_their_token_for_this_resource_and_no_other_credential(
    upstream: Front,
    tempting: Front,
    kind: str,
    options: dict[str, Any],
    resource: ProtectedResource,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    asked: list[ProtectedResource] = []

    async def credential(wanted: ProtectedResource) -> SecretStr:
        asked.append(wanted)
        return SecretStr(CANARY)

    entry = entry_of(kind, options, upstream.url)
    ctx = CallContext("ann", credential)
    assert entry.asked_as(ctx) == "ann"
    assert await ask(entry, ctx) == "hi"
    url = resource.url.replace("{url}", upstream.url)
    assert asked == [ProtectedResource(url, resource.grant, resource.scope, resource.audience)]
    seen = upstream.requests[0]
    assert seen.headers["authorization"] == f"Bearer {CANARY}"
    assert "ambient" not in str(seen.headers) + seen.body.decode()
    assert CANARY not in caplog.text + repr(entry) + repr(ctx) + repr(vars(entry))


@each
async def test_a_token_that_no_header_can_hold_is_refused_and_repeated_nowhere(
    upstream: Front, tempting: Front, kind: str, options: dict[str, Any], resource: ProtectedResource
) -> None:
    with pytest.raises(AuthenticationFailed) as raised:
        await ask(
            entry_of(kind, options, upstream.url), CallContext("ann", one_token(SecretStr("hf_a\nb-4711")))
        )
    assert "4711" not in repr(raised.value) and upstream.requests == []


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        ("openai", {"model": "m"}, "OpenAI itself takes keys alone"),
        ("openai", {"base_url": "https://x.example", "model": "m", "api_key": {"env": "K"}}, "exclude each"),
        ("openai", {"base_url": "https://x.example", "model": "m", "auth": {"type": "user", "scope": "s"}},
         "give `by`, too"),
        ("huggingface", {"model": "a/b", "token": {"env": "K"}}, "exclude each other"),
        ("huggingface", {"endpoint": "https://somebody.hf.space"}, "this endpoint is another's"),
    ],
)  # fmt: skip
def test_what_contradicts_a_persons_own_token_is_said(
    kind: str, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence):
        backend_class(kind).Options.model_validate({"auth": {"type": "user"}, **options})


async def test_a_persons_token_does_not_travel_in_clear() -> None:
    entry = entry_of("openai", {"model": "m", "base_url": "http://gateway.example/v1"}, "")
    with pytest.raises(AuthRequired, match="https addresses alone"):
        await ask(entry, CallContext("ann", one_token(SecretStr(CANARY))))


async def test_a_gateway_and_hugging_face_say_which_scope_is_missing(upstream: Front) -> None:
    ctx = CallContext("ann", one_token(SecretStr(CANARY)))
    challenge = {"www-authenticate": 'Bearer error="insufficient_scope", scope="chat.write"'}
    upstream.fail(403, {"error": {"message": "no"}}, challenge)
    with pytest.raises(PermissionDenied, match=r"lacks the scope chat\.write"):
        await ask(entry_of("openai", {"model": "m", "base_url": "{url}/v1"}, upstream.url), ctx)
    upstream.fail(403, {"error": "This method does not have sufficient permissions"})
    with pytest.raises(PermissionDenied, match=r"the scope inference-api once the Space's README\.md"):
        await ask(entry_of("huggingface", {"endpoint": "{url}/v1"}, upstream.url), ctx)


async def test_without_a_hugging_face_token_no_provider_is_called_directly(tempting: Front) -> None:
    entry = entry_of("huggingface", {"model": "org/model"}, "")
    with pytest.raises(AuthenticationFailed, match="begins with hf_"):
        await ask(entry, CallContext("ann", one_token(SecretStr("key-of-a-provider"))))
