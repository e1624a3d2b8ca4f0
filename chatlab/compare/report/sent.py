"""The requests of all lanes for a message: their hashes, each request once, and what differs between them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from chatlab.codec import message_to_json
from chatlab.compare.model import Receipt, Result
from chatlab.compare.session.receipt import difference
from chatlab.quick_json import indented
from chatlab.text import well_formed
from chatlab.words import Words

_MOST_REQUESTS = 6_000_000  # characters of exact requests in one report; its answers come on top
_MOST_DIFFERENCES = 12  # between two lanes' receipts


@dataclass(frozen=True, slots=True)
class Request:
    """One request and the lanes that got it.

    lines: what the receipts say beside messages and parameters. exact: the request as JSON, escaped for a
    place between tags, where quotes stay; "" if it stands `above`, at that anchor, or has no room.
    """

    anchor: str
    sha256: str
    lanes: str
    lines: tuple[str, ...]
    exact: Markup
    above: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The requests of all lanes for one message. differences: two lanes, and what differs between them."""

    requests: tuple[Request, ...]
    same: str
    differences: tuple[tuple[str, tuple[str, ...]], ...]


class Requests:
    """The requests of one report. left_out: exact requests that had no room any more."""

    def __init__(self, labels: Mapping[str, str], words: Words) -> None:
        self._labels = labels
        self._words = words
        self._anchors: dict[str, str] = {}  # by hash, where it stands
        self._written = 0
        self.left_out = 0

    def sent(self, anchor: str, results: Sequence[Result]) -> Sent:
        """Return what was sent for the message that these results answer."""
        by_hash: dict[str, list[tuple[Result, Receipt]]] = {}
        for result in results:
            if result.receipt is not None:
                by_hash.setdefault(result.receipt.sha256, []).append((result, result.receipt))
        requests = tuple(
            self._request(f"{anchor}-{number}", sha256, group)
            for number, (sha256, group) in enumerate(by_hash.items())
        )
        same = self._words.counted("report.request", len(by_hash))
        return Sent(requests, same, self._differences(results))

    def _request(self, anchor: str, sha256: str, group: Sequence[tuple[Result, Receipt]]) -> Request:
        lines = [
            f"{named(self._label(result), result.repeat, self._words)}: {line}"
            for result, receipt in group
            for line in _receipt_lines(receipt, self._words)
        ]
        lanes = ", ".join(dict.fromkeys(self._label(result) for result, _ in group))
        above = self._anchors.get(sha256, "")
        exact = Markup("" if above else html.escape(well_formed(self._exact(group[0][1])), quote=False))  # noqa: S704
        if exact:
            self._anchors[sha256] = anchor
        return Request(anchor, sha256, lanes, tuple(dict.fromkeys(lines)), exact, above)

    def _exact(self, receipt: Receipt) -> str:
        value = {
            "messages": [message_to_json(message) for message in receipt.messages],
            "parameters": dict(receipt.parameters),
        }
        exact = indented(value)
        if self._written + len(exact) > _MOST_REQUESTS:
            self.left_out += 1
            return ""
        self._written += len(exact)
        return exact

    def _differences(self, results: Sequence[Result]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        by_lane = {one.lane: (one, one.receipt) for one in results if one.receipt is not None}
        if not by_lane:
            return ()
        (first, sent), *others = by_lane.values()
        found = []
        for other, receipt in others:
            lines = [self._words.translated(str(one)) for one in difference(sent, receipt)]
            if len(lines) > _MOST_DIFFERENCES:
                lines[_MOST_DIFFERENCES:] = [self._words("report.more", count=len(lines) - _MOST_DIFFERENCES)]
            if lines:
                found.append((f"{self._label(first)} | {self._label(other)}", tuple(lines)))
        return tuple(found)

    def _label(self, result: Result) -> str:
        return self._labels.get(result.lane, "?")


def named(lane: str, repeat: int, words: Words) -> str:
    """Return a lane's name, and which of its repeats it is if it is not the first. repeat: from 0."""
    return words("compare.repeat", lane=lane, number=repeat + 1) if repeat else lane


def _receipt_lines(receipt: Receipt, words: Words) -> list[str]:
    """Return what a receipt says beside the messages and parameters."""
    asked = [words("report.of-model", model=receipt.model) if receipt.model else words("report.no-model")]
    if receipt.model_answered and receipt.model_answered != receipt.model:
        asked.append(words("report.answered-by-model", model=receipt.model_answered))
    if receipt.endpoint:
        asked.append(words("report.at", endpoint=receipt.endpoint))
    lines = [", ".join(asked)]
    if receipt.identity:
        lines.append(words("compare.as-person", person=receipt.identity))
    if receipt.wire_sha256:
        lines.append(words("report.body-hash", hash=receipt.wire_sha256))
    return [*lines, *(words("report.left-out", what=words.translated(one)) for one in receipt.dropped)]
