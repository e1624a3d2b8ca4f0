"""Keys of the environment go to their owner alone: every provider that LangChain knows is held to it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs

import pytest

from backends.langchain import LangChainBackend, LangChainOptions
from backends.langchain.keys import keyless
from backends.langchain.providers import PROVIDERS
from chatlab.backend import CallContext
from chatlab.errors import ChatlabError
from tests.backends.langchain.calls import ask
from tests.servers.front import Front

# All that any of their SDKs is known to read.
VARIABLES = {
    *(name for provider in PROVIDERS.values() for group in provider.variables for name in group),
    "ANTHROPIC_AUTH_TOKEN",
    "AWS_ACCESS_KEY_ID",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_SECRET_ACCESS_KEY",
    "AZURE_OPENAI_AD_TOKEN",
    "HF_TOKEN",
    "HUGGINGFACEHUB_API_TOKEN",
    "OLLAMA_API_KEY",
    "OPENAI_ADMIN_KEY",
    "OPENAI_API_KEY",
    "OPENAI_ORG_ID",
    "OPENAI_ORGANIZATION",
    "OPENAI_PROJECT_ID",
    "WATSONX_APIKEY",
}
NO_SECRETS = {"AZURE_OPENAI_ENDPOINT", "OPENAI_API_VERSION"}
TESTED = [name for name, provider in PROVIDERS.items() if provider.keyless]


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every variable holds a secret of its own."""
    for name in VARIABLES - NO_SECRETS:
        monkeypatch.setenv(name, f"secret-{name}")
    monkeypatch.setenv("OPENAI_API_VERSION", "2025-01-01")
    for name in ("OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"):
        monkeypatch.setenv(name, f"x-gateway: secret-{name}\nx-other: secret-other-{name}")
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    return ["secret-"]


async def call(front: Front, **options: Any) -> str | None:
    """Ask a model, which fails; return why it is not ready, or None once it has asked."""
    given = LangChainOptions.model_validate(options)
    reason = LangChainBackend.not_ready(given)
    if reason is not None:
        return reason
    # Nothing closes the clients of the providers' own SDKs, so none of their connections may stay open.
    front.fail(400, {"error": {"message": "no"}}, {"connection": "close"})
    backend = LangChainBackend(given)
    try:
        async for _ in backend.stream(ask("hi"), CallContext()):
            pass
    except ChatlabError:
        pass
    finally:
        await backend.aclose()
    return None


def sent(front: Front) -> str:
    return " ".join(f"{seen.path} {seen.headers} {seen.body!r}" for seen in front.requests)


@pytest.mark.filterwarnings("ignore")  # the packages' own
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_base_url_gets_no_key_of_the_environment(provider: str, front: Front) -> None:
    reason = await call(front, model=f"{provider}:m", base_url=f"{front.url}/v1")
    if reason is None:
        assert provider in TESTED
        assert front.requests, "it was asked, without a key"
        assert not {"authorization", "x-api-key", "api-key"} & front.last.headers.keys()
        assert "secret-" not in sent(front)
    else:
        assert not front.requests
        assert reason.startswith(("pip install langchain-", "give an api_key: "))
        assert "secret-" not in reason
        assert provider not in TESTED or find_spec(PROVIDERS[provider].module) is None, reason


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("provider", TESTED)
async def test_a_query_of_the_base_url_stands_behind_the_route(provider: str, front: Front) -> None:
    if find_spec(PROVIDERS[provider].module) is None:
        pytest.skip(f"{PROVIDERS[provider].package} is not installed")
    assert await call(front, model=f"{provider}:m", base_url=f"{front.url}/v1?api-version=1&x=a%20b") is None
    assert front.requests
    for seen in front.requests:
        assert parse_qs(seen.query).items() >= {"api-version": ["1"], "x": ["a b"]}.items()
        assert "?" not in seen.path and "api-version" not in seen.path


@pytest.mark.parametrize("provider", [name for name in (*PROVIDERS, "new_one") if name not in TESTED])
def test_a_provider_whose_keys_cannot_be_held_back_wants_one_for_a_base_url(provider: str) -> None:
    elsewhere = LangChainOptions(model=f"{provider}:m", base_url="http://127.0.0.1:9/v1")
    assert str(keyless(elsewhere)).startswith("give an api_key: ")
    options = {"client_options": {"api_endpoint": "127.0.0.1:9"}}
    nested = LangChainOptions(model=f"{provider}:m", model_options=options)
    assert str(keyless(nested)).startswith("give an api_key: ")
    assert keyless(LangChainOptions(model=f"{provider}:m", model_options={"region_name": "eu"})) is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("provider", TESTED)
async def test_a_key_that_is_given_is_the_only_one_that_is_sent(
    provider: str, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec(PROVIDERS[provider].module) is None:
        pytest.skip(f"{PROVIDERS[provider].package} is not installed")
    monkeypatch.setenv("MINE", "key-of-this-gateway")
    reason = await call(front, model=f"{provider}:m", base_url=f"{front.url}/v1", api_key={"env": "MINE"})
    assert reason is None
    assert "key-of-this-gateway" in sent(front)
    assert "secret-" not in sent(front)


@pytest.mark.parametrize(
    ("provider", "argument"),
    [("anthropic", "anthropic_api_url"), ("openai", "openai_api_base"), ("deepseek", "api_base")],
)
@pytest.mark.filterwarnings("ignore")
async def test_an_address_among_the_model_options_is_one_too(
    provider: str, argument: str, front: Front
) -> None:
    if find_spec(PROVIDERS[provider].module) is None:
        pytest.skip(f"{PROVIDERS[provider].package} is not installed")
    assert await call(front, model=f"{provider}:m", model_options={argument: f"{front.url}/v1"}) is None
    assert front.requests
    assert "secret-" not in sent(front)


async def test_headers_of_the_configuration_are_sent_all_the_same(front: Front) -> None:
    options = {"default_headers": {"X-Gateway": "mine"}, "organization": "my-organization"}
    assert await call(front, model="openai:m", base_url=f"{front.url}/v1", model_options=options) is None
    assert front.last.headers["x-gateway"] == "mine"
    assert front.last.headers["openai-organization"] == "my-organization"
    assert "authorization" not in front.last.headers


@pytest.mark.parametrize("provider", [name for name, entry in PROVIDERS.items() if entry.variables])
def test_a_provider_without_its_variable_is_not_ready(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES - {"OPENAI_API_KEY"} if provider != "openai" else VARIABLES:
        monkeypatch.delenv(name, raising=False)
    reason = LangChainBackend.not_ready(LangChainOptions(model=f"{provider}:m"))
    entry = PROVIDERS[provider]
    missing = find_spec(entry.module) is None
    assert reason == (f"pip install {entry.package}" if missing else f"set {entry.variables[0][0]}")
