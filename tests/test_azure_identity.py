"""Tokens of Entra ID for the service: by the real library, against token services on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from backends.openai import OpenAIBackend
from chatlab.azure_identity import AzureIdentity, AzureTokens
from chatlab.backend import CallContext, ChatRequest
from chatlab.errors import AuthenticationFailed, BackendError, NotReady
from chatlab.messages import Message
from tests.folded import accumulate
from tests.servers.front import Front
from tests.servers.machine import SCOPE, Authority, Machine

REPLY = {"choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    with Machine(monkeypatch) as service:
        yield service


async def test_a_managed_identity_is_asked_once_however_many_ask_at_once(machine: Machine) -> None:
    tokens = AzureTokens(AzureIdentity(type="managed_identity", client_id="one-of-several"), SCOPE)
    got = await asyncio.gather(*(tokens.token() for _ in range(50)))
    assert {one.value for one in got} == {tokens.token_now().value} == {"of-the-machine-1"}
    (query,) = machine.asked
    assert query["resource"] == SCOPE.removesuffix("/.default") and query["client_id"] == "one-of-several"
    assert "of-the-machine" not in repr(got) + repr(tokens) + repr(vars(tokens))
    tokens.close()


async def test_a_token_that_is_about_to_end_is_asked_for_anew(machine: Machine) -> None:
    machine.lasts = 200
    tokens = AzureTokens(AzureIdentity(type="managed_identity"), SCOPE)
    first, second = await tokens.token(), await tokens.token()
    assert first.value != second.value
    tokens.close()


async def test_azure_openai_is_asked_with_it_and_with_no_key_of_the_environment(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN", "AZURE_CLIENT_SECRET"):
        monkeypatch.setenv(name, "ambient")

    async def reply(_: Request) -> Response:
        return JSONResponse(REPLY)

    with Front() as azure:
        azure.on("POST", "/openai/v1/chat/completions", reply)
        place = {"endpoint": azure.url, "deployment": "d"}
        options = {"azure": place, "auth": {"type": "managed_identity"}}
        backend = OpenAIBackend(OpenAIBackend.Options.model_validate(options))
        assert OpenAIBackend.not_ready(backend.options) is None
        assert not OpenAIBackend.as_person(backend.options)
        request = ChatRequest((Message.of("user", "hello"),))
        answer = accumulate([event async for event in backend.stream(request, CallContext())])
        await backend.aclose()
        headers = azure.requests[0].headers
    assert answer.message.text == "hi"
    assert headers["authorization"] == "Bearer of-the-machine-1"
    assert "api-key" not in headers and "ambient" not in str(headers)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    with Authority(monkeypatch, tmp_path) as entra:
        yield entra


async def test_a_pod_has_a_token_for_what_its_service_account_signed(authority: Authority) -> None:
    tokens = AzureTokens(AzureIdentity(type="workload_identity"), SCOPE)
    assert (await tokens.token()).value == "token-of-a-pod"
    other = AzureTokens(AzureIdentity(type="workload_identity", client_id="of-somebody-else"), SCOPE)
    with pytest.raises(AuthenticationFailed, match=r"workload_identity got no token for .*AADSTS700016"):
        await other.token()


async def test_the_default_is_the_pod_or_the_machine_by_what_is_there(
    machine: Machine, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found() -> str:
        tokens = AzureTokens(AzureIdentity(type="azure_default"), SCOPE)
        value = (await tokens.token()).value
        assert tokens.token_now().value == value and value not in repr(tokens) + repr(vars(tokens))
        tokens.close()
        return value

    assert await found() == "token-of-a-pod"
    with pytest.raises(
        NotReady, match="write workload_identity"
    ):  # the library would take it for the machine's
        await AzureTokens(AzureIdentity(type="managed_identity"), SCOPE).token()
    monkeypatch.setenv("AZURE_CLIENT_ID", "of-somebody-else")
    with pytest.raises(
        AuthenticationFailed, match=r"tried Env\w+, WorkloadIdentityCredential: .*AADSTS700016"
    ) as refused:
        await found()
    assert len(str(refused.value).splitlines()) == 1
    for name in ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"):
        monkeypatch.delenv(name)
    assert await found() == "of-the-machine-1"
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    monkeypatch.setenv("PATH", "")  # no developer's tool is there to be asked
    with pytest.raises(
        (NotReady, AuthenticationFailed), match=r"azure_default .*tried .*ManagedIdentityCredential"
    ):
        await found()


async def test_where_there_is_no_such_identity_that_is_said(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NotReady, match="workload_identity: this is not a place that has one"):
        await AzureTokens(AzureIdentity(type="workload_identity"), SCOPE).token()
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:1")
    with pytest.raises((NotReady, BackendError), match="managed_identity"):
        await AzureTokens(AzureIdentity(type="managed_identity"), SCOPE).token()
