"""The content of turns, as the conventions tell it of a span: where `telemetry.content` asks for it.

Each text goes through the redaction of reports first, in a thread of its own, since it may be long. Files are
told by kind and name.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chatlab.backend import ChatRequest
from chatlab.messages import FilePart, Message, Part, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.redaction.texts import Pattern, TextRedaction, WrongPattern
from chatlab.secret import scrubbed_traceback
from chatlab.telemetry import conventions as names

log = logging.getLogger(__name__)

_LONGEST = 100_000  # characters of one text: collectors refuse spans of megabytes
_MOST_WAITING = 100  # turns whose content is still to be told; that of more is left out


class ContentTeller:
    """Makes the attributes with the content of turns, one turn after the other, beside the event loop."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self._thread = ThreadPoolExecutor(1, "telemetry's content")
        self._room = threading.Semaphore(_MOST_WAITING)

    def tell(
        self,
        request: ChatRequest | None,
        answer: Message,
        reason: str,
        then: Callable[[Mapping[str, str]], None],
    ) -> None:
        """Call `then` with the attributes of one turn, from another thread; at once, with none, where too
        many wait already.

        request: what the backend was given, if it came to that. reason: why the answer ended.
        """
        if not self._room.acquire(blocking=False):
            then({})
            return
        self._thread.submit(self._tell, request, answer, reason, then)

    def close(self) -> None:
        """Tell what waits, and end."""
        self._thread.shutdown()

    def _tell(
        self,
        request: ChatRequest | None,
        answer: Message,
        reason: str,
        then: Callable[[Mapping[str, str]], None],
    ) -> None:
        found: Mapping[str, str] = {}
        try:
            found = _attributes(TextRedaction(self._patterns), request, answer, reason)
        except WrongPattern as exc:
            log.warning("the content of a turn is not told: %s", exc)
        except Exception as exc:  # noqa: BLE001 - telemetry must not cost anybody an answer
            log.error("the content of a turn is not told\n%s", scrubbed_traceback(exc))
        finally:
            then(found)
            self._room.release()


def _attributes(
    redaction: TextRedaction, request: ChatRequest | None, answer: Message, reason: str
) -> dict[str, str]:
    def parts(given: Iterable[Part]) -> list[dict[str, Any]]:
        return [_part(part, lambda text: redaction.text(text[:_LONGEST], "a trace")) for part in given]

    asked = request.messages if request is not None else ()
    system = [part for message in asked if message.role == "system" for part in parts(message.parts)]
    sent = [
        {"role": message.role, "parts": parts(message.parts)} for message in asked if message.role != "system"
    ]
    said = {"role": "assistant", "parts": parts(answer.parts), "finish_reason": reason}
    told = {names.SYSTEM_INSTRUCTIONS: system, names.INPUT_MESSAGES: sent, names.OUTPUT_MESSAGES: [said]}
    return {name: json.dumps(value, ensure_ascii=False) for name, value in told.items() if value}


def _part(part: Part, clean: Callable[[str], str]) -> dict[str, Any]:
    match part:
        case TextPart(text):
            return {"type": "text", "content": clean(text)}
        case ReasoningPart(text):
            return {"type": "reasoning", "content": clean(text)}
        case ToolCall(call_id, name, arguments):
            return {"type": "tool_call", "id": call_id, "name": name, "arguments": clean(arguments)}
        case ToolResult(call_id, content):
            return {"type": "tool_call_response", "id": call_id, "response": clean(content)}
        case FilePart(media_type=media_type, name=name):
            return {"type": "file", "mime_type": media_type, "name": clean(name or "")}
