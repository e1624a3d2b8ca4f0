"""Reasoning that a model writes into its text, between tags, taken out of it as the text streams."""

from __future__ import annotations

from chatlab.messages import ReasoningDelta, StreamEvent, TextDelta


class ThinkTags:
    """Splits text into reasoning and answer.

    Only a thought at the very beginning counts, after white space at most: an answer that speaks about the
    tag later stays whole. What may still become a tag is held back until it is clear.
    """

    __slots__ = ("_close", "_held", "_open", "_state")

    def __init__(self, opening: str = "<think>", closing: str = "</think>", *, inside: bool = False) -> None:
        """inside: the prompt ended in the opening tag, so that the answer begins with the thought."""
        self._open, self._close = opening, closing
        self._held = ""
        self._state = "thought" if inside else "start"  # start -> thought -> gap -> answer

    def feed(self, text: str) -> list[StreamEvent]:
        """Return the events for the next piece of text."""
        if self._state == "answer":
            return [TextDelta(text)] if text else []
        text, self._held = self._held + text, ""
        if self._state == "start":
            bare = text.lstrip()
            if bare.startswith(self._open):
                self._state = "thought"
                text = bare[len(self._open) :].removeprefix("\n")
            elif self._open.startswith(bare):
                self._held = text
                return []
            else:
                self._state = "answer"
                return [TextDelta(text)]
        if self._state == "thought":
            thought, tag, rest = text.partition(self._close)
            if not tag:
                keep = overlap(thought, self._close)
                self._held = thought[len(thought) - keep :]
                thought = thought[: len(thought) - keep]
                return [ReasoningDelta(thought)] if thought else []
            self._state = "gap"
            events: list[StreamEvent] = [ReasoningDelta(thought)] if thought else []
            return events + self.feed(rest)
        rest = text.lstrip("\r\n")  # the empty lines after the closing tag belong to it
        if not rest:
            return []
        self._state = "answer"
        return [TextDelta(rest)]

    def end(self) -> list[StreamEvent]:
        """Return what was still held back."""
        held, self._held = self._held, ""
        if not held:
            return []
        return [ReasoningDelta(held)] if self._state == "thought" else [TextDelta(held)]


def overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of the text are the beginning of the tag."""
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
