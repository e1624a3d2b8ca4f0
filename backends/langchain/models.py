"""A chat model by its name, as chatlab needs it: keys from the options, no retries or timeouts of its own."""

from __future__ import annotations

import os
from typing import Any

import httpx2
from langchain.chat_models import init_chat_model

from backends.langchain.options import LangChainOptions
from backends.langchain.providers import OPENAI, PROVIDERS, RETRYING
from chatlab.errors import NotReady
from chatlab.http import async_client
from chatlab.secret import remember
from chatlab.spelling import or_which

_NO_KEY = "none"
_KEYS = {"api_key", "openai_api_key", "azure_ad_token", "azure_ad_token_provider"}  # arguments that are one


def chat_model(options: LangChainOptions) -> tuple[Any, httpx2.AsyncClient | None]:
    """Return the model that the options name, and its HTTP client where that one is ours to close.

    Raises NotReady for a name or an argument that LangChain refuses.
    """
    provider = options.provider
    arguments = _arguments(options)
    _remember_keys(provider)
    if provider in RETRYING:
        arguments.setdefault("max_retries", 0)  # retries are the turn's
    client = _openai_arguments(arguments, options) if provider in OPENAI else None
    try:
        if provider in OPENAI:
            from backends.langchain.chat_openai import WireAzureChatOpenAI, WireChatOpenAI

            cls = WireChatOpenAI if provider == "openai" else WireAzureChatOpenAI
            return cls(model=(options.model or "").partition(":")[2], **arguments), client
        return init_chat_model(options.model, **arguments), client
    except (ValueError, TypeError) as exc:
        if provider not in PROVIDERS and provider is not None:
            which = or_which(provider, PROVIDERS)
            raise NotReady(f"LangChain has no provider {provider}{which}") from exc
        raise NotReady(f"LangChain refuses this model: {_first_line(exc)}") from exc


def _arguments(options: LangChainOptions) -> dict[str, Any]:
    """Return the arguments of the model's class that the options give, secrets included."""
    arguments: dict[str, Any] = dict(options.model_options)
    if options.base_url is not None:
        arguments["base_url"] = options.base_url
    arguments |= {name: ref.resolve() for name, ref in options.secrets.items()}
    if options.api_key is not None:
        arguments["api_key"] = options.api_key.resolve()
    return arguments


def _remember_keys(provider: str | None) -> None:
    """Have the keys that LangChain reads from the environment by itself taken out of every message."""
    known = PROVIDERS.get(provider or "")
    for group in known.variables if known else ():
        for name in group:
            if "KEY" in name or "TOKEN" in name:
                remember(os.environ.get(name, "").strip())


def _openai_arguments(arguments: dict[str, Any], options: LangChainOptions) -> httpx2.AsyncClient | None:
    """Add what langchain-openai's classes need, and return the HTTP client if it was made here."""
    client = None
    if options.base_url is not None and not arguments.keys() & _KEYS:
        # Never the key for OpenAI itself, which another host must not see. The SDK insists on one.
        arguments["api_key"] = _NO_KEY
    if "http_async_client" not in arguments:
        client = async_client(event_hooks={"request": [_without_no_key]})
        arguments["http_async_client"] = client
    arguments.setdefault("timeout", httpx2.Timeout(None, connect=10.0))
    arguments.setdefault("stream_chunk_timeout", None)  # timeouts are the turn's, too
    arguments.setdefault("stream_usage", True)
    return client


async def _without_no_key(request: Any) -> None:
    """Take off the stand-in for a key that is not there."""
    if request.headers.get("Authorization") == f"Bearer {_NO_KEY}":
        del request.headers["Authorization"]


def _first_line(exc: Exception) -> str:
    """Return the first line: Pydantic repeats what it was given, perhaps a secret, on later ones."""
    return str(exc).strip().splitlines()[0][:300] if str(exc).strip() else type(exc).__name__
