"""Prompts from a chat template, for models that continue a text.

Templates are Jinja, rendered as `transformers` renders them (`tokenizer.apply_chat_template`): the same
environment, the same variables, always with `add_generation_prompt`, in a sandbox that can neither change
what it is given nor reach anything else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from chatlab.errors import UnsupportedContent
from chatlab.formats.named_templates import NAMED_TEMPLATES
from chatlab.formats.shared import merge_consecutive
from chatlab.messages import FilePart, Message, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.text import encodable

__all__ = ["NAMED_TEMPLATES", "PromptTemplate"]

# A control marker looks like <|end|>, </s>, [INST], <start_of_turn>, <<SYS>> in the sources of all families.
_MARKER = re.compile(
    r"<[|｜][^|｜<>'\"+]+[|｜]>|</?s>|\[/?INST\]|<</?SYS>>|</?\w+_of_\w+>|</?(?:start|end)_\w+>"
)
# What ends a turn in templates whose end-of-turn is not the tokenizer's eos_token.
_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|eot|>", "<|return|>")


class PromptTemplate:
    """Turns a conversation into the prompt after which a model writes the next answer.

    stop: texts at which the answer ends; they are never to be shown.
    markers: the template's control markers. A model server reads them wherever they stand, **also inside what
        a person wrote**: text protocols cannot quote, and to change what was written is not ours. A person
        can so forge turns in their own conversation, never in another's. `markers_in` finds them, so that it
        can be said beside the answer.
    """

    def __init__(
        self,
        source: str,
        *,
        stop: Sequence[str] = (),
        bos_token: str = "",
        eos_token: str = "",
        keep_bos: bool = False,
        name: str = "the prompt template",
    ) -> None:
        """Compile the template.

        keep_bos: whether the prompt keeps a leading `bos_token`. Servers of text generation put it there
        themselves (TGI does), and twice is worse than once. Raises UnsupportedContent for a source that is
        not Jinja."""
        self.name = name
        self.source = source
        self.stop = tuple(stop)
        self._bos = bos_token
        self._keep_bos = keep_bos
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        try:
            self._template = _ENVIRONMENT.from_string(source)
        except TemplateSyntaxError as exc:
            raise UnsupportedContent(
                f"{name}, line {exc.lineno}: not a Jinja template: {exc.message}"
            ) from exc

    @classmethod
    def named(cls, name: str) -> PromptTemplate:
        """Return one of `NAMED_TEMPLATES`. Raises UnsupportedContent, listing them, for any other name."""
        if name not in NAMED_TEMPLATES:
            known = ", ".join(NAMED_TEMPLATES)
            raise UnsupportedContent(f"no prompt template is named {name!r}: the names are {known}")
        found = NAMED_TEMPLATES[name]
        return cls(found.source, stop=found.stop, name=f"the {name} template")

    @classmethod
    def inline(
        cls, source: str, stop: Sequence[str] = (), *, bos_token: str = "", eos_token: str = ""
    ) -> PromptTemplate:
        """Return a Jinja template as written in a configuration."""
        return cls(source, stop=stop, bos_token=bos_token, eos_token=eos_token)

    @classmethod
    def from_tokenizer_config(
        cls, path: str | Path, *, template: str = "default", stop: Sequence[str] | None = None
    ) -> PromptTemplate:
        """Return the chat template of a model's tokenizer_config.json, or of chat_template.jinja beside it.

        template: which one, where the file has several. stop: by default the tokenizer's `eos_token` and the
        end-of-turn markers that the template writes. A leading `bos_token` is left to the server unless the
        file says `"add_bos_token": false`. Raises UnsupportedContent.
        """
        path = Path(path)
        config = _read_json(path)
        source = _choose(config.get("chat_template"), template, path)
        eos, bos = _token(config, "eos_token"), _token(config, "bos_token")
        if stop is None:
            ends = (eos, *(end for end in _ENDS if end in source))
            stop = [end for end in dict.fromkeys(ends) if end]
        return cls(
            source,
            stop=stop,
            bos_token=bos,
            eos_token=eos,
            keep_bos=config.get("add_bos_token") is False,
            name=f"the chat template of {path.name}",
        )

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt. Text stands in it exactly as it was written.

        A template that refuses consecutive messages of one role gets them joined by a blank line. Raises
        UnsupportedContent for files, for tool calls where the template knows none (see `takes_tools`), and
        with the template's own words where it refuses the conversation.
        """
        try:
            return self._render(self._turns(messages))
        except TemplateError as exc:
            merged = merge_consecutive(messages)
            if len(merged) == len(messages):
                self._refuse(exc)
        try:
            return self._render(self._turns(merged))
        except TemplateError as exc:
            self._refuse(exc)

    def _refuse(self, exc: TemplateError) -> NoReturn:
        said = " ".join(str(exc).split())[:200] or type(exc).__name__
        raise UnsupportedContent(f"{self.name} cannot take this conversation: {said}") from exc

    def _render(self, turns: Sequence[Mapping[str, Any]]) -> str:
        try:
            text = self._template.render(
                messages=turns, add_generation_prompt=True, tools=None, **self._tokens
            )
        except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as exc:
            # What an expression of the template raises by itself, such as "a" + 1.
            raise TemplateError(f"{type(exc).__name__}: {exc}") from exc
        return text.removeprefix(self._bos) if self._bos and not self._keep_bos else text

    def _turns(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        return [turn for index, message in enumerate(messages) for turn in self._turns_of(message, index)]

    def _turns_of(self, message: Message, index: int) -> list[dict[str, Any]]:
        turns: list[dict[str, Any]] = []
        texts: list[str] = []
        calls: list[dict[str, Any]] = []

        def close() -> None:
            if texts or calls or not (turns or message.role == "tool"):
                turn: dict[str, Any] = {"role": message.role, "content": "".join(texts)}
                turns.append({**turn, "tool_calls": list(calls)} if calls else turn)
            texts.clear()
            calls.clear()

        for part in message.parts:
            if isinstance(part, TextPart):
                texts.append(part.text)
            elif isinstance(part, FilePart):
                raise UnsupportedContent(
                    f"message {index}: a text prompt cannot hold a file ({part.media_type})"
                )
            elif isinstance(part, ToolCall | ToolResult) and not self.takes_tools:
                raise UnsupportedContent(f"message {index}: {self.name} has no place for tool calls")
            elif isinstance(part, ToolCall):
                function = {"name": part.name, "arguments": _arguments(part.arguments)}
                calls.append({"id": part.id, "type": "function", "function": function})
            elif isinstance(part, ToolResult):
                if texts or calls:
                    close()
                turns.append(
                    {
                        "role": "tool",
                        "content": part.content,
                        "tool_call_id": part.id,
                        "name": part.name or "",
                    }
                )
            elif isinstance(part, ReasoningPart):
                continue
        close()
        return turns

    @cached_property
    def markers(self) -> tuple[str, ...]:
        """Return the control markers that this template writes, and its stop texts, each once."""
        try:  # some are put together from a role's name, so look at what comes out too
            sample = self._render(
                [{"role": r, "content": ""} for r in ("system", "user", "assistant", "user")]
            )
        except TemplateError:
            sample = ""
        found = (*_MARKER.findall(self.source + sample), *self.stop, *self._tokens.values())
        return tuple(dict.fromkeys(marker for marker in found if marker.strip()))

    @cached_property
    def takes_tools(self) -> bool:
        """Return whether the template has a place for tool calls of earlier answers."""
        return "tool_calls" in self.source

    @cached_property
    def takes_system(self) -> bool:
        """Return whether a system message's text reaches the prompt; otherwise fold it with `fold_system`.

        Found out by trying: some templates refuse a system message, others leave it out without a word.
        """
        probe = "\u2063chatlab-system-probe\u2063"
        try:
            return probe in self._render(
                [{"role": "system", "content": probe}, {"role": "user", "content": "hello"}]
            )
        except TemplateError:
            return False

    def markers_in(self, messages: Sequence[Message]) -> tuple[str, ...]:
        """Return the control markers of this template that the conversation's own texts contain, each once.

        The model will read them as control, not as text.
        """
        texts = [part.text for message in messages for part in message.parts if isinstance(part, TextPart)]
        return tuple(marker for marker in self.markers if any(marker in text for text in texts))

    def __repr__(self) -> str:
        return f"<PromptTemplate {self.name}>"


class _Generation(Extension):
    """`{% generation %}` marks what the model wrote, for training; the text itself is unchanged."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 declares a set)

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own filter escapes for HTML; a prompt is none.
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _environment() -> ImmutableSandboxedEnvironment:
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    env.filters["tojson"] = _tojson
    env.globals["raise_exception"] = _raise_exception
    env.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return env


_ENVIRONMENT = _environment()


def _arguments(text: str) -> Any:
    """Return the arguments parsed, as templates expect; text that is no JSON stays text."""
    try:
        return encodable(json.loads(text))
    except ValueError:
        return text


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise UnsupportedContent(f"{path}: {exc.strerror or 'cannot be read'}") from exc
    except ValueError as exc:
        raise UnsupportedContent(f"{path}: not a JSON file ({exc})") from exc
    if not isinstance(config, Mapping):
        raise UnsupportedContent(f"{path}: not a tokenizer configuration")
    return config


def _choose(found: object, wanted: str, path: Path) -> str:
    if isinstance(found, list):  # several, each {"name", "template"}
        named = {
            item["name"]: item["template"]
            for item in found
            if isinstance(item, Mapping)
            and isinstance(item.get("name"), str)
            and isinstance(item.get("template"), str)
        }
        if wanted not in named:
            raise UnsupportedContent(
                f"{path}: no chat template {wanted!r}, there are {', '.join(named) or 'none'}"
            )
        return str(named[wanted])
    beside = path.with_name("chat_template.jinja")
    if found is None and beside.is_file():  # where newer models keep it
        try:
            return beside.read_text("utf-8")
        except (OSError, ValueError) as exc:
            raise UnsupportedContent(f"{beside}: cannot be read") from exc
    if not isinstance(found, str):
        raise UnsupportedContent(f"{path}: has no chat_template")
    return found


def _token(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    if isinstance(value, Mapping):  # an AddedToken
        value = value.get("content")
    return value if isinstance(value, str) else ""
