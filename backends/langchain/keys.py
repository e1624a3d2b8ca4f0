"""Keys that the environment holds go to their owner alone.

The classes of LangChain's providers read the environment by themselves: `langchain_anthropic` sends
ANTHROPIC_API_KEY to any `base_url`, and all that are built on OpenAI's SDK send its organization, its project
and the headers of OPENAI_CUSTOM_HEADERS, wherever they call. Here a model that is called elsewhere is told to
send a stand-in instead, and what is OpenAI's is taken off every request to somebody else.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import SecretStr

from backends.langchain.options import SECRET, LangChainOptions
from backends.langchain.providers import PROVIDERS
from chatlab.secret import remember

STAND_IN = "none"
"""What is sent for a key that is not there: the SDKs insist on one. Where the HTTP client is chatlab's, not
even that."""

_OPENAIS = ("openai-organization", "openai-project")
_CUSTOM = {"anthropic": "ANTHROPIC_CUSTOM_HEADERS"}


def is_elsewhere(options: LangChainOptions) -> bool:
    """Return whether the model is called at another address than its provider's own."""
    if options.base_url is not None:
        return True
    return any(_is_address(name, value) for name, value in options.model_options.items())


def _is_address(name: str, value: Any) -> bool:
    if name == "azure_endpoint" or not isinstance(value, str):  # Azure has one for each customer
        return False
    return value.startswith(("http://", "https://")) and any(part in name for part in ("base", "url", "host"))


def keyless(options: LangChainOptions) -> str | None:
    """Return what to do about a key of the environment that would go elsewhere and cannot be held back."""
    provider = PROVIDERS.get(options.provider or "")
    if provider is None or not is_elsewhere(options) or _given(options):
        return None
    if provider.keyless:
        return None
    own = (
        provider.variables[0][0] if provider.variables else f"what the environment has for {provider.package}"
    )
    return f"give an api_key: {own} is for {options.provider} itself and is not sent to a base_url"


def hold_back(arguments: dict[str, Any], options: LangChainOptions) -> None:
    """Have the arguments of a model's class say that no key of the environment is sent elsewhere."""
    provider = options.provider or ""
    known = PROVIDERS.get(provider)
    for group in known.variables if known else ():
        for name in group:
            if "KEY" in name or "TOKEN" in name:
                remember(os.environ.get(name, "").strip())
    if known is None or not is_elsewhere(options):
        return
    if not _given(options) and known.keyless == "api_key":
        arguments["api_key"] = STAND_IN
    if provider == "ollama" and not _given(options):
        client = dict(arguments.get("client_kwargs") or {})
        client["headers"] = {"authorization": f"Bearer {STAND_IN}", **(client.get("headers") or {})}
        arguments["client_kwargs"] = client
    custom = _headers_of(_CUSTOM.get(provider))
    if custom:
        arguments["default_headers"] = {**custom, **(arguments.get("default_headers") or {})}


def request_hook(arguments: Mapping[str, Any], options: LangChainOptions) -> Callable[[Any], Awaitable[None]]:
    """Return a hook that takes off each request what its receiver is not meant to have."""
    foreign = options.provider != "openai" or is_elsewhere(options)
    named = {"openai-organization": "organization", "openai-project": "project"}
    own = {name for name, word in named.items() if any(word in argument for argument in arguments)}
    own |= {str(name).lower() for name in arguments.get("default_headers") or ()}
    dropped = {*_OPENAIS, *_headers_of("OPENAI_CUSTOM_HEADERS")} - own if foreign else set()
    key = arguments.get("api_key")
    key = key.get_secret_value() if isinstance(key, SecretStr) else key
    azure = options.provider == "azure_openai"
    own_token = any("azure_ad" in argument for argument in arguments)
    if azure and not own_token and (is_elsewhere(options) or options.api_key is not None):
        # Its class sends the environment's token of Entra ID instead of any key.
        dropped |= {"authorization", "api-key"}

    async def only_what_is_meant(request: Any) -> None:
        for name in dropped:
            if name in request.headers:
                del request.headers[name]
                if name == "authorization" and isinstance(key, str) and not azure:
                    request.headers[name] = f"Bearer {key}"
        if azure and options.api_key is not None and isinstance(key, str):
            request.headers["api-key"] = key
        if request.headers.get("authorization") == f"Bearer {STAND_IN}":
            del request.headers["authorization"]

    return only_what_is_meant


def _given(options: LangChainOptions) -> bool:
    """Return whether the options have a key of their own."""
    return options.api_key is not None or any(SECRET.search(name) for name in options.secrets)


def _headers_of(variable: str | None) -> dict[str, str]:
    """Return the names of the headers that a variable adds to each request, each with nothing in it."""
    lines = os.environ.get(variable or "", "").splitlines()
    return {line.partition(":")[0].strip().lower(): "" for line in lines if ":" in line}
