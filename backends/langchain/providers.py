"""The providers `init_chat_model` knows: the package each needs and the variables it reads its key from.

A table, because readiness is asked for without importing LangChain. A test holds it against LangChain's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Provider:
    """module: the top-level module it needs; package: what pip calls it.

    variables: one of each group has to be set. Empty where credentials come another way (AWS, Google
    Cloud) or none are needed. keyless: whether a model that is called elsewhere can be held to sending no key
    of the environment; False where that was not tried. `tests/backends/langchain/test_keys.py` tries it.
    """

    module: str
    variables: tuple[tuple[str, ...], ...] = ()
    keyless: bool = False

    @property
    def package(self) -> str:
        return self.module.replace("_", "-")


PROVIDERS: Mapping[str, Provider] = {
    "anthropic": Provider("langchain_anthropic", (("ANTHROPIC_API_KEY",),), keyless=True),
    "anthropic_bedrock": Provider("langchain_aws"),
    "azure_ai": Provider("langchain_azure_ai"),
    "azure_openai": Provider(
        "langchain_openai",
        (
            ("AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"),
            ("AZURE_OPENAI_ENDPOINT",),
            ("OPENAI_API_VERSION",),
        ),
        keyless=True,
    ),
    "baseten": Provider("langchain_baseten", (("BASETEN_API_KEY",),)),
    "bedrock": Provider("langchain_aws"),
    "bedrock_converse": Provider("langchain_aws"),
    "bedrock_mantle_anthropic": Provider("langchain_aws"),
    "bedrock_mantle_openai": Provider("langchain_aws"),
    "cohere": Provider("langchain_cohere", (("COHERE_API_KEY", "CO_API_KEY"),)),
    "deepseek": Provider("langchain_deepseek", (("DEEPSEEK_API_KEY",),), keyless=True),
    "fireworks": Provider("langchain_fireworks", (("FIREWORKS_API_KEY",),)),
    "google_anthropic_vertex": Provider("langchain_google_vertexai"),
    "google_genai": Provider("langchain_google_genai", (("GOOGLE_API_KEY", "GEMINI_API_KEY"),)),
    "google_vertexai": Provider("langchain_google_vertexai"),
    "groq": Provider("langchain_groq", (("GROQ_API_KEY",),), keyless=True),
    "huggingface": Provider("langchain_huggingface"),
    "ibm": Provider("langchain_ibm"),
    "langsmith": Provider("langchain_openai", (("LANGSMITH_GATEWAY_API_KEY", "LANGSMITH_API_KEY"),)),
    "litellm": Provider("langchain_litellm"),
    "meta": Provider("langchain_meta"),
    "mistralai": Provider("langchain_mistralai", (("MISTRAL_API_KEY",),), keyless=True),
    "nvidia": Provider("langchain_nvidia_ai_endpoints", (("NVIDIA_API_KEY",),)),
    "ollama": Provider("langchain_ollama", keyless=True),
    "openai": Provider("langchain_openai", (("OPENAI_API_KEY",),), keyless=True),
    "openrouter": Provider("langchain_openrouter", (("OPENROUTER_API_KEY",),)),
    "perplexity": Provider("langchain_perplexity", (("PPLX_API_KEY", "PERPLEXITY_API_KEY"),)),
    "together": Provider("langchain_together", (("TOGETHER_API_KEY",),)),
    "upstage": Provider("langchain_upstage", (("UPSTAGE_API_KEY",),)),
    "xai": Provider("langchain_xai", (("XAI_API_KEY",),), keyless=True),
}

OPENAI = ("openai", "azure_openai")
"""Those whose class is langchain-openai's."""

BASED_ON_OPENAI = (*OPENAI, "deepseek", "xai")
"""Those whose class takes what langchain-openai's takes, and calls through OpenAI's SDK."""

RETRYING = (*BASED_ON_OPENAI, "anthropic", "groq", "mistralai", "together")
"""Those whose class takes `max_retries`."""

OUR_CLIENT = (*BASED_ON_OPENAI, "anthropic", "groq", "mistralai", "ollama")
"""Those that call over an HTTP client of chatlab's making (`clients.py`)."""

OLD_CLIENT = ("groq", "mistralai", "ollama")
"""Those of them whose SDK brings httpx, not httpx2, which reads NO_PROXY by itself."""
