"""Gradio's history <-> Message, for every shape that reaches a chat function. Gradio itself is not imported.

The shapes, as captured in tests/formats/golden (Gradio 6.31):

- `{"role", "content": [parts], "metadata": None | {...}, "options": ...}`, parts being
  `{"type": "text", "text"}`, `{"type": "file", "file": {path, url, orig_name, mime_type, ...}}` and
  `{"type": "component", ...}`;
- through the `/chat` API, what the function itself gave: `content` is a bare string, a component, a
  `{"path": ...}`, a list that mixes these, or a whole ChatMessage;
- pairs `[user, bot]` of Gradio 4 and 5, `None` where nothing was said, files as `(path,)` or `(path, alt)`.

Gradio runs `inspect.cleandoc` over every bare string of a history, also over what a person wrote: leading
blanks and tabs of *earlier* messages are gone before they get here. The message itself arrives exactly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, assert_never

from chatlab.codec import is_data_url
from chatlab.errors import UnsupportedContent
from chatlab.formats import media as _media
from chatlab.formats.shared import unknown
from chatlab.formats.suffixes import canonical
from chatlab.messages import (
    FilePart,
    Message,
    Notice,
    Part,
    ReasoningPart,
    Role,
    TextPart,
    ToolCall,
    ToolResult,
)
from chatlab.text import encodable
from chatlab.words import ENGLISH

OWN_IDS = ("turn:", "window:")
"""How the metadata ids of our own page's additions begin (an answer's footer, the note that older messages
are not painted). They are no part of the conversation, so leaving them out is no news to anybody."""

_FILE_COMPONENTS = ("audio", "file", "gallery", "image", "video")
_ROLES: dict[object, Role] = {"user": "user", "assistant": "assistant", "system": "system"}


def from_gradio(
    history: Sequence[object] | None, message: str | Mapping[str, Any] | None = None
) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
    """Return the conversation as it stands, `message` last if there is one, and what was left out of it.

    Several assistant messages of a turn stay several; consecutive user messages (turns that failed) too. A
    message without any text or file has no parts. Thoughts and tool displays (assistant messages with a
    `metadata.title`) are not part of the prompt: one `thoughts_dropped` notice counts them. Components that
    hold a file become the file; others cannot be told to a model and are left out with a notice.

    **Paths are taken as they come.** Gradio puts uploads into its own cache, but a forged request may name
    any file: whoever calls this must have made sure that each `FilePart.path` is one of the conversation's
    own uploads before it is read.

    Raises UnsupportedContent for a shape that is not known, naming its index and what was found.
    """
    reader = _Reader()
    for index, item in enumerate(history or ()):
        reader.item(item, f"history item {index}")
    if message is not None:
        reader.messages.append(Message("user", _message_parts(message)))
    return tuple(reader.messages), tuple(reader.notices())


class _Reader:
    """Collects messages, and counts what is left out."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.thoughts = 0
        self.components: list[str] = []

    def notices(self) -> list[Notice]:
        found = []
        if self.thoughts:
            found.append(Notice("thoughts_dropped", ENGLISH.counted("notice.display", self.thoughts)))
        if self.components:
            names = ", ".join(dict.fromkeys(self.components))
            found.append(Notice("other", ENGLISH("notice.components", names=names)))
        return found

    def item(self, item: object, where: str) -> None:
        if isinstance(item, list | tuple):
            self.pair(item, where)
            return
        fields_ = _fields(item)
        if fields_ is None or "role" not in fields_ or "content" not in fields_:
            unknown(where, "an object with role and content, or a pair", item)
        role = _ROLES.get(fields_["role"])
        if role is None:
            shown = repr(fields_["role"])[:40]
            raise UnsupportedContent(f"{where}: expected the role user, assistant or system, found {shown}")
        self.message(role, fields_["content"], fields_.get("metadata"), where)

    def message(self, role: Role, content: object, metadata: object, where: str) -> None:
        inner = _fields(content)
        if inner is not None and "content" in inner:  # a ChatMessage in place of its content
            self.message(role, inner["content"], inner.get("metadata") or metadata, where)
            return
        if role == "assistant" and self._left_out(metadata, where):
            return
        parts: list[Part] = []
        pieces = content if isinstance(content, list) else [content]
        for number, piece in enumerate(pieces):
            parts.extend(self.piece(piece, f"{where}, part {number}" if isinstance(content, list) else where))
        if parts or not pieces or any(_is_text(piece) for piece in pieces):
            self.messages.append(Message(role, tuple(parts)))

    def _left_out(self, metadata: object, where: str) -> bool:
        if metadata is None:
            return False
        known = _fields(metadata)
        if known is None:
            unknown(f"{where}, metadata", "an object", metadata)
        if str(known.get("id") or "").startswith(OWN_IDS):
            return True
        if known.get("title"):
            self.thoughts += 1
            return True
        return False

    def piece(self, piece: object, where: str) -> list[Part]:
        if isinstance(piece, str):
            return _text(piece)
        if isinstance(piece, tuple):
            return [_old_file(piece, where)]
        if _is_component(piece):
            return self.component(type(piece).__name__.lower(), _value_of(piece))
        known = _fields(piece)
        if known is not None:
            kind = known.get("type")
            if kind == "text" and isinstance(known.get("text"), str):
                return _text(known["text"])
            if kind == "component" and isinstance(known.get("component"), str):
                return self.component(known["component"], known.get("value"))
            file = _fields(known.get("file")) if kind in ("file", None) else None
            if file is not None:
                return [_file(file, where)]
            if "path" in known:
                return [_file(known, where)]
        unknown(where, "text, a file or a component", piece)

    def component(self, name: str, value: object) -> list[Part]:
        """Return its file or files, where it holds some; otherwise it is counted as left out."""
        found: list[Part] = []
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, str | Path) and name in _FILE_COMPONENTS:
                found.append(_file({"path": str(one)}, name))
                continue
            known = _fields(one)
            for key in ("image", "video"):  # a gallery's items
                if known is not None and "path" not in known:
                    known = _fields(known.get(key)) or known
            if known is None or not isinstance(known.get("path"), str):
                self.components.append(name)
                return []
            found.append(_file(known, name))
        return found

    def pair(self, pair: Sequence[object], where: str) -> None:
        if len(pair) != 2:
            unknown(where, "a pair of user and assistant", pair)
        roles: tuple[Role, Role] = ("user", "assistant")
        for role, said in zip(roles, pair, strict=True):
            if said is None:
                continue
            here = f"{where}, {role}"
            content = tuple(said) if isinstance(said, list) else said  # JSON has no tuples
            self.message(role, content, None, here)


def _message_parts(message: str | Mapping[str, Any]) -> tuple[Part, ...]:
    if isinstance(message, str):
        return tuple(_text(message))
    known = _fields(message)
    if known is None or not ("text" in known or "files" in known):
        unknown("the message", "a string, or an object with text and files", message)
    text, files = known.get("text"), known.get("files")
    if not isinstance(text, str | None) or not isinstance(files, list | tuple | None):
        unknown("the message", "text as a string and files as a list", message)
    parts: list[Part] = []
    for number, file in enumerate(files or ()):
        where = f"the message, file {number}"
        data = {"path": str(file)} if isinstance(file, str | Path) else _fields(file)
        if data is None:
            unknown(where, "a path or a file's data", file)
        parts.append(_file(data, where))
    return (*parts, *_text(text or ""))


def _text(text: str) -> list[Part]:
    return [TextPart(text)] if text else []


def _is_text(piece: object) -> bool:
    known = _fields(piece)
    return isinstance(piece, str) or (known is not None and known.get("type") == "text")


def _file(data: Mapping[str, Any], where: str) -> FilePart:
    path, url, name = data.get("path"), data.get("url"), data.get("orig_name")
    if (
        not isinstance(name, str | None)
        or not isinstance(url, str | None)
        or not isinstance(path, str | Path | None)
    ):
        unknown(where, "a file with path or url", data)
    told = data.get("mime_type")
    media_type = canonical(told) if isinstance(told, str) else ""
    # Beside a path, `url` is only this server's own route to it.
    source = str(path) if path else url or ""
    if is_data_url(source):
        try:
            return _media.file_from_data_url(source, name)
        except ValueError as exc:
            raise UnsupportedContent(f"{where}: the file is {exc}") from exc
    if _media.is_web_url(source):
        known = media_type not in ("", _media.UNKNOWN)
        guessed = media_type if known else _media.media_type_of_url(source, _media.UNKNOWN)
        return FilePart(guessed, name or _media.name_of_url(source), url=source)
    if not path:
        unknown(where, "a file with path or url", data)
    local = Path(path)
    return FilePart(_media.media_type_of_path(local, name, media_type), name or local.name, path=local)


def _old_file(value: tuple[object, ...], where: str) -> FilePart:
    if len(value) not in (1, 2) or not isinstance(value[0], str) or not isinstance(value[-1], str | None):
        unknown(where, "a file as (path,) or (path, alternative text)", value)
    return _file({"path": value[0]}, where)


def _is_component(value: object) -> bool:
    return hasattr(value, "get_config") and hasattr(value, "constructor_args")


def _value_of(component: Any) -> object:
    """Return what a component shows. One made while an event runs has only what it was made with."""
    value = getattr(component, "value", None)
    return component.constructor_args.get("value") if value is None else value


def _fields(value: object) -> Mapping[str, Any] | None:
    """Return the fields of a dict, a dataclass (gr.ChatMessage) or a pydantic model (Gradio's), else None."""
    if isinstance(value, Mapping):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    names = getattr(type(value), "model_fields", None)
    if isinstance(names, Mapping):
        return {name: getattr(value, name) for name in names}
    return None


def to_gradio(
    messages: Sequence[Message], *, save: Callable[[FilePart], Path] | None = None
) -> list[dict[str, Any]]:
    """Return the conversation as typed Gradio messages, which Gradio shows without changing white space.

    Reasoning, tool calls and results become closed thoughts in their place; `from_gradio` leaves them out
    again. save: writes a file that is held in memory to where Gradio may serve it from, and says where;
    without it such a file raises UnsupportedContent. Gradio copies a local file into its cache and fetches
    one given by URL when it shows it.
    """
    found: list[dict[str, Any]] = []
    for index, message in enumerate(messages):
        role = "assistant" if message.role == "tool" else message.role
        content: list[dict[str, Any]] = []
        before = len(found)
        for part in message.parts:
            if isinstance(part, TextPart):
                content.append({"type": "text", "text": part.text})
            elif isinstance(part, FilePart):
                content.append({"type": "file", "file": _to_file(part, save, f"message {index}")})
            else:
                if content:
                    found.append({"role": role, "content": content})
                    content = []
                found.append(_thought(part))
        if content or (len(found) == before and message.role != "tool"):
            # Gradio drops a message with no content at all.
            found.append({"role": role, "content": content or [{"type": "text", "text": ""}]})
    return found


def _to_file(part: FilePart, save: Callable[[FilePart], Path] | None, where: str) -> dict[str, Any]:
    if part.url is not None:
        source = part.url
    elif part.path is not None:
        source = str(part.path)
    elif save is not None:
        source = str(save(part))
    else:
        raise UnsupportedContent(f"{where}: {part.name or 'a file'} is in memory only and cannot be shown")
    return {
        "path": source,
        "orig_name": part.name,
        "mime_type": part.media_type,
        "meta": {"_type": "gradio.FileData"},
    }


def _thought(part: ReasoningPart | ToolCall | ToolResult) -> dict[str, Any]:
    metadata: dict[str, Any] = {"status": "done"}
    if isinstance(part, ReasoningPart):
        metadata["title"], text = "Reasoning", part.text
    elif isinstance(part, ToolCall):
        metadata |= {"title": f"Tool: {part.name}", "id": part.id}
        text = fenced(_pretty(part.arguments), "json")
    elif isinstance(part, ToolResult):
        metadata |= {"title": "Failed" if part.is_error else "Result", "parent_id": part.id}
        text = fenced(part.content)
    else:
        assert_never(part)
    return {"role": "assistant", "metadata": metadata, "content": [{"type": "text", "text": text}]}


def _pretty(arguments: str) -> str:
    try:
        return json.dumps(encodable(json.loads(arguments)), indent=2, ensure_ascii=False)
    except ValueError:
        return arguments


def fenced(text: str, language: str = "") -> str:
    """Return a Markdown code block that the text cannot break out of."""
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"
