"""A graph that stopped to ask: what it asks, and what the person's next message is to it.

https://docs.langchain.com/oss/python/langgraph/interrupts has what `interrupt()` does; the requests of an
agent's human-in-the-loop middleware are those of `langchain.agents.middleware.human_in_the_loop`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from backends.langchain.content import as_json

_YES = ("approve", "approved", "yes", "y", "ok", "okay", "go on", "continue")
_QUESTION = ("question", "query", "prompt", "message", "description", "text", "task", "instruction")


def question(value: Any) -> str:
    """Return what a person reads of an interrupt's value."""
    if isinstance(value, str):
        return value
    requests = _requests(value)
    if requests:
        return "\n".join(_request(request) for request in requests)
    if isinstance(value, Mapping):
        for key in _QUESTION:
            asked = value.get(key)
            if isinstance(asked, str) and asked:
                rest = {name: item for name, item in value.items() if name != key}
                return f"{asked}\n\n{_fenced(rest)}" if rest else asked
    return _fenced(value)


def reply(value: Any, said: str) -> Any:
    """Return what the graph goes on with: the text, or what its middleware or its own JSON wants of it."""
    parsed = None if isinstance(value, str) else _parsed(said)
    if parsed is not None:
        return parsed
    requests = _requests(value)
    if not requests:
        return said
    if said.strip().strip(".!").casefold() in _YES:
        return {"decisions": [{"type": "approve"} for _ in requests]}
    return {"decisions": [{"type": "reject", "message": said} for _ in requests]}


def in_order(asked: Sequence[Any], read: str) -> Sequence[Any]:
    """Return interrupts in the order in which a person read their questions in a text: those of nodes at the
    same time come in any order. What is not in it comes last.
    """

    def place(interrupt: Any) -> int:
        found = read.find(question(getattr(interrupt, "value", interrupt)))
        return found if found >= 0 else len(read)

    return sorted(asked, key=place) if len(asked) > 1 else asked


def _requests(value: Any) -> Sequence[Mapping[str, Any]]:
    """Return the calls that an agent's middleware wants approved."""
    found = value.get("action_requests") if isinstance(value, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        return ()
    return found


def _request(request: Mapping[str, Any]) -> str:
    name = request.get("name") or request.get("action") or "a tool"
    arguments = json.dumps(
        request.get("args") or request.get("arguments") or {}, ensure_ascii=False, default=str
    )
    return f"May {name} run with {arguments}? Say approve, or what is wrong with it."


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
