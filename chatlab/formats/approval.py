"""Calls of tools that a person is asked about, and what their answer decides.

The requests and decisions are those of LangChain's human-in-the-loop middleware
(`langchain.agents.middleware.human_in_the_loop`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_ASKED = re.compile(r"May (\S+) run with (\{.*\})\? Say approve, or what is wrong with it\.")
_YES = ("approve", "approved", "yes", "y", "ok", "okay", "go on", "continue")


def requests_in(value: Any) -> Sequence[Mapping[str, Any]]:
    """Return the calls that an interrupt's value wants approved; none if it is another question."""
    found = value.get("action_requests") if isinstance(value, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        return ()
    return found


def question_of(request: Mapping[str, Any]) -> str:
    """Return what a person is asked about a call."""
    name = request.get("name") or request.get("action") or "a tool"
    arguments = json.dumps(
        request.get("args") or request.get("arguments") or {}, ensure_ascii=False, default=str
    )
    return f"May {name} run with {arguments}? Say approve, or what is wrong with it."


def calls_in(text: str) -> list[dict[str, Any]]:
    """Return the calls that a text asks about, as `question_of` words it; none if anything else is in it.

    So a conversation of which only the texts were handed on says what a person approves.
    """
    found = []
    for line in filter(None, text.splitlines()):
        asked = _ASKED.fullmatch(line)
        try:
            arguments = json.loads(asked[2]) if asked is not None else None
        except ValueError:
            arguments = None
        if asked is None or not isinstance(arguments, dict):
            return []
        found.append({"name": asked[1], "args": arguments})
    return found


def decisions(requests: Sequence[Any], said: str) -> dict[str, Any]:
    """Return what a graph goes on with: all are approved, or refused for the reason that was said."""
    if said.strip().strip(".!").casefold() in _YES:
        return {"decisions": [{"type": "approve"} for _ in requests]}
    return {"decisions": [{"type": "reject", "message": said} for _ in requests]}
