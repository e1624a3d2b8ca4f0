"""Finds where a graph with a checkpointer goes on: the thread of a conversation, and the checkpoint in it.

Each conversation has one thread. What was said when a checkpoint came about is in its metadata, as a digest,
so that the next message finds the checkpoint it follows on: the newest one, or after an edit or a retry an
older one, from which the graph then forks. Where none fits, the thread begins anew with the whole
conversation, so that nothing of it is lost and nothing is there twice.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from backends.langchain.content import as_message
from backends.langchain.objects import is_graph, unbound
from chatlab.messages import FilePart, Message, TextPart

SAID = "chatlab_said"
"""The key in a checkpoint's metadata."""

_CANDIDATES = 20  # older checkpoints that are looked at
_IN_MEMORY = 500  # threads that stay in an in-memory checkpointer, the last ones used


class Threads:
    """The threads of one backend. Used from the event loop alone."""

    def __init__(self, runnable: Any) -> None:
        graph = unbound(runnable)
        found = getattr(graph, "checkpointer", None) if is_graph(runnable) else None
        self.graph = graph
        self.checkpointer: Any = found if hasattr(found, "get_tuple") else None
        self._in_memory = type(self.checkpointer).__name__ == "InMemorySaver"
        self._running: set[str] = set()
        self._recent: OrderedDict[str, None] = OrderedDict()

    def take(self, conversation: str | None) -> Thread:
        """Return the thread of a conversation; one of its own for a call that nothing follows.

        A conversation that is answered twice at the same time has its own thread for the first alone.
        """
        known = conversation is not None and self.checkpointer is not None
        if conversation is None or conversation in self._running:
            return Thread(self, str(uuid4()), None)
        self._running.add(conversation)
        return Thread(self, conversation, conversation if known else None)

    def release(self, thread: Thread) -> None:
        """Drop what an in-memory checkpointer stored of a thread that nobody will come back to."""
        self._running.discard(thread.id)
        if not self._in_memory:
            return
        if thread.conversation is None:
            self.checkpointer.delete_thread(thread.id)
            return
        self._recent[thread.id] = None
        self._recent.move_to_end(thread.id)
        while len(self._recent) > _IN_MEMORY:
            self.checkpointer.delete_thread(self._recent.popitem(last=False)[0])


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread's id, and the conversation that comes back to it, if any."""

    of: Threads
    id: str
    conversation: str | None

    @property
    def goes_on(self) -> bool:
        """Return whether an earlier turn may have left something in it."""
        return self.conversation is not None

    async def alook(self, messages: Sequence[Message]) -> Found:
        """Return where these messages go on, having emptied the thread where that is nowhere."""
        look = _Look(messages, self.of.graph)
        graph, config = self.of.graph, {"configurable": {"thread_id": self.id}}
        latest = await graph.aget_state(config)
        if look.take(latest, latest=True):
            return look.found
        if look.before is not None:
            async for one in graph.aget_state_history(config, filter={SAID: look.before}, limit=_CANDIDATES):
                if look.take(one):
                    return look.found
        if latest.created_at is not None:
            await self.of.checkpointer.adelete_thread(self.id)
        return look.found

    def look(self, messages: Sequence[Message]) -> Found:
        """Do as `alook` does, for a graph that knows no asynchronous way."""
        look = _Look(messages, self.of.graph)
        graph, config = self.of.graph, {"configurable": {"thread_id": self.id}}
        latest = graph.get_state(config)
        if look.take(latest, latest=True):
            return look.found
        if look.before is not None:
            for one in graph.get_state_history(config, filter={SAID: look.before}, limit=_CANDIDATES):
                if look.take(one):
                    return look.found
        if latest.created_at is not None:
            self.of.checkpointer.delete_thread(self.id)
        return look.found


@dataclass(frozen=True, slots=True)
class Found:
    """The place at which a conversation goes on.

    said: the digest of what is said now. state: the checkpoint, None where the whole conversation is given.
    checkpoint: its id where it is not the newest one.
    """

    said: str
    state: Any = None
    checkpoint: str | None = None


class _Look:
    """Tells whether a checkpoint is the one that a conversation follows on."""

    def __init__(self, messages: Sequence[Message], graph: Any) -> None:
        self._breaks = bool(graph.interrupt_before_nodes or graph.interrupt_after_nodes)
        asked = [index for index, message in enumerate(messages) if message.role == "user"]
        self.found = Found(digest(messages))
        self._earlier = [digest(messages[: index + 1]) for index in asked[:-1]]
        self.before = self._earlier[-1] if self._earlier else None
        between = messages[asked[-2] + 1 : asked[-1]] if len(asked) > 1 else ()
        self._answer = "".join(message.text for message in between if message.role == "assistant")

    def take(self, state: Any, *, latest: bool = False) -> bool:
        said = (state.metadata or {}).get(SAID)
        # An answer to one of several questions makes no checkpoint before the others are answered, too.
        asks_on = latest and state.interrupts and said in self._earlier
        if self.before is None or (said != self.before and not asks_on):
            return False
        # What was stopped or failed on the way has more to run, but nobody was asked anything.
        waits = state.interrupts or (self._breaks and not any(task.error for task in state.tasks))
        if (state.next and not waits) or not self._answers(state):
            return False
        checkpoint = None if latest else state.config["configurable"]["checkpoint_id"]
        self.found = Found(self.found.said, state, checkpoint)
        return True

    def _answers(self, state: Any) -> bool:
        """Return whether the answer that the person saw is the one that this checkpoint has."""
        messages = state.values.get("messages") if isinstance(state.values, Mapping) else None
        last: list[str] = []
        for item in messages if isinstance(messages, list | tuple) else ():
            message = as_message(item)
            if message is not None and message.type in ("ai", "human"):
                last = [] if message.type == "human" else [*last, message.text.strip()]
        said = [text for text in last if text]
        return not said or any(text in self._answer for text in said)


def digest(messages: Sequence[Message]) -> str:
    """Return what tells two beginnings of a conversation apart: what was said, and the instructions."""
    found = hashlib.sha256()
    for message in messages:
        if message.role not in ("user", "system"):
            continue
        found.update(message.role.encode())
        for part in message.parts:
            if isinstance(part, TextPart):
                found.update(b"\0" + part.text.encode())
            elif isinstance(part, FilePart):
                found.update(f"\1{part.media_type} {part.name}".encode())
        found.update(b"\2")
    return found.hexdigest()[:32]
