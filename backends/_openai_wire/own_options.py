"""Options that chatlab puts into a request by itself, and servers that refuse them by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chatlab.errors import BackendError
from chatlab.messages import Notice

_RENAMED = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
# How a server says that it does not know a name, rather than that its value is wrong.
_UNKNOWN_NAME = re.compile(
    r"un(supported|known|recogni[sz]ed|expected)"
    r"|not (be )?(supported|permitted|allowed|recogni[sz]ed|known|defined|implemented)"
    r"|(extra|additional) (inputs?|fields?|propert)|forbidden|deprecated|no longer|does ?n.t exist|instead",
    re.I,
)
_WHY = {
    "stream_options": "token counts may be missing",
    "store": "the server may store this conversation",
    "stream": "the answer comes whole",
    "databricks_options": "the answer has no trace",
}


class OwnOptions:
    """The options of ours that one server refused: left out from then on, and said once.

    names: of what chatlab adds by itself. Whatever a person set is never left out; only `max_tokens` goes
    under its other name (`max_completion_tokens`) where the server knows that one alone.
    """

    def __init__(self, *names: str) -> None:
        self._names = names
        self._left_out: set[str] = set()
        self._renamed: dict[str, str] = {}
        self._refused_names: set[str] = set()  # of a limit that goes by two names
        self._told: list[Notice] = []

    def notices(self) -> list[Notice]:
        """Return what was left out and not said yet."""
        told, self._told = self._told, []
        return told

    def apply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the request's JSON as this server takes it."""
        if not (self._renamed or self._left_out):
            return {**body}
        found = {self._renamed.get(name, name): value for name, value in body.items()}
        return {name: value for name, value in found.items() if name not in self._left_out}

    def refused_by(
        self, error: BackendError, body: Mapping[str, Any], given: Mapping[str, Any] | None = None
    ) -> bool:
        """Take note of what an upstream's error says of the JSON that was sent, as `refused` does."""
        refusal = error.status in (400, 422)
        if error.status in (500, 501):  # servers that trip over a name that they do not know
            refusal = _UNKNOWN_NAME.search(error.words) is not None
        return refusal and self.refused(body, error.words, given)

    def refused(self, body: Mapping[str, Any], sentence: str, given: Mapping[str, Any] | None = None) -> bool:
        """Take note of a refusal, and return whether it is worth asking again without what was refused.

        body: the JSON that was sent. sentence: the upstream's own, whole. given: what a person set, of the
        same form.
        """
        for name in self._names:
            ours = name in body and name not in (given or {})
            if ours and name not in self._left_out and _named(name, sentence):
                self._left_out.add(name)
                why = f": {_WHY[name]}" if name in _WHY else ""
                self._told.append(Notice("other", f"the server refuses {name}, asked again without it{why}"))
                if name == "stream":
                    self._left_out.add("stream_options")
                return True
        return self._other_name(body, sentence)

    def _other_name(self, body: Mapping[str, Any], sentence: str) -> bool:
        for name, other in _RENAMED.items():
            if name not in body or other in body or name in self._refused_names:
                continue
            if not (_named(name, sentence) and _UNKNOWN_NAME.search(sentence)):
                continue
            self._refused_names.add(name)
            if other in self._refused_names:  # neither is known: the first refusal stands
                self._renamed.clear()
                return False
            self._renamed = {name: other}
            return True
        return False


def refuses_stream(sentence: str) -> bool:
    """Return whether an error says that the request must not ask for a stream.

    The word is one of any sentence, and the beginning of other names.
    """
    return bool(re.search(r"\bstream(ing)?\b(?!_)", sentence, re.I) and _UNKNOWN_NAME.search(sentence))


def _named(name: str, sentence: str) -> bool:
    if name == "stream":
        return refuses_stream(sentence)
    return re.search(rf"(?<![a-z0-9_]){name}(?![a-z0-9_])", sentence, re.I) is not None
