"""The options of the kind `langchain`, and the parameters that LangChain has for every model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from chatlab.backend import NetworkOptions, Options, Parameter
from chatlab.credentials import ProtectedResource
from chatlab.paths import ConfigPath
from chatlab.secret import SecretRef
from chatlab.words import ENGLISH

COMMON = (
    Parameter("temperature", "float", ENGLISH("parameter.temperature"), minimum=0, maximum=2),
    Parameter("top_p", "float", ENGLISH("parameter.top_p"), minimum=0, maximum=1, advanced=True),
    Parameter("max_tokens", "int", ENGLISH("parameter.max_tokens"), minimum=1),
    Parameter("stop", "strings", ENGLISH("parameter.stop"), advanced=True),
)
OPENAI_ALONE = (
    Parameter("seed", "int", ENGLISH("parameter.seed"), advanced=True),
    Parameter(
        "presence_penalty",
        "float",
        ENGLISH("parameter.presence_penalty"),
        minimum=-2,
        maximum=2,
        advanced=True,
    ),
    Parameter(
        "frequency_penalty",
        "float",
        ENGLISH("parameter.frequency_penalty"),
        minimum=-2,
        maximum=2,
        advanced=True,
    ),
    Parameter(
        "reasoning_effort",
        "string",
        ENGLISH("parameter.reasoning_effort"),
        choices=("none", "minimal", "low", "medium", "high", "xhigh"),
        advanced=True,
    ),
)
SECRET = re.compile(r"(^|_)(key|secret|password|token)$", re.I)
"""How the names of arguments end that are secrets."""


class AsPerson(Options):
    """The rights of the signed-in person."""

    type: Literal["user"] = Field(description="As the signed-in person.")
    by: Literal["pass_through", "exchange", "on_behalf_of", "federation"] | None = Field(
        None,
        description="How the token comes from a sign-in elsewhere (`auth: {type: oidc}`): the provider's as "
        "it is, one in exchange for it (RFC 8693, or Entra ID's on-behalf-of grant), or by the token "
        "federation of a Databricks workspace. Without it, people sign in at the service itself.",
    )
    audience: str | None = Field(None, description="The `audience` that an exchange asks for.")
    scope: str | None = Field(None, description="The `scope` that an exchange asks for.")

    def resource(self, url: str) -> ProtectedResource:
        """Return what the person's token is to be for."""
        return ProtectedResource(url, self.by or "own", self.scope, self.audience)


class LangChainOptions(NetworkOptions):
    """Options of the kind `langchain`: exactly one of `model` and `object`."""

    model: str | None = Field(
        None, description="A model as `init_chat_model` takes it, with its provider: `openai:gpt-5-mini`."
    )
    object: str | None = Field(
        None,
        validate_default=True,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$",
        description="A Runnable, a graph, or a function that returns one, as `module:attribute`.",
    )
    python_path: ConfigPath = Field(
        Path(),
        validate_default=True,
        description="Folder the `object` is imported from; the configuration file's own if not given.",
    )
    base_url: str | None = Field(None, description="Another server for the `model`.")
    api_key: SecretRef | None = Field(
        None, description="The model's key; the provider's usual variable if not given and no base_url is."
    )
    model_options: Mapping[str, Any] = Field(
        default_factory=dict, description="More arguments of the model's class."
    )
    secrets: Mapping[str, SecretRef] = Field(
        default_factory=dict, description="Arguments of the model's class that are secrets, by reference."
    )
    input: Literal["auto", "messages", "state", "chain", "text"] = Field(
        "auto",
        description="What the `object` takes: `messages`, a graph's `state` with messages in it, a `chain`'s "
        "dict with a question and perhaps a history, or the `text` of the last message.",
    )
    question_key: str | None = Field(
        None, description="The key of the `object`'s input that the last message goes to, if not a usual one."
    )
    history_key: str | None = Field(
        None, description="The key of the `object`'s input that earlier messages go to, if not a usual one."
    )
    configurable: Mapping[str, Any] = Field(
        default_factory=dict, description="Values of the run's `configurable`, such as a user id."
    )
    accepts: tuple[str, ...] = Field(
        (),
        description="More parameters to offer. A graph finds them in its context or in `configurable`.",
    )
    files: tuple[str, ...] | None = Field(
        None, description="Media types it takes; images for a `model`, none for an `object` if not given."
    )
    auth: AsPerson | None = Field(
        None,
        description="`{type: user}` for an `object` that uses the credential of whoever is signed in, which "
        "it finds as `chatlab_credential` in its run's `configurable`: it is asked by nobody else then, and "
        "lanes and receipts say as whom.",
    )
    recursion_limit: int = Field(50, ge=1, description="Steps after which a graph is given up.")

    # Each field is judged by itself and by those before it, so that all mistakes are told at once. A field
    # that was refused is not in `info.data`.

    @field_validator("model")
    @classmethod
    def _with_its_provider(cls, value: str | None) -> str | None:
        if value is not None and value.find(":") < 1:
            raise ValueError("write the provider before the model, such as openai:gpt-5-mini")
        return value

    @field_validator("object")
    @classmethod
    def _one_of_both(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "model" in info.data and (info.data["model"] is None) == (value is None):
            raise ValueError("give exactly one of model and object")
        return value

    @field_validator("base_url", "api_key", "model_options", "secrets")
    @classmethod
    def _of_a_model(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("object") is not None:
            raise ValueError("it goes with model, not with object")
        return value

    @field_validator("auth")
    @classmethod
    def _of_an_object(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("model") is not None:
            raise ValueError("it goes with object, not with model")
        return value

    @field_validator("model_options")
    @classmethod
    def _secrets_apart(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        secret = [name for name in value if SECRET.search(name)]
        if secret:
            raise ValueError(
                f"give {' and '.join(secret)} under secrets, by reference, not under model_options"
            )
        return value

    @property
    def provider(self) -> str | None:
        """Return the provider in front of the model's name; None without one."""
        before, colon, _ = (self.model or "").partition(":")
        return before.replace("-", "_") if colon else None
