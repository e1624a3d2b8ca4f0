"""The common part of the two protocols' answers while they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backends._openai_wire.think_tags import ThinkTags
from backends._openai_wire.usage import usage_of
from backends._openai_wire.values import mapping, text_or_none
from chatlab.errors import BackendError, BrokenStream
from chatlab.messages import Citation, Finish, FinishReason, Notice, StreamEvent, TextDelta, Usage
from chatlab.upstream import error_from_body, sentence_of
from chatlab.words import ENGLISH

_SPOKEN = ("role", "content")  # what a message of another protocol has
NO_REASON = Notice("other", ENGLISH("notice.no-reason"))
NO_ANSWER = "the upstream answered with nothing that is an answer; is its URL right?"
CAME_WHOLE = Notice("not_streamed", ENGLISH("notice.came-whole"))
_NOT_COUNTED = Usage()


class AnswerStream:
    """An answer under way: text, sources, notices, usage and its end, as events.

    think: takes reasoning out of the text, for servers that leave it there.
    whole: said once where the answer comes whole although a stream was asked for; None: not said.
    """

    __slots__ = ("_cited", "_finish", "_model", "_odd", "_odd_at", "_said", "_think", "_usage", "_whole")

    def __init__(self, think: ThinkTags | None = None, *, whole: Notice | None = None) -> None:
        self._think = think
        self._whole = whole
        self._said: list[str] = []  # the text so far, tags included
        self._finish: FinishReason | None = None
        self._usage = _NOT_COUNTED
        self._model: str | None = None
        self._cited: set[str] = set()
        self._odd: Mapping[str, Any] | None = None  # the last thing that was not understood
        self._odd_at = 0  # how many pieces of text came before it

    @property
    def finished(self) -> bool:
        """Return whether the upstream has said that its answer ended."""
        return self._finish is not None

    def _text(self, text: str, events: list[StreamEvent]) -> None:
        if not text:
            return
        self._said.append(text)
        if self._think is None:
            events.append(TextDelta(text))
        else:
            events.extend(self._think.feed(text))

    def _rest_of(self, text: str, events: list[StreamEvent]) -> None:
        """Take a text that repeats what was said so far, or goes on where that ended."""
        said = "".join(self._said)
        self._text(text[len(said) :] if text.startswith(said) else text, events)

    def _came_whole(self, events: list[StreamEvent]) -> None:
        if self._whole is not None:
            events.append(self._whole)
            self._whole = None

    def _cite(self, source: Mapping[str, Any], events: list[StreamEvent]) -> None:
        title = text_or_none(source.get("title")) or text_or_none(source.get("filename"))
        url = text_or_none(source.get("url"))
        key = url or text_or_none(source.get("file_id")) or title
        if key and key not in self._cited:
            self._cited.add(key)
            events.append(Citation(title or key, url))

    def _note(self, text: str, events: list[StreamEvent], odd: Mapping[str, Any] | None = None) -> None:
        if self._odd is None:  # once is enough
            events.append(Notice("other", text))
        self._odd, self._odd_at = odd or {}, len(self._said)

    def _counted(self, holder: Mapping[str, Any]) -> None:
        usage = mapping(holder.get("usage"))
        if usage:
            self._usage = usage_of(usage)
        self._model = text_or_none(holder.get("model")) or self._model

    def _closing(self) -> list[StreamEvent]:
        assert self._finish is not None
        held: list[StreamEvent] = self._think.end() if self._think else []
        return [*held, Finish(self._finish, self._usage, self._model)]

    def _without_end(self, sentence: str) -> BackendError:
        """Return the error of an answer without an end: the upstream's own, where it said something else."""
        spoke = any(not mapping(held).keys().isdisjoint(_SPOKEN) for held in (self._odd or {}).values())
        if self._odd_at == len(self._said) and self._odd and not spoke and sentence_of(self._odd):
            return error_from_body(None, self._odd)
        return BrokenStream(sentence)
