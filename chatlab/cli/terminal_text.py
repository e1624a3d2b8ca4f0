"""Untrusted text as it may stand on a terminal: without control sequences."""

from __future__ import annotations

import re
from typing import assert_never

from chatlab.messages import (
    Citation,
    Finish,
    Notice,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolResult,
    Trace,
)

# ECMA-48: an introducer (ESC or its one-byte C1 form), then its parameters and final byte (CSI), a string up
# to its terminator (OSC, DCS, SOS, PM, APC), or intermediate and final bytes (everything else).
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x9c|\x1b\\)"
    r"|\x1b[ -/]+[0-~]"
    r"|\x1b[0-OQ-WYZ\\`-~]"
)
# What the start of one looks like while the rest has not arrived.
_OPEN = re.compile(
    r"(?:\x1b|(?:\x1b\[|\x9b)[0-?]*[ -/]*"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*\x1b?|\x1b[ -/]+)\Z"
)
# Any other control character, and those that make text read in another order than it is written in.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_INTRODUCER = re.compile(r"[\x1b\x90\x98\x9b\x9d-\x9f]")
_LONGEST = 4096  # characters; what goes on for longer is not a sequence but text that is being hidden


class Cleaner:
    """Takes terminal control sequences out of a text that arrives in pieces; keeps new lines and tabs."""

    __slots__ = ("_after_return", "_held")

    def __init__(self) -> None:
        self._held = ""
        self._after_return = False

    def feed(self, text: str) -> str:
        """More text; returns what of it can be shown by now."""
        text = self._held + text
        self._held = ""
        shown: list[str] = []
        at = 0
        while (found := _INTRODUCER.search(text, at)) is not None:
            start = found.start()
            shown.append(text[at:start])
            whole = _SEQUENCE.match(text, start)
            if whole is not None and len(whole.group()) <= _LONGEST:
                at = whole.end()
            elif len(text) - start <= _LONGEST and _OPEN.match(text, start):
                self._held = text[start:]
                return self._plain("".join(shown))
            else:  # not a sequence after all: only its introducer goes
                at = start + 1
        shown.append(text[at:])
        return self._plain("".join(shown))

    def end(self) -> str:
        """Return what was held back, now that nothing follows."""
        held, self._held = self._held, ""
        return self._plain(held[1:])

    def _plain(self, text: str) -> str:
        if not text:
            return ""
        if self._after_return and text.startswith("\n"):
            text = text[1:]
            self._after_return = False
        if text:
            self._after_return = text.endswith("\r")
        return _CONTROL.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def clean(text: str) -> str:
    """Return a whole text without terminal control sequences."""
    cleaner = Cleaner()
    return cleaner.feed(text) + cleaner.end()


def one_line(text: str, limit: int = 500) -> str:
    """Untrusted text as part of one line: clean, white space folded, cut at `limit` characters."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def describe(event: StreamEvent) -> str | None:
    """Return an event that is not part of the answer's text as one line; None for those that are."""
    match event:
        case Notice():
            return f"note: {one_line(event.detail)}"
        case ToolCall():
            return f"tool: {one_line(event.name, 80)}({one_line(event.arguments, 200)})"
        case ToolResult():
            what = "tool error" if event.is_error else "tool result"
            return f"{what}: {one_line(event.content, 200)}"
        case Citation():
            return f"source: {one_line(' '.join(filter(None, (event.title, event.url))))}"
        case Trace():
            return f"trace: {one_line(' '.join(filter(None, (event.id, event.url))))}"
        case TextDelta() | ReasoningDelta() | Finish():
            return None
        case _:
            assert_never(event)


def how_it_ended(finish: Finish) -> str | None:
    """Return what is to be said of an answer that did not simply end, or None."""
    match finish.reason:
        case "stop":
            return None
        case "length":
            return "note: the answer was cut off at the token limit"
        case "content_filter":
            return "note: the upstream's content filter ended the answer"
        case "tool_calls":
            return "note: the model asks for a tool to be run, which chatlab does not do"
        case _:
            assert_never(finish.reason)
