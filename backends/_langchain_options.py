"""The options of the kind `langchain`, and the parameters that LangChain has for every model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from chatlab.backend import Options, Parameter
from chatlab.paths import ConfigPath
from chatlab.secret import SecretRef

COMMON = (
    Parameter("temperature", "float", "How freely it chooses among likely tokens.", minimum=0, maximum=2),
    Parameter("top_p", "float", "Share of likelihood it chooses from.", minimum=0, maximum=1, advanced=True),
    Parameter("max_tokens", "int", "Most tokens of an answer.", minimum=1),
    Parameter("stop", "strings", "Texts at which the answer ends.", advanced=True),
)
OPENAI_ALONE = (
    Parameter("seed", "int", "Makes answers repeatable, as far as that is possible.", advanced=True),
    Parameter("presence_penalty", "float", "Against repeating topics.", minimum=-2, maximum=2, advanced=True),
    Parameter("frequency_penalty", "float", "Against repeating words.", minimum=-2, maximum=2, advanced=True),
    Parameter(
        "reasoning_effort",
        "string",
        "How long a reasoning model thinks.",
        choices=("none", "minimal", "low", "medium", "high", "xhigh"),
        advanced=True,
    ),
)
_SECRET = re.compile(r"(^|_)(key|secret|password|token)$", re.I)


class LangChainOptions(Options):
    """Options of the kind `langchain`: exactly one of `model` and `object`."""

    model: str | None = Field(
        None, description="A model as `init_chat_model` takes it, with its provider: `openai:gpt-5-mini`."
    )
    object: str | None = Field(
        None,
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
    recursion_limit: int = Field(50, ge=1, description="Steps after which a graph is given up.")

    @model_validator(mode="after")
    def _one_of_both(self) -> LangChainOptions:
        if (self.model is None) == (self.object is None):
            raise ValueError("give exactly one of model and object")
        if self.model is not None and not self.provider:
            raise ValueError("write the provider before the model, such as openai:gpt-5-mini")
        if self.object is not None and (self.base_url or self.api_key or self.model_options or self.secrets):
            raise ValueError("base_url, api_key, model_options and secrets go with model, not with object")
        for name in self.model_options:
            if _SECRET.search(name):
                raise ValueError(f"give {name} under secrets, by reference, not under model_options")
        return self

    @property
    def provider(self) -> str | None:
        """The provider in front of the model's name; None without one."""
        before, colon, _ = (self.model or "").partition(":")
        return before.replace("-", "_") if colon else None
