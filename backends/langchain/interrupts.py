"""A graph that stopped to ask: what it asks, and what the person's next message is to it.

https://docs.langchain.com/oss/python/langgraph/interrupts has what `interrupt()` does; the requests of an
agent's human-in-the-loop middleware are those of `langchain.agents.middleware.human_in_the_loop`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from backends.langchain.content import as_json
from chatlab.formats.approval import decisions, question_of, requests_in

_SHORT = 200  # characters
_QUESTION = ("question", "query", "prompt", "message", "description", "text", "task", "instruction")


def question(value: Any) -> str:
    """Return what a person reads of an interrupt's value."""
    if isinstance(value, str):
        return value
    requests = requests_in(value)
    if requests:
        return "\n".join(question_of(request) for request in requests)
    if isinstance(value, Mapping):
        for key in _QUESTION:
            asked = value.get(key)
            if isinstance(asked, str) and asked:
                rest = {name: item for name, item in value.items() if name != key}
                return f"{asked}\n\n{_fenced(rest)}" if rest else asked
    return _fenced(value)


def in_short(value: Any) -> str:
    """Return what an interrupt's value asks, short enough to stand beside the whole question."""
    requests = requests_in(value)
    if requests:
        return " and ".join(
            f"may {request.get('name') or request.get('action')} run?" for request in requests
        )
    text = " ".join(question(value).split())
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def reply(value: Any, said: str) -> Any:
    """Return what the graph goes on with: the text, or what its middleware or its own JSON wants of it."""
    parsed = None if isinstance(value, str) else _parsed(said)
    if parsed is not None:
        return parsed
    requests = requests_in(value)
    if not requests:
        return said
    return decisions(requests, said)


def in_order(asked: Sequence[Any], read: str) -> Sequence[Any]:
    """Return interrupts in the order in which a person read their questions in a text: those of nodes at the
    same time come in any order. What is not in it comes last.
    """

    def place(interrupt: Any) -> int:
        found = read.find(question(getattr(interrupt, "value", interrupt)))
        return found if found >= 0 else len(read)

    return sorted(asked, key=place) if len(asked) > 1 else asked


def _fenced(value: Any) -> str:
    return f"```json\n{as_json(value)}\n```"


def _parsed(said: str) -> Any:
    """Return what was said as JSON, if it is an object or a list."""
    if not said.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(said)
    except ValueError:
        return None
