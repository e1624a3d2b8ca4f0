"""A kind with every sort of option a backend may have, for the tests of the configuration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from chatlab.backend import Backend, CallContext, Capabilities, ChatRequest, Options, Parameter
from chatlab.messages import Finish, StreamEvent
from chatlab.paths import ConfigPath
from chatlab.secret import SecretRef


class Tool(Options):
    name: str = Field(description="A name.")
    strict: bool = Field(False, description="A switch.")


class SampleOptions(Options):
    model: str = Field(description="A model.")
    api: Literal["chat", "responses"] = Field("chat", description="A choice.")
    api_key: SecretRef | None = Field(None, description="A secret.")
    headers: Mapping[str, str | SecretRef] = Field({}, description="Texts or secrets.")
    recording: ConfigPath | None = Field(None, description="A path.")
    folder: ConfigPath = Field(Path("."), validate_default=True, description="A path with a default.")
    tool: Tool | str | None = Field(None, description="A model or a text.")
    tools: tuple[Tool, ...] = Field((), description="Models.")
    low: int = Field(0, description="A bound.")
    high: int = Field(9, description="A bound.")

    @model_validator(mode="after")
    def _ordered(self) -> SampleOptions:
        if self.low > self.high:
            raise ValueError("low is more than high")
        return self


class SampleBackend(Backend):
    """A kind for tests."""

    Options = SampleOptions
    address_field = "model"

    @classmethod
    def capabilities(cls, options: SampleOptions) -> Capabilities:
        return Capabilities(
            parameters=(
                Parameter("temperature", "float", minimum=0, maximum=2),
                Parameter("seed", "int"),
                Parameter("effort", "string", choices=("low", "high")),
                Parameter("stop", "strings"),
                Parameter("logprobs", "bool"),
                Parameter("extra", "json"),
            )
        )

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        yield Finish("stop")
