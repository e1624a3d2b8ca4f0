"""A chat model by its name, as chatlab needs it: keys from the options, no retries or timeouts of its own."""

from __future__ import annotations

from typing import Any

import httpx2
from langchain.chat_models import init_chat_model

from backends.langchain.clients import anthropic_model, give_client, mistral_client
from backends.langchain.keys import hold_back, request_hook
from backends.langchain.options import LangChainOptions
from backends.langchain.providers import BASED_ON_OPENAI, OPENAI, OUR_CLIENT, PROVIDERS, RETRYING
from chatlab.backend import split_query, without_route
from chatlab.errors import NotReady
from chatlab.spelling import or_which

_ADDRESSES = ("base_url", "azure_endpoint", "openai_api_base")


def chat_model(options: LangChainOptions) -> tuple[Any, Any]:
    """Return the model that the options name, and its HTTP client where that one is ours to close.

    Raises NotReady for a name or an argument that LangChain refuses.
    """
    provider = options.provider
    arguments = _arguments(options)
    hold_back(arguments, options)
    query = _take_query(arguments) if provider in OUR_CLIENT else ""
    if provider in RETRYING:
        arguments.setdefault("max_retries", 0)  # retries are the turn's
    hook = request_hook(arguments, options, query)
    client = give_client(arguments, options, hook)
    if provider in BASED_ON_OPENAI:
        _openai_arguments(arguments)
    try:
        if provider in OPENAI:
            from backends.langchain.chat_openai import WireAzureChatOpenAI, WireChatOpenAI

            cls = WireChatOpenAI if provider == "openai" else WireAzureChatOpenAI
            if "http_socket_options" in cls.model_fields:  # without, it warns of a proxy that is taken
                arguments.setdefault("http_socket_options", ())
            return cls(model=(options.model or "").partition(":")[2], **arguments), client
        if provider == "anthropic":
            return anthropic_model(arguments, options, hook)
        model: Any = init_chat_model(options.model, **arguments)
        if provider == "mistralai" and "async_client" not in arguments:
            client = mistral_client(model, options, hook)
        return model, client
    except (ValueError, TypeError) as exc:
        if provider not in PROVIDERS and provider is not None:
            which = or_which(provider, PROVIDERS)
            raise NotReady(f"LangChain has no provider {provider}{which}") from exc
        raise NotReady(f"LangChain refuses this model: {_first_line(exc)}") from exc


def _arguments(options: LangChainOptions) -> dict[str, Any]:
    """Return the arguments of the model's class that the options give, secrets included."""
    arguments: dict[str, Any] = dict(options.model_options)
    if options.base_url is not None:
        # Azure's class refuses the name that all others have.
        name = "azure_endpoint" if options.provider == "azure_openai" else "base_url"
        arguments[name] = without_route(options.base_url)
    arguments |= {name: ref.resolve() for name, ref in options.secrets.items()}
    if options.api_key is not None:
        arguments["api_key"] = options.api_key.resolve()
    return arguments


def _take_query(arguments: dict[str, Any]) -> str:
    """Return the query of the model's address, taken out of it: the classes put their route behind it all."""
    for name in _ADDRESSES:
        if isinstance(address := arguments.get(name), str) and "?" in address:
            arguments[name], query = split_query(address)
            return query
    return ""


def _openai_arguments(arguments: dict[str, Any]) -> None:
    """Add what classes on OpenAI's SDK need."""
    arguments.setdefault("timeout", httpx2.Timeout(None, connect=10.0))
    arguments.setdefault("stream_chunk_timeout", None)  # timeouts are the turn's, too
    arguments.setdefault("stream_usage", True)


def _first_line(exc: Exception) -> str:
    """Return the first line: Pydantic repeats what it was given, perhaps a secret, on later ones."""
    return str(exc).strip().splitlines()[0][:300] if str(exc).strip() else type(exc).__name__
