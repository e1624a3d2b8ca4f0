"""The options and parameters of a Hugging Face backend, and whom a token may be sent to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator, model_validator

from chatlab.backend import NetworkOptions, Options, Parameter
from chatlab.errors import UnsupportedContent
from chatlab.formats import NAMED_TEMPLATES, PromptTemplate
from chatlab.paths import ConfigPath
from chatlab.secret import SecretRef
from chatlab.spelling import or_which
from chatlab.words import ENGLISH

DEFAULT_NEW_TOKENS = 1024
"""Longest answer unless a parameter says otherwise; the clients' own default is 20 tokens."""

DEFAULT_TOKEN = SecretRef(env="HF_TOKEN")

_HOSTS = ("huggingface.co", "endpoints.huggingface.cloud")


def is_hugging_face(url: str) -> bool:
    """Return whether a URL leads to Hugging Face itself, over TLS: where a token goes without being told to.

    Spaces (hf.space) are other people's programs and do not count.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".").lower()
    return parts.scheme == "https" and any(host == known or host.endswith(f".{known}") for known in _HOSTS)


def is_url(text: str) -> bool:
    """Return whether this is an address on the web rather than a model id."""
    return text.startswith(("http://", "https://"))


def _is_loopback(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


class VisitorAuth(Options):
    """The signed-in person's own token, from the call and from nowhere else."""

    type: Literal["user"] = Field(description="The signed-in person's own token; refused when there is none.")


class InlineTemplate(Options):
    """A chat template written in the configuration."""

    jinja: str = Field(min_length=1, description="The Jinja template.")
    bos_token: str = Field("", description="What the template calls bos_token.")
    eos_token: str = Field("", description="What the template calls eos_token.")


class TokenizerTemplate(Options):
    """The chat template of a model."""

    tokenizer_config: ConfigPath = Field(description="Path of the model's tokenizer_config.json.")
    name: str = Field("default", description="Which template, where the file has several.")


Template: TypeAlias = str | InlineTemplate | TokenizerTemplate


@lru_cache(maxsize=64)
def load_template(template: Template) -> PromptTemplate:
    """Return the template, read once.

    Raises UnsupportedContent for one that is unknown, unreadable or not Jinja.
    """
    if isinstance(template, str):
        return PromptTemplate.named(template)
    if isinstance(template, InlineTemplate):
        return PromptTemplate.inline(
            template.jinja, bos_token=template.bos_token, eos_token=template.eos_token
        )
    return PromptTemplate.from_tokenizer_config(template.tokenizer_config, template=template.name)


class HuggingFaceOptions(NetworkOptions):
    """A model id or a URL, and how to speak to it."""

    model: str | None = Field(
        None,
        min_length=1,
        description="Model id on the Hub (org/name), or the http(s) URL of an endpoint. Beside an endpoint: "
        "the model name sent to it.",
    )
    task: Literal["chat", "text-generation"] = Field(
        "chat", description="chat: the server applies the model's template; text-generation: this one does."
    )
    endpoint: str | None = Field(
        None,
        validate_default=True,
        pattern="^https?://",
        description="URL of an inference endpoint or of a server of one's own, instead of a provider.",
    )
    provider: str = Field(
        "auto",
        min_length=1,
        description="Inference provider for a model id; auto lets Hugging Face choose.",
    )
    token: SecretRef | None = Field(
        None,
        description="Access token. Without it HF_TOKEN is used, and sent to Hugging Face's own hosts only; "
        "one given here is sent to any endpoint.",
    )
    auth: VisitorAuth | None = Field(
        None,
        description="{type: user}: the signed-in person's own token, instead of one that is configured; sent "
        "to Hugging Face's own hosts only.",
    )
    bill_to: str | None = Field(
        None, min_length=1, description="Organisation that providers' calls are billed to."
    )
    scale_up_timeout: int | None = Field(
        None,
        ge=1,
        description="Seconds that a sleeping dedicated endpoint may hold a call while it wakes, rather than "
        "refuse it (sent as X-Scale-Up-Timeout).",
    )
    images: bool = Field(False, description="Whether the model takes images (task chat).")
    takes_system: bool = Field(
        True, description="Whether the model takes a system message (task chat); otherwise it is folded."
    )
    think_tags: Literal["text", "split", "begun"] = Field(
        "text",
        description="What to do with <think> tags in the answer: leave them, split the reasoning off, or "
        "split it off although the opening tag stands in the prompt.",
    )
    extra_body: Mapping[str, Any] = Field(
        default_factory=dict, description="Further fields of a chat request, sent as they are."
    )
    client: Literal["hub", "text-generation"] = Field(
        "hub",
        description="Client for text generation: huggingface_hub, or text-generation (extra tgi).",
    )
    template: Annotated[Template | None, Field(union_mode="left_to_right")] = Field(
        None,
        validate_default=True,
        description="Chat template for text generation: a name, {jinja: ...} or {tokenizer_config: PATH}.",
    )
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        (), description="Texts that end an answer and never show, besides those of the template."
    )

    @model_validator(mode="before")
    @classmethod
    def _url_is_an_endpoint(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and isinstance(model := values.get("model"), str) and is_url(model):
            if values.get("endpoint"):
                return values
            return {**{key: value for key, value in values.items() if key != "model"}, "endpoint": model}
        return values

    # Each field is judged by itself and by those before it, so that all mistakes are told at once. A field
    # that was refused is not in `info.data`.

    @field_validator("model")
    @classmethod
    def _one_url(cls, value: str | None) -> str | None:
        if value is not None and is_url(value):
            raise ValueError("model is a URL and endpoint is given too: keep one of them")
        return value

    @field_validator("endpoint")
    @classmethod
    def _a_place(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            if info.data.get("model", "") is None:
                raise ValueError("give a model id, or the URL of an endpoint")
            return None
        parts = urlsplit(value)
        if parts.password is not None:
            raise ValueError("endpoint holds a password: give the token by reference instead")
        if info.data.get("task") == "text-generation" and parts.path.rstrip("/").endswith("/v1"):
            raise ValueError("text generation is spoken at the server's root: leave /v1 out of the endpoint")
        return value

    @field_validator("provider")
    @classmethod
    def _of_a_model_id(cls, value: str, info: ValidationInfo) -> str:
        if "endpoint" not in info.data:
            return value
        if info.data["endpoint"] is not None and value != "auto":
            raise ValueError("provider is for a model id: an endpoint has none")
        if info.data.get("task") == "text-generation" and value not in ("auto", "hf-inference"):
            raise ValueError(
                "task text-generation streams from an endpoint or the provider hf-inference only"
            )
        return value

    @field_validator("auth")
    @classmethod
    def _instead_of_a_token(cls, value: VisitorAuth | None, info: ValidationInfo) -> VisitorAuth | None:
        if value is None:
            return None
        if info.data.get("token") is not None:
            raise ValueError("auth and token exclude each other")
        endpoint = info.data.get("endpoint")
        if endpoint is not None and not (is_hugging_face(endpoint) or _is_loopback(endpoint)):
            raise ValueError("a person's own token is for Hugging Face's hosts: this endpoint is another's")
        return value

    @field_validator("bill_to")
    @classmethod
    def _of_a_provider(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("endpoint") is not None:
            raise ValueError("bill_to is for providers: an endpoint is billed to its owner")
        return value

    @field_validator("scale_up_timeout")
    @classmethod
    def _of_an_endpoint(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is not None and info.data.get("endpoint", "refused") is None:
            raise ValueError("scale_up_timeout is for an endpoint")
        return value

    @field_validator("images", "takes_system", "extra_body", "client")
    @classmethod
    def _of_this_task(cls, value: Any, info: ValidationInfo) -> Any:
        task, name = info.data.get("task"), str(info.field_name)
        if task is None or value == cls.model_fields[name].get_default(call_default_factory=True):
            return value
        if name == "client" and task == "chat":
            raise ValueError("client text-generation is for task text-generation")
        if name != "client" and task == "text-generation":
            raise ValueError(f"{name} is for task chat")
        return value

    @field_validator("template")
    @classmethod
    def _a_known_template(cls, value: Template | None, info: ValidationInfo) -> Template | None:
        task = info.data.get("task")
        if task == "text-generation" and value is None:
            raise ValueError("task text-generation needs a template that makes a prompt of the conversation")
        if task == "chat" and value is not None:
            raise ValueError("template is for task text-generation: in a chat the server has its own")
        if isinstance(value, str) and value not in NAMED_TEMPLATES:
            raise ValueError(f"no template has this name{or_which(value, NAMED_TEMPLATES)}")
        if isinstance(value, InlineTemplate):
            try:
                load_template(value)
            except UnsupportedContent as exc:
                raise ValueError(str(exc)) from None
        return value

    @property
    def at_hugging_face(self) -> bool:
        """Return whether calls go to Hugging Face's own hosts, a provider behind its router included."""
        return self.endpoint is None or is_hugging_face(self.endpoint)

    @property
    def credential(self) -> SecretRef | None:
        """Return where the token of a call is to be found: the one given, or HF_TOKEN for Hugging
        Face alone; None where it is the person's own.
        """
        if self.token is not None or self.auth is not None:
            return self.token
        return DEFAULT_TOKEN if self.at_hugging_face else None

    @property
    def credential_required(self) -> bool:
        """Providers want a token; an endpoint may be open to all, unless a token was given for it."""
        return self.token is not None or self.endpoint is None

    @property
    def headers(self) -> dict[str, str]:
        """Headers besides the clients' own."""
        return {} if self.scale_up_timeout is None else {"X-Scale-Up-Timeout": str(self.scale_up_timeout)}


def _temperature(minimum: float) -> Parameter:
    return Parameter("temperature", "float", ENGLISH("parameter.temperature"), minimum=minimum, maximum=2)


CHAT_PARAMETERS: tuple[Parameter, ...] = (
    _temperature(0),
    Parameter("top_p", "float", ENGLISH("parameter.top_p"), minimum=0.01, maximum=1),
    Parameter("max_tokens", "int", ENGLISH("parameter.max_tokens"), minimum=1),
    Parameter("seed", "int", ENGLISH("parameter.seed"), minimum=0, advanced=True),
    Parameter(
        "frequency_penalty",
        "float",
        ENGLISH("parameter.frequency_penalty"),
        minimum=-2,
        maximum=2,
        advanced=True,
    ),
    Parameter(
        "presence_penalty",
        "float",
        ENGLISH("parameter.presence_penalty"),
        minimum=-2,
        maximum=2,
        advanced=True,
    ),
    Parameter("stop", "strings", ENGLISH("parameter.stop-four"), advanced=True),
)


def text_parameters(client: str) -> tuple[Parameter, ...]:
    """Return the parameters of the protocol, with its ranges.

    The `text-generation` client allows a little less.
    """
    lowest_penalty = -2.0 if client == "hub" else 0.01
    return (
        _temperature(0.01),
        Parameter("top_p", "float", ENGLISH("parameter.top_p"), minimum=0.01, maximum=1),
        Parameter("top_k", "int", ENGLISH("parameter.top_k"), minimum=1),
        Parameter(
            "max_new_tokens",
            "int",
            ENGLISH("parameter.max_new_tokens", count=DEFAULT_NEW_TOKENS),
            minimum=1,
        ),
        Parameter("do_sample", "bool", ENGLISH("parameter.do_sample")),
        Parameter(
            "repetition_penalty", "float", ENGLISH("parameter.repetition_penalty"), minimum=0.01, maximum=10
        ),
        Parameter(
            "frequency_penalty",
            "float",
            ENGLISH("parameter.frequency_penalty"),
            minimum=lowest_penalty,
            maximum=2,
            advanced=True,
        ),
        Parameter(
            "typical_p", "float", ENGLISH("parameter.typical_p"), minimum=0.01, maximum=1, advanced=True
        ),
        Parameter("seed", "int", ENGLISH("parameter.seed"), minimum=1, maximum=2**63 - 1, advanced=True),
        Parameter("truncate", "int", ENGLISH("parameter.truncate"), minimum=1, advanced=True),
        Parameter("watermark", "bool", ENGLISH("parameter.watermark"), advanced=True),
        Parameter(
            "best_of",
            "int",
            ENGLISH("parameter.best_of"),
            minimum=1,
            maximum=16,
            advanced=True,
        ),
        Parameter("grammar", "json", "{type: json, json_schema or regex, value: ...}", advanced=True),
        Parameter("stop", "strings", ENGLISH("parameter.stop"), advanced=True),
    )
