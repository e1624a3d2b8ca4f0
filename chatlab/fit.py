"""Fits a conversation to what a backend takes. Nothing is dropped without a Notice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from chatlab.backend import Capabilities, ChatRequest, ParameterValue
from chatlab.errors import UnsupportedContent
from chatlab.history import fold_system, without_unmatched_tools
from chatlab.messages import FilePart, Message, Notice, Part


def fit(
    capabilities: Capabilities,
    messages: Sequence[Message],
    parameters: Mapping[str, ParameterValue],
    system: str | None = None,
) -> tuple[ChatRequest, list[Notice]]:
    """The request a backend with these capabilities gets, and what the person should know about it.

    A system message already in `messages` wins over `system`. Parameters that are None are not sent.
    Raises UnsupportedContent if the last message has nothing left that could be sent.
    """
    notices: list[Notice] = []
    fitted = [_without_files(message, capabilities.files, notices) for message in messages]
    if not fitted or not fitted[-1].parts:
        raise UnsupportedContent(
            "there is nothing to send: write a message, or choose a backend that takes files"
        )
    matched, unmatched = without_unmatched_tools([message for message in fitted if message.parts])
    fitted = list(matched)
    notices.extend(unmatched)
    if system and not any(message.role == "system" for message in fitted):
        fitted.insert(0, Message.of("system", system))
    if not capabilities.system and any(message.role == "system" for message in fitted):
        fitted = list(fold_system(fitted))
        notices.append(Notice("system_folded", "the system prompt was put before the first message"))
    known = {parameter.name for parameter in capabilities.parameters}
    kept = {name: value for name, value in parameters.items() if name in known and value is not None}
    notices.extend(
        Notice("parameter_ignored", f"{name} is not a parameter of this backend")
        for name, value in parameters.items()
        if name not in known and value is not None
    )
    return ChatRequest(tuple(fitted), kept), notices


def accepts(patterns: Sequence[str], media_type: str) -> bool:
    """Whether a media type matches one of the patterns (`image/*`)."""
    return any(fnmatchcase(media_type.lower(), pattern) for pattern in patterns)


def _without_files(message: Message, patterns: Sequence[str], notices: list[Notice]) -> Message:
    parts: list[Part] = []
    for part in message.parts:
        if isinstance(part, FilePart) and message.role == "assistant":
            # Shown by an earlier answer: no upstream takes it back.
            notices.append(
                Notice("file_dropped", f"{part.name or 'a file'} of an earlier answer was not sent")
            )
        elif isinstance(part, FilePart) and not accepts(patterns, part.media_type):
            notices.append(
                Notice("file_dropped", f"{part.name or 'a file'} was not sent: no {part.media_type} here")
            )
        else:
            parts.append(part)
    return message if len(parts) == len(message.parts) else Message(message.role, tuple(parts))
