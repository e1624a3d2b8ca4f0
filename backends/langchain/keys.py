"""Keys that the environment holds go to their owner alone.

The classes of LangChain's providers read the environment by themselves: `langchain_anthropic` sends
ANTHROPIC_API_KEY to any `base_url`, and all that are built on OpenAI's SDK send its organization, its project
and the headers of OPENAI_CUSTOM_HEADERS, wherever they call. Here a model that is called elsewhere is given a
stand-in, which is taken off its requests again, as what is OpenAI's is off every request to somebody else.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from pydantic import SecretStr

from backends.langchain.options import SECRET, LangChainOptions
from backends.langchain.providers import PROVIDERS
from chatlab.secret import remember

STAND_IN = "none"
"""What the SDKs are given for a key that is not there, since they insist on one. No request keeps it."""

_OPENAIS = ("openai-organization", "openai-project")
_ADDRESSES = ("base", "url", "host", "endpoint")  # what the names of arguments contain that are addresses
_NO_ADDRESSES = ("azure_endpoint",)  # Azure has one for each customer


def is_elsewhere(options: LangChainOptions) -> bool:
    """Return whether the model is called at another address than its provider's own."""
    return options.base_url is not None or _has_address(options.model_options)


def _has_address(arguments: Mapping[Any, Any]) -> bool:
    for name, value in arguments.items():
        if isinstance(value, Mapping) and "header" not in str(name) and _has_address(value):
            return True
        named = any(part in str(name).lower() for part in _ADDRESSES) and name not in _NO_ADDRESSES
        if named and value and isinstance(value, str):
            return True
    return False


def keyless(options: LangChainOptions) -> str | None:
    """Return what to do about a key of the environment that would go elsewhere and cannot be held back."""
    provider = PROVIDERS.get(options.provider or "")
    if not is_elsewhere(options) or _given(options) or (provider is not None and provider.keyless):
        return None
    variables = provider.variables if provider is not None else ()
    what = variables[0][0] if variables else "what the environment holds"
    return f"give an api_key: {what} is for {options.provider} itself and is not sent to a base_url"


def hold_back(arguments: dict[str, Any], options: LangChainOptions) -> None:
    """Have the arguments of a model's class say that no key of the environment is sent elsewhere."""
    known = PROVIDERS.get(options.provider or "")
    for group in known.variables if known else ():
        for name in group:
            if "KEY" in name or "TOKEN" in name:
                remember(os.environ.get(name, "").strip())
    if known is not None and known.keyless and is_elsewhere(options) and not _given(options):
        arguments["api_key"] = STAND_IN
    if options.provider == "ollama" and "api_key" in arguments:  # its class has no such argument
        key = arguments.pop("api_key")
        key = key.get_secret_value() if isinstance(key, SecretStr) else key
        client = dict(arguments.get("client_kwargs") or {})
        client["headers"] = {"authorization": f"Bearer {key}", **(client.get("headers") or {})}
        arguments["client_kwargs"] = client


def request_hook(
    arguments: Mapping[str, Any], options: LangChainOptions, query: str = ""
) -> Callable[[Any], Awaitable[None]]:
    """Return a hook that takes off each request what its receiver is not meant to have.

    query: of the model's address, which stands behind the route of each request.
    """
    asked = parse_qsl(query, keep_blank_values=True)
    elsewhere = is_elsewhere(options)
    named = {"openai-organization": "organization", "openai-project": "project"}
    own = {name for name, word in named.items() if any(word in argument for argument in arguments)}
    own |= {str(name).lower() for name in arguments.get("default_headers") or ()}
    dropped: set[str] = set()
    if options.provider != "openai" or elsewhere:
        dropped |= {*_OPENAIS, *_headers_of("OPENAI_CUSTOM_HEADERS")} - own
    if options.provider != "anthropic" or elsewhere:
        dropped |= _headers_of("ANTHROPIC_CUSTOM_HEADERS") - own
    key = arguments.get("api_key")
    key = key.get_secret_value() if isinstance(key, SecretStr) else key
    azure = options.provider == "azure_openai"
    own_token = any("azure_ad" in argument for argument in arguments)
    if azure and not own_token and (elsewhere or options.api_key is not None):
        # Its class sends the environment's token of Entra ID instead of any key.
        dropped |= {"authorization", "api-key"}

    form = {"authorization": "Bearer {}"} if options.provider != "anthropic" else {"x-api-key": "{}"}

    async def only_what_is_meant(request: Any) -> None:
        if asked:
            request.url = request.url.copy_merge_params(asked)
        for name in dropped:
            if name in request.headers:
                del request.headers[name]
                if name in form and isinstance(key, str) and not azure:
                    request.headers[name] = form[name].format(key)
        if azure and options.api_key is not None and isinstance(key, str):
            request.headers["api-key"] = key
        for name in ("authorization", "x-api-key", "api-key"):
            if request.headers.get(name) in (STAND_IN, f"Bearer {STAND_IN}"):
                del request.headers[name]

    return only_what_is_meant


def _given(options: LangChainOptions) -> bool:
    """Return whether the options have a key of their own."""
    return options.api_key is not None or any(SECRET.search(name) for name in options.secrets)


def _headers_of(variable: str) -> set[str]:
    """Return the names of the headers that a variable adds to each request."""
    lines = os.environ.get(variable, "").splitlines()
    return {line.partition(":")[0].strip().lower() for line in lines if ":" in line}
