"""Fits a conversation to what a backend takes. Nothing is dropped in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from chatlab.backend import Capabilities, ChatRequest, ParameterValue
from chatlab.errors import InvalidRequest, UnsupportedContent
from chatlab.formats import fold_system, without_unmatched_tools
from chatlab.formats.suffixes import canonical
from chatlab.messages import FilePart, Message, Notice, Part, TextPart, ToolCall, ToolResult
from chatlab.text import encodable
from chatlab.turns.text_attachments import as_part, is_text, text_of
from chatlab.words import ENGLISH


def prompt(
    earlier: Iterable[tuple[Message, Sequence[Part]]], user: Message
) -> tuple[tuple[Message, ...], tuple[Notice, ...]]:
    """Return the messages to send so that `user` is answered after earlier messages and their answers, and
    notices of what is left out of them.

    Reasoning and tool calls of earlier answers are not sent again; a message that got no text as answer is
    left out, since two messages in a row would be answered as one.
    """
    messages: list[Message] = []
    thoughts = unanswered = 0
    for asked, answer in earlier:
        text = tuple(part for part in answer if isinstance(part, TextPart))
        thoughts += any(isinstance(part, ToolCall | ToolResult) for part in answer)
        if text:
            messages += [asked, Message("assistant", text)]
        else:
            unanswered += 1
    notices = []
    if thoughts:
        notices.append(Notice("thoughts_dropped", ENGLISH.counted("notice.earlier-tool", thoughts)))
    if unanswered:
        notices.append(Notice("history_truncated", ENGLISH.counted("notice.unanswered", unanswered)))
    return (*messages, user), tuple(notices)


def fit(
    capabilities: Capabilities,
    messages: Sequence[Message],
    parameters: Mapping[str, ParameterValue],
    system: str | None = None,
    *,
    text_of: Callable[[FilePart], str | None] = text_of,
) -> tuple[ChatRequest, list[Notice]]:
    """Return the request a backend with these capabilities gets, and what the person should know about it.

    The text of a file that the backend does not take goes into the message. text_of: of a file; None for one
    that has none. A system message already in `messages` wins over `system`. Parameters that are None are
    not sent. Raises UnsupportedContent if the last message has nothing left that could be sent, and
    InvalidRequest for a value that a parameter does not take.
    """
    notices: list[Notice] = []
    fitted = [_fitted(message, capabilities.files, notices, text_of) for message in messages]
    if not fitted or not fitted[-1].parts:
        raise UnsupportedContent(ENGLISH("refusal.only-files"))
    fitted = [message for message in fitted if message.parts]
    if not capabilities.open_calls:
        matched, unmatched = without_unmatched_tools(fitted)
        fitted = list(matched)
        notices.extend(unmatched)
    if system and not any(message.role == "system" for message in fitted):
        fitted.insert(0, Message.of("system", system))
    if not capabilities.system and any(message.role == "system" for message in fitted):
        fitted = list(fold_system(fitted))
        notices.append(Notice("system_folded", ENGLISH("notice.system-folded")))
    known = {parameter.name for parameter in capabilities.parameters} if parameters else ()
    sent = {
        name: encodable(value) for name, value in parameters.items() if name in known and value is not None
    }
    notices.extend(
        Notice("parameter_ignored", ENGLISH("notice.no-parameter", name=name))
        for name, value in parameters.items()
        if name not in known and value is not None
    )
    for parameter in capabilities.parameters if sent else ():
        problem = parameter.problem(sent.get(parameter.name))
        if problem is not None:
            raise InvalidRequest(ENGLISH("refusal.parameter-here", name=parameter.name, problem=problem))
    return ChatRequest(tuple(fitted), sent), notices


def accepts(patterns: Sequence[str], media_type: str) -> bool:
    """Return whether a media type matches one of the patterns (`image/*`)."""
    return any(fnmatchcase(canonical(media_type), canonical(pattern)) for pattern in patterns)


def reaches(patterns: Sequence[str], media_type: str) -> bool:
    """Return whether a file of this type reaches a backend that takes these: as a file, or as text."""
    return accepts(patterns, media_type) or is_text(media_type)


def _fitted(
    message: Message,
    patterns: Sequence[str],
    notices: list[Notice],
    text_of: Callable[[FilePart], str | None],
) -> Message:
    """Return a message with what a backend takes of its files: as a file, or else as text."""
    parts: list[Part] = []
    for part in message.parts:
        if not isinstance(part, FilePart):
            parts.append(part)
            continue
        name = part.name or ENGLISH("notice.a-file")
        if message.role == "assistant":
            # Shown by an earlier answer: no upstream takes it back.
            notices.append(Notice("file_dropped", ENGLISH("notice.earlier-file", file=name)))
        elif accepts(patterns, part.media_type):
            parts.append(part)
        elif (text := text_of(part)) is not None:
            parts.append(as_part(part, text, parts[-1] if parts else None))
            notices.append(Notice("file_as_text", ENGLISH("notice.file-as-text", file=name)))
        else:
            notices.append(
                Notice("file_dropped", ENGLISH("notice.file-not-sent", file=name, type=part.media_type))
            )
    return message if tuple(parts) == message.parts else Message(message.role, tuple(parts))
