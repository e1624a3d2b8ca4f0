"""The options of the kind `openai`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from chatlab.azure_identity import AzureIdentity
from chatlab.backend import NetworkOptions, Options
from chatlab.credentials import ProtectedResource
from chatlab.secret import SecretRef

OWN_URL = "https://api.openai.com/v1"
_NEW_LIMIT_SINCE = "2024-09"  # Azure's first API version with max_completion_tokens
# Headers that hold nothing but a credential, whose shape need not tell: the key of one's own gateway.
_SECRET_HEADER = re.compile(
    r"(?:^|[-_])(?:authorization|cookie|(?:api|access|secret)[-_]?key|token|secret|password)$", re.I
)


class Azure(Options):
    """An Azure OpenAI deployment. Its key is `api_key`, by default the variable AZURE_OPENAI_API_KEY."""

    endpoint: str = Field(description="The resource's URL, such as https://NAME.openai.azure.com.")
    deployment: str = Field(description="The deployment's name.")
    api_version: str | None = Field(
        None, description="A dated API version. Without one the v1 API is used, which has none."
    )

    @field_validator("endpoint")
    @classmethod
    def _url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("an endpoint begins with https://, such as https://NAME.openai.azure.com")
        return value


COGNITIVE_SERVICES = "https://cognitiveservices.azure.com/.default"


class PersonAuth(Options):
    """The signed-in person's own token, from the call and from nowhere else."""

    type: Literal["user"] = Field(description="The signed-in person's own token; refused when there is none.")
    by: Literal["pass_through", "exchange", "on_behalf_of"] = Field(
        "pass_through",
        description="The token of the provider where people sign in as it is, or one that it gives in "
        "exchange for it: by RFC 8693, or by Entra ID's on-behalf-of grant.",
    )
    audience: str | None = Field(None, description="The `audience` that an exchange asks for.")
    scope: str | None = Field(
        None, description="The `scope` that an exchange asks for, such as `api://GATEWAY/.default`."
    )

    @field_validator("scope")
    @classmethod
    def _of_an_exchange(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("by") == "pass_through" and (value or info.data.get("audience")):
            raise ValueError("audience and scope are asked for in an exchange: give `by`, too")
        return value

    def resource(self, url: str) -> ProtectedResource:
        """Return what the person's token is to be for."""
        return ProtectedResource(url, self.by, self.scope, self.audience)


class ServiceAuth(AzureIdentity):
    """A token of Entra ID for the service itself."""

    scope: str = Field(
        COGNITIVE_SERVICES,
        description="What the token is for; `https://ai.azure.com/.default` for a Foundry project.",
    )


Auth: TypeAlias = Annotated[PersonAuth | ServiceAuth, Field(discriminator="type")]


class OpenAIOptions(NetworkOptions):
    """Options of the kind `openai`."""

    model: str | None = Field(None, description="The model's name; not needed with azure.")
    models: Literal["discover"] | None = Field(
        None,
        description="`discover`: people may choose any model that the server lists, as `NAME:MODEL` with the "
        "entry's name; `model` is the one that answers otherwise.",
    )
    base_url: str | None = Field(
        None,
        description="Another server of the protocol (vLLM, llama.cpp, Ollama ...), up to and including /v1; "
        "a route such as /chat/completions behind it is left out.",
    )
    api_key: SecretRef | None = Field(
        None,
        description="The key. {env: OPENAI_API_KEY} if not given, but only at OpenAI itself: another "
        "base_url gets no key unless it is named here.",
    )
    auth: Auth | None = Field(
        None,
        description="Instead of a key: {type: user}, the signed-in person's own token; or the service's own "
        "token of Entra ID (extra `azure`), by {type: managed_identity}, {type: workload_identity} or "
        "{type: azure_default}.",
    )
    organization: str | None = Field(None, description="Sent as OpenAI-Organization.")
    project: str | None = Field(None, description="Sent as OpenAI-Project.")
    azure: Azure | None = Field(
        None, validate_default=True, description="An Azure OpenAI deployment instead of OpenAI."
    )
    api: Literal["chat", "responses"] = Field(
        "chat", description="The protocol: Chat Completions, which every server speaks, or Responses."
    )
    extra_body: Mapping[str, Any] = Field(
        default_factory=dict, description="Put into the request's JSON as it is; wins over everything else."
    )
    extra_headers: Mapping[str, str | SecretRef] = Field(
        default_factory=dict, description="Sent with every request; a secret by reference."
    )
    images: bool | None = Field(
        None,
        description="Whether the model takes images. If not given: yes at OpenAI and Azure, no elsewhere.",
    )
    files: bool | None = Field(
        None, description="Whether it takes PDF files. If not given: yes at OpenAI and Azure, no elsewhere."
    )
    audio: bool = Field(False, description="Whether it takes wav and mp3 files.")
    takes_system: bool = Field(True, description="Whether it takes a system message.")
    reasoning: bool | None = Field(
        None, description="Whether reasoning_effort is a parameter. If not given: yes at OpenAI and Azure."
    )
    reasoning_summary: Literal["auto", "concise", "detailed"] | None = Field(
        None, description="Asks the Responses API for a summary of the reasoning."
    )
    think_tags: Literal["text", "split", "begun"] = Field(
        "text",
        description="What to do with <think> tags in the answer: leave them, split the reasoning off, or "
        "split it off although the opening tag stands in the prompt.",
    )

    @field_validator("base_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        parts = urlsplit(value or OWN_URL)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("a base_url begins with http:// or https://")
        if parts.username or parts.password:
            raise ValueError("a base_url holds no password: use api_key or extra_headers")
        return value

    @field_validator("auth")
    @classmethod
    def _instead_of_a_key(cls, value: Auth | None, info: ValidationInfo) -> Auth | None:
        if value is not None and info.data.get("api_key") is not None:
            raise ValueError("auth and api_key exclude each other")
        return value

    @field_validator("extra_headers")
    @classmethod
    def _secrets_by_reference(cls, value: Mapping[str, str | SecretRef]) -> Mapping[str, str | SecretRef]:
        literal = (name for name, held in value.items() if isinstance(held, str))
        secret = [name for name in literal if _SECRET_HEADER.search(name)]
        if secret:
            are = f"{' and '.join(secret)} {'is' if len(secret) == 1 else 'are'}"
            raise ValueError(f"{are} given by reference, {{env: NAME}} or {{file: PATH}}, never literally")
        return value

    @field_validator("extra_body")
    @classmethod
    def _not_the_stream(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        own = [name for name in ("stream", "messages", "input", "model") if name in value]
        if own:
            raise ValueError(f"chatlab's own, which cannot stand in extra_body: {', '.join(own)}")
        return value

    @field_validator("azure")
    @classmethod
    def _one_place(cls, value: Azure | None, info: ValidationInfo) -> Azure | None:
        if value is None and not info.data.get("model", "refused"):
            raise ValueError("model is missing")
        if value is not None and info.data.get("base_url") is not None:
            raise ValueError("azure and base_url exclude each other")
        auth = info.data.get("auth")
        if value is None and info.data.get("base_url") is None and auth is not None:
            raise ValueError("OpenAI itself takes keys alone: auth goes with azure, or with a base_url")
        if value is not None and info.data.get("models") is not None:
            raise ValueError("Azure lists models, not deployments: leave out models: discover")
        return value

    @property
    def own(self) -> bool:
        """Return whether this is OpenAI itself or Azure, whose abilities are known."""
        return self.base_url is None or self.base_url.startswith("https://api.openai.com/")

    @property
    def knows_new_limit(self) -> bool:
        """Return whether an answer's limit is called `max_completion_tokens`: old Azure versions lack it."""
        version = self.azure.api_version if self.azure else None
        dated = version is not None and version[:4].isdigit()
        return self.own and not (version is not None and dated and version[:7] < _NEW_LIMIT_SINCE)

    @property
    def key(self) -> SecretRef | None:
        """Return the key to send: one that was meant for this very server, or none."""
        if self.api_key is not None or not self.own or self.auth is not None:
            return self.api_key
        return SecretRef(env="AZURE_OPENAI_API_KEY" if self.azure else "OPENAI_API_KEY")

    @property
    def model_name(self) -> str:
        """Return what stands as `model` in a request."""
        name = self.azure.deployment if self.azure else self.model
        assert name is not None
        return name
