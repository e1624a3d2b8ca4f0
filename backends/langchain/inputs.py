"""Makes the input of a Runnable or graph of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from backends.langchain.histories import input_of as input_with_history
from backends.langchain.histories import with_history
from backends.langchain.objects import Shape, chain_keys
from backends.langchain.options import LangChainOptions
from chatlab.backend import ChatRequest
from chatlab.formats import to_langchain, without_unmatched_tools
from chatlab.messages import FilePart, Message, Notice
from chatlab.words import ENGLISH


@dataclass(frozen=True, slots=True)
class Made:
    """A Runnable as it was made from a configuration's options, and how it is called.

    shape: what it takes. guess: why that is a guess, where it is one. timed: whether its calls take a
    timeout, since its HTTP client is chatlab's.
    """

    options: LangChainOptions
    runnable: Any
    shape: Shape
    guess: str | None
    timed: bool


class Input:
    """The input of one call, and what the person should know of it."""

    def __init__(self, made: Made, request: ChatRequest) -> None:
        self._made = made
        self._messages, self._left_out = without_unmatched_tools(request.messages)
        self.notices: list[Notice] = [] if made.guess is None else [Notice("other", made.guess)]
        self.given: list[str] = []
        """The ids of the messages that were sent, which some graphs send back."""
        self._remembers = with_history(made.runnable)

    @property
    def said(self) -> Message | None:
        """Return the last user message."""
        return next((message for message in reversed(self._messages) if message.role == "user"), None)

    @property
    def earlier(self) -> Sequence[Message]:
        """Return the messages before the last user message."""
        last = max((i for i, item in enumerate(self._messages) if item.role == "user"), default=None)
        return self._messages if last is None else self._messages[:last]

    def whole(self) -> Any:
        """Return the whole conversation, in the shape that the object takes."""
        shape = self._made.shape
        self.notices.extend(self._left_out)
        if self._remembers is not None and self.said is not None:
            self._say_of_system()
            return input_with_history(self._remembers, self.said)
        if shape in ("messages", "state"):
            return self._of(self._messages)
        return self._of_text()

    def news(self) -> Any:
        """Return the last user message alone, for a thread that has those before it."""
        said = self.said
        if self._made.shape in ("messages", "state") and said is not None:
            return self._of([said])
        return self._of_text(remembers=True)

    def _of(self, messages: Sequence[Message]) -> Any:
        translated = to_langchain(messages)
        if self._made.shape == "messages":
            return translated
        for message in translated:
            message.id = str(uuid4())
            self.given.append(message.id)
        return {"messages": translated}

    def _of_text(self, *, remembers: bool = False) -> Any:
        """Return the last message's text, with the history where there is a place for it.

        remembers: whether the object has the earlier messages anyway.
        """
        said = self.said
        text = said.text if said is not None else ""
        if said is not None and any(isinstance(part, FilePart) for part in said.parts):
            self.notices.append(Notice("file_dropped", ENGLISH("notice.text-only")))
        if self._made.shape == "chain":
            question, history = chain_keys(self._made.runnable, self._made.options)
            if question is None:
                alone = [said] if remembers and said is not None else self._messages
                return {history: to_langchain(alone)}
            if history is not None:
                return {question: text, history: to_langchain(self.earlier)}
        if not remembers:
            self._say_of_system()
            if any(message.role != "system" for message in self.earlier):
                self.notices.append(Notice("history_truncated", ENGLISH("notice.last-message")))
        return text if self._made.shape == "text" else {question: text}

    def _say_of_system(self) -> None:
        if any(message.role == "system" for message in self.earlier):
            self.notices.append(Notice("other", ENGLISH("notice.no-system")))
