"""The requests of all lanes for a message: their hashes, each request once, and what differs between them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chatlab.codec import message_to_json
from chatlab.compare.model import Receipt, Result
from chatlab.compare.session.receipt import difference

_MOST_REQUESTS = 6_000_000  # characters of exact requests in one report; its answers come on top
_MOST_DIFFERENCES = 12  # between two lanes' receipts


@dataclass(frozen=True, slots=True)
class Request:
    """One request and the lanes that got it.

    lines: what the receipts say beside messages and parameters. exact: the request as JSON; "" if it stands
    `above`, at that anchor, or has no room.
    """

    anchor: str
    sha256: str
    lanes: str
    lines: tuple[str, ...]
    exact: str
    above: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The requests of all lanes for one message. differences: two lanes, and what differs between them."""

    requests: tuple[Request, ...]
    same: str
    differences: tuple[tuple[str, tuple[str, ...]], ...]


class Requests:
    """The requests of one report. left_out: exact requests that had no room any more."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
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
        same = "all lanes got the same" if len(by_hash) == 1 else f"{len(by_hash)} different requests"
        return Sent(requests, same, self._differences(results))

    def _request(self, anchor: str, sha256: str, group: Sequence[tuple[Result, Receipt]]) -> Request:
        lines = [
            f"{self._label(result)}{_repeat(result)}: {line}"
            for result, receipt in group
            for line in _receipt_lines(receipt)
        ]
        lanes = ", ".join(dict.fromkeys(self._label(result) for result, _ in group))
        above = self._anchors.get(sha256, "")
        exact = "" if above else self._exact(group[0][1])
        if exact:
            self._anchors[sha256] = anchor
        return Request(anchor, sha256, lanes, tuple(dict.fromkeys(lines)), exact, above)

    def _exact(self, receipt: Receipt) -> str:
        value = {
            "messages": [message_to_json(message) for message in receipt.messages],
            "parameters": dict(receipt.parameters),
        }
        exact = json.dumps(value, ensure_ascii=False, indent=1)
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
            lines = [str(one) for one in difference(sent, receipt)]
            if len(lines) > _MOST_DIFFERENCES:
                lines[_MOST_DIFFERENCES:] = [f"and {len(lines) - _MOST_DIFFERENCES} more"]
            if lines:
                found.append((f"{self._label(first)} | {self._label(other)}", tuple(lines)))
        return tuple(found)

    def _label(self, result: Result) -> str:
        return self._labels.get(result.lane, "?")


def _repeat(result: Result) -> str:
    return f", repeat {result.repeat + 1}" if result.repeat else ""


def _receipt_lines(receipt: Receipt) -> list[str]:
    """Return what a receipt says beside the messages and parameters."""
    asked = f"model {receipt.model or 'not named'}"
    if receipt.model_answered and receipt.model_answered != receipt.model:
        asked += f", answered by {receipt.model_answered}"
    lines = [asked + (f", at {receipt.endpoint}" if receipt.endpoint else "")]
    if receipt.identity:
        lines.append(f"as {receipt.identity}")
    if receipt.wire_sha256:
        lines.append(f"SHA-256 of the HTTP body {receipt.wire_sha256}")
    return [*lines, *(f"left out: {one}" for one in receipt.dropped)]
