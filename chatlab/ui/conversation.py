"""Conversations of running page sessions, kept in memory: trees of exchanges, so nothing is overwritten.

What a page shows names the exchanges it shows; the conversation itself, whole and exact, stays here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chatlab.chat import Turn
from chatlab.messages import Message, Notice, Part, TextPart, ToolCallPart, ToolResultPart


@dataclass(slots=True)
class Exchange:
    """A message of the person and what came of it."""

    parent: str | None
    user: Message
    label: str
    """The backend that answers, as people read its name."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    answer: tuple[Part, ...] = ()
    painted: list[Any] = field(default_factory=list)
    """How the page shows it for good: the front end's own values."""


class Conversation:
    """All exchanges of one page session, by id."""

    def __init__(self) -> None:
        self._exchanges: dict[str, Exchange] = {}

    def add(self, exchange: Exchange) -> None:
        """Keeps an exchange, before its backend is called."""
        self._exchanges[exchange.id] = exchange

    def __contains__(self, id: str) -> bool:
        return id in self._exchanges

    def __getitem__(self, id: str) -> Exchange:
        return self._exchanges[id]

    def path(self, last: str | None) -> list[Exchange]:
        """The exchanges from the first to this one."""
        found = []
        while last is not None:
            exchange = self._exchanges[last]
            found.append(exchange)
            last = exchange.parent
        return found[::-1]

    def messages(self, exchange: Exchange) -> tuple[tuple[Message, ...], list[Notice]]:
        """What is sent to have this exchange answered, and what of the page is not part of it.

        Reasoning and tool calls of earlier answers are shown but not sent again; a message that got no
        answer at all is left out, since two messages in a row would be answered as one.
        """
        messages: list[Message] = []
        thoughts = unanswered = 0
        for earlier in self.path(exchange.parent):
            text = tuple(part for part in earlier.answer if isinstance(part, TextPart))
            thoughts += any(isinstance(part, ToolCallPart | ToolResultPart) for part in earlier.answer)
            if text:
                messages += [earlier.user, Message("assistant", text)]
            else:
                unanswered += 1
        messages.append(exchange.user)
        notices = []
        if thoughts:
            notices.append(
                Notice("thoughts_dropped", f"tool calls of {thoughts} earlier answers were not sent again")
            )
        if unanswered:
            notices.append(
                Notice("history_truncated", f"{unanswered} messages that got no answer were not sent")
            )
        return tuple(messages), notices


@dataclass(slots=True)
class Session:
    """One open page: its conversation, and the turns that run for it, each with what settles it."""

    conversation: Conversation = field(default_factory=Conversation)
    last: Exchange | None = None
    running: dict[Turn, Callable[[], None]] = field(default_factory=dict)

    def stop(self) -> None:
        """Closes the upstream of every running turn."""
        for turn in tuple(self.running):
            turn.stop()

    async def stopped(self) -> None:
        """Stops every running turn and waits until what had arrived is part of the conversation."""
        for turn, settle in tuple(self.running.items()):
            await turn.aclose()
            settle()


class Sessions:
    """The open pages by session hash; the oldest idle ones go when there are too many."""

    def __init__(self, most: int = 5_000) -> None:
        self._by_hash: dict[str, Session] = {}
        self._most = most

    def get(self, hash: str | None) -> Session:
        """The session of a page, made when first asked for. A client without one gets a new one each time."""
        if not hash:
            return Session()
        session = self._by_hash.pop(hash, None) or Session()
        self._by_hash[hash] = session  # last again: the dict's order is that of use
        if len(self._by_hash) > self._most:
            for old, candidate in list(self._by_hash.items()):
                if not candidate.running:
                    del self._by_hash[old]
                    break
        return session

    def close(self, hash: str | None) -> None:
        """The page was closed: its turns end, what it held is forgotten."""
        session = self._by_hash.pop(hash or "", None)
        if session is not None:
            session.stop()

    def __len__(self) -> int:
        return len(self._by_hash)

    @property
    def running(self) -> int:
        """How many turns run, over all pages."""
        return sum(len(session.running) for session in self._by_hash.values())
