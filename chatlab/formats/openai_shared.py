"""The common part of OpenAI's two formats of a conversation: who says what, and how content is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, assert_never

from chatlab.errors import UnsupportedContent
from chatlab.formats import media as _media
from chatlab.formats.shared import only, unknown
from chatlab.messages import FilePart, Message, Part, ReasoningPart, TextPart, ToolCall, ToolResult

Content: TypeAlias = "str | list[dict[str, Any]]"
Said: TypeAlias = "str | ToolCall | ToolResult"


@dataclass(frozen=True, slots=True)
class Form:
    """The names that one of the two formats uses for what both have.

    message: a message of a role with its content. assistant: what an assistant said and did, in order.
    result: a tool's result. file: a file as a part of a user message. text_type: the type of a text part.
    """

    message: Callable[[str, Content], dict[str, Any]]
    assistant: Callable[[Iterator[Said]], list[dict[str, Any]]]
    result: Callable[[ToolResult], dict[str, Any]]
    file: Callable[[FilePart, str], dict[str, Any]]
    text_type: str


def written(messages: Sequence[Message], form: Form) -> list[dict[str, Any]]:
    """Return a conversation in this form. Raises UnsupportedContent for what it cannot carry."""
    found: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        where = f"message {index}"
        if message.role == "assistant":
            said = form.assistant(_said(message.parts, where))
            found.extend(said or [form.message("assistant", "")])
        elif message.role == "tool":
            found.extend(form.result(part) for part in only(message.parts, ToolResult, where, "tool"))
        elif message.role == "system":
            texts = only(message.parts, TextPart, where, "system")
            found.append(form.message("system", "".join(part.text for part in texts)))
        elif message.role == "user":
            found.append(form.message("user", _user_content(message.parts, where, form)))
        else:
            assert_never(message.role)
    return found


def _said(parts: Sequence[Part], where: str) -> Iterator[Said]:
    """Yield an answer's text between its tool calls and their results; reasoning is no part of the prompt."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ToolCall | ToolResult):
            if text := "".join(texts):
                yield text
            texts.clear()
            yield part
        elif isinstance(part, FilePart):
            raise UnsupportedContent(
                f"{where}: an assistant message cannot hold a file ({part.media_type}) here"
            )
        elif isinstance(part, ReasoningPart):
            continue
        else:
            assert_never(part)
    if text := "".join(texts):
        yield text


def _user_content(parts: Sequence[Part], where: str, form: Form) -> Content:
    """Return a user message's content: a string, or a list where files are in it."""
    if not any(isinstance(part, FilePart) for part in parts):
        return "".join(part.text for part in only(parts, TextPart, where, "user"))
    content: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, FilePart):
            content.append(form.file(part, where))
        elif isinstance(part, TextPart):
            if part.text:
                content.append({"type": form.text_type, "text": part.text})
        else:
            raise UnsupportedContent(f"{where}: a user message cannot hold a {type(part).__name__}")
    return content


# -- reading


@dataclass(frozen=True, slots=True)
class HistoryReader:
    """Reads content in one of the two formats: a string, or a list of objects by their `type`.

    system, user, assistant, tool: the types that a message of this role may hold. one: reads one of them.
    """

    system: Sequence[str]
    user: Sequence[str]
    assistant: Sequence[str]
    tool: Sequence[str]
    one: Callable[[Mapping[str, Any], str], Part | None]

    def parts(self, content: object, where: str, allowed: Sequence[str]) -> tuple[Part, ...]:
        """Return the parts of a content. Raises UnsupportedContent for a shape that is not allowed."""
        if isinstance(content, str):
            return (TextPart(content),) if content else ()
        if not isinstance(content, list | tuple):
            unknown(where, "content as a string or a list of parts", content)
        parts: list[Part] = []
        for number, item in enumerate(content):
            here = f"{where}, part {number}"
            if not isinstance(item, Mapping) or item.get("type") not in allowed:
                unknown(here, f"a part of type {' or '.join(allowed)}", item)
            part = self.one(item, here)
            if part is not None:
                parts.append(part)
        return tuple(parts)

    def spoken(self, item: Mapping[str, Any], where: str) -> Message | None:
        """Return a message of the system or the user; None for one of another role."""
        role, content = item.get("role"), item.get("content")
        if role in ("system", "developer"):
            return Message("system", self.parts(content, where, self.system))
        if role == "user":
            return Message("user", self.parts(content, where, self.user))
        return None

    def result(self, call_id: str, content: object, where: str, name: str | None = None) -> Message:
        """Return a tool's result as a message."""
        parts = self.parts(content, where, self.tool)
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        return Message("tool", (ToolResult(call_id, text, name),))


def tool_call(call_id: object, name: object, arguments: object) -> ToolCall | None:
    """Return a tool call, None unless all of it is text."""
    if isinstance(call_id, str) and isinstance(name, str) and isinstance(arguments, str):
        return ToolCall(call_id, name, arguments)
    return None


def text_part(item: Mapping[str, Any], key: str, kind: str, where: str) -> TextPart | None:
    """Return the text under a key, None if it is empty. Raises UnsupportedContent if it is no text."""
    text = item.get(key)
    if not isinstance(text, str):
        unknown(where, f"{kind} as a string", text)
    return TextPart(text) if text else None


def image_from_url(url: str) -> FilePart:
    """Return an image by `data:` or http(s) URL. Raises ValueError for any other."""
    if _media.is_web_url(url):
        guessed = _media.media_type_of_url(url, "image/*")
        return FilePart(guessed if guessed.startswith("image/") else "image/*", url=url)
    return _media.file_from_data_url(url)


def text_or_none(value: object) -> str | None:
    """Return the value if it is text."""
    return value if isinstance(value, str) else None


def unknown_role(where: str, roles: str, role: object) -> NoReturn:
    """Raise UnsupportedContent: which roles there are, and what was found."""
    shown = repr(role)[:40] if isinstance(role, str) else "none"
    raise UnsupportedContent(f"{where}: expected a role of {roles}, found {shown}")
