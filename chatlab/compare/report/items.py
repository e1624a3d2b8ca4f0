"""The prompts of a comparison with their answers side by side, and what each lane was sent for them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import assert_never

from chatlab.codec import message_to_json
from chatlab.compare.model import Comparison, Receipt, Result, Verdict, Vote
from chatlab.compare.report.html import listed, text
from chatlab.compare.session.receipt import difference
from chatlab.messages import FilePart, Part, ReasoningPart, TextPart, ToolCall, ToolResult
from chatlab.render.figures import figures, outcome
from chatlab.render.markdown import render

_MOST_REQUESTS = 6_000_000  # characters of exact requests in one report; its answers come on top
_MOST_DIFFERENCES = 12  # between two lanes' receipts
_LARGEST_PICTURE = 3_000_000  # bytes
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def items_of(compared: Comparison) -> list[tuple[str, list[Result]]]:
    """The results by what was asked, in their order."""
    by_item: dict[str, list[Result]] = {}
    for result in compared.results:
        by_item.setdefault(result.item, []).append(result)
    return list(by_item.items())


def steps_of(compared: Comparison, results: Sequence[Result]) -> list[tuple[int, list[Result]]]:
    """An item's results by step, and in each the lanes in their order."""
    order = {lane.id: number for number, lane in enumerate(compared.lanes)}
    by_step = sorted(results, key=lambda one: (one.step, order.get(one.lane, len(order)), one.repeat))
    return [(step, list(group)) for step, group in groupby(by_step, key=lambda one: one.step)]


def current_votes(compared: Comparison) -> dict[str, list[Vote]]:
    """The votes that count, by round."""
    apart = compared.mode is None  # of a run each two lanes are voted on by themselves
    last = {
        (vote.round, vote.criterion, vote.voter, frozenset(vote.shown) if apart else None): vote
        for vote in compared.votes
    }
    found: dict[str, list[Vote]] = {}
    for vote in last.values():
        found.setdefault(vote.round, []).append(vote)
    return found


def said_of(vote: Vote, labels: Mapping[str, str]) -> str:
    """A vote in one line."""
    best = {"tie": "a tie", "bad": "all bad"}.get(vote.best) or labels.get(
        vote.best, "a lane that was removed"
    )
    among = ", ".join(labels.get(id, "a lane that was removed") for id in vote.shown)
    of = f" ({among})" if len(vote.shown) < len(labels) else ""
    made = f"Vote of {vote.voter or 'somebody'}, {vote.criterion}{of}: {best}" + (
        " (blind)" if vote.blind else ""
    )
    made += f"; {', '.join(vote.reasons)}" if vote.reasons else ""
    made += f"; “{vote.note}”" if vote.note else ""
    return made + (f"; to be taken with care: {', '.join(vote.marked)}" if vote.marked else "")


def verdict_said(one: Verdict, labels: Mapping[str, str]) -> str:
    """A verdict in one line."""
    a, b = labels.get(one.lane_a, "?"), labels.get(one.lane_b, "?")
    said = {
        "tie": "a tie",
        "flip": "no preference: it flipped with the order",
        "unclear": "unclear",
    }.get(one.winner) or labels.get(one.winner, "?")
    repeat = f", repeat {one.repeat + 1}" if one.repeat else ""
    reasons = " | ".join(filter(None, one.reasons))
    return (
        f"Judge {one.judge}, {one.criterion}, {a} and {b}{repeat}: {said}{'; ' + reasons if reasons else ''}"
    )


class Items:
    """Writes the items of one comparison. left_out: exact requests that had no room any more."""

    def __init__(self, compared: Comparison) -> None:
        self._compared = compared
        self._labels = {lane.id: lane.label for lane in compared.lanes}
        self._votes = current_votes(compared)
        self._verdicts: dict[str, list[Verdict]] = {}
        for verdict in compared.verdicts:
            self._verdicts.setdefault(verdict.item, []).append(verdict)
        self._requests: dict[str, str] = {}  # by hash, where it stands
        self._written = 0
        self.left_out = 0

    def pieces(self) -> Iterator[str]:
        """All of them as HTML."""
        for number, (item, results) in enumerate(items_of(self._compared), 1):
            yield self._item(number, item, results)

    def _item(self, number: int, item: str, results: Sequence[Result]) -> str:
        named = "" if self._compared.session or item == str(number) else f" · {text(item)}"
        tags = "".join(f' <span class="tag">{text(tag)}</span>' for tag in results[0].tags)
        what = "Message" if self._compared.session and self._compared.mode is not None else "Prompt"
        votes = self._votes.get(item, [])
        best = {vote.best for vote in votes}
        made = [f'<section class="item" id="item-{number}">\n<h3>{what} {number}{named}{tags}</h3>\n']
        for step, group in steps_of(self._compared, results):
            made.append(self._step(number, step, group, best))
        made.append(listed(said_of(vote, self._labels) for vote in votes))
        verdicts = [verdict_said(verdict, self._labels) for verdict in self._verdicts.get(item, ())]
        if verdicts:
            made.append(
                f"<details><summary>Verdicts: {len(verdicts)}</summary>{listed(verdicts)}</details>\n"
            )
        return "".join([*made, "</section>\n"])

    def _step(self, number: int, step: int, results: Sequence[Result], best: set[str]) -> str:
        asked = "".join(_part(part) for part in results[0].turn.user.parts)
        lanes = []
        for lane, group in groupby(results, key=lambda one: one.lane):
            answers = list(group)
            classes = "answer best" if lane in best else "answer"
            who = text(self._labels.get(lane, "?"))
            lanes.append(f'<article class="{classes}"><p class="who">{who}</p>\n')
            lanes += [_answer(one, len(answers)) for one in answers]
            lanes.append("</article>\n")
        return (
            f'<div class="user">{asked}</div>\n<div class="lanes">{"".join(lanes)}</div>\n'
            f"{self._sent(f'r{number}-{step + 1}', results)}"
        )

    # -- what was sent

    def _sent(self, anchor: str, results: Sequence[Result]) -> str:
        """The hashes of the requests, each request once, and what differs between lanes."""
        by_hash: dict[str, list[Result]] = {}
        for result in results:
            if result.receipt is not None:
                by_hash.setdefault(result.receipt.sha256, []).append(result)
        if not by_hash:
            return '<p class="faint">There are no receipts of what was sent.</p>\n'
        made = []
        for sha256, group in by_hash.items():
            lanes = dict.fromkeys(self._labels.get(one.lane, "?") for one in group)
            sent = f'SHA-256 <code class="hash">{text(sha256)}</code>'
            made.append(f'<p class="figures">Sent to {text(", ".join(lanes))}: {sent}</p>\n')
        same = "all lanes got the same" if len(by_hash) == 1 else f"{len(by_hash)} different requests"
        made.append(f'<details class="sent"><summary>What was sent: {same}</summary>\n')
        for number, (sha256, group) in enumerate(by_hash.items()):
            made.append(self._receipt(f"{anchor}-{number}", sha256, group))
        first, *others = ({one.lane: one for one in results if one.receipt is not None}).values()
        for other in others:
            assert first.receipt is not None and other.receipt is not None
            found = difference(first.receipt, other.receipt)
            if found:
                pair = f"{self._labels.get(first.lane, '?')} | {self._labels.get(other.lane, '?')}"
                lines = [str(one) for one in found[:_MOST_DIFFERENCES]]
                if len(found) > _MOST_DIFFERENCES:
                    lines.append(f"and {len(found) - _MOST_DIFFERENCES} more")
                made.append(f"<p>Different, {text(pair)}:</p>{listed(lines)}")
        return "".join([*made, "</details>\n"])

    def _receipt(self, anchor: str, sha256: str, results: Sequence[Result]) -> str:
        lanes = dict.fromkeys(self._labels.get(one.lane, "?") for one in results)
        said = []
        for result in results:
            assert result.receipt is not None
            said += [
                f"{self._labels.get(result.lane, '?')}{_repeat(result)}: {line}"
                for line in _receipt_lines(result.receipt)
            ]
        receipt = results[0].receipt
        assert receipt is not None
        return (
            f'<p id="{anchor}"><strong>{text(", ".join(lanes))}</strong></p>\n{listed(dict.fromkeys(said))}'
            f"{self._request(anchor, sha256, receipt)}"
        )

    def _request(self, anchor: str, sha256: str, receipt: Receipt) -> str:
        if sha256 in self._requests:
            return (
                f'<p class="faint">The same request as <a href="#{self._requests[sha256]}">above</a>.</p>\n'
            )
        value = {
            "messages": [message_to_json(message) for message in receipt.messages],
            "parameters": dict(receipt.parameters),
        }
        exact = text(json.dumps(value, ensure_ascii=False, indent=1))
        if self._written + len(exact) > _MOST_REQUESTS:
            self.left_out += 1
            return '<p class="faint">The exact request is left out here for its size.</p>\n'
        self._written += len(exact)
        self._requests[sha256] = anchor
        return f"<details><summary>The exact request</summary><pre>{exact}</pre></details>\n"


def _repeat(result: Result) -> str:
    return f", repeat {result.repeat + 1}" if result.repeat else ""


def _receipt_lines(receipt: Receipt) -> list[str]:
    """What a receipt says beside the messages and parameters."""
    asked = f"model {receipt.model or 'not named'}"
    if receipt.model_answered and receipt.model_answered != receipt.model:
        asked += f", answered by {receipt.model_answered}"
    lines = [asked + (f", at {receipt.endpoint}" if receipt.endpoint else "")]
    if receipt.identity:
        lines.append(f"as {receipt.identity}")
    if receipt.wire_sha256:
        lines.append(f"SHA-256 of the HTTP body {receipt.wire_sha256}")
    return [*lines, *(f"left out: {one}" for one in receipt.dropped)]


# -- answers


def _answer(result: Result, repeats: int) -> str:
    turn = result.turn
    made = [f'<h4 class="faint">Repeat {result.repeat + 1} of {repeats}</h4>\n'] if repeats > 1 else []
    made += [_part(part) for part in turn.answer]
    trouble = outcome(turn)
    if trouble is not None:
        made.append(f'<p class="trouble">{text(trouble)}</p>\n')
    for check in result.checks:
        mark, kind = ("✓", "passed") if check.passed else ("✗", "failed")
        detail = f": {check.detail}" if check.detail else ""
        made.append(f'<p class="{kind}">{mark} {text(check.name + detail)}</p>\n')
    if turn.citations:
        made.append(
            "<p>Sources:</p>" + listed(f"{one.title} {one.url or ''}".strip() for one in turn.citations)
        )
    made += [f'<p class="faint">{text(notice.detail)}</p>\n' for notice in turn.notices]
    took = figures(turn)
    if turn.timing.longest_stall is not None:
        took += f" · longest stall {turn.timing.longest_stall:.2f} s"
    return "".join([*made, f'<p class="figures">{text(took)}</p>\n' if took else ""])


def _part(part: Part) -> str:
    if isinstance(part, TextPart):
        return render(part.text)
    if isinstance(part, ReasoningPart):
        return f"<details><summary>Thoughts</summary>{render(part.text)}</details>\n"
    if isinstance(part, ToolCall):
        return _folded(f"Called {part.name}", part.arguments)
    if isinstance(part, ToolResult):
        return _folded(f"{part.name or 'The tool'} {'failed' if part.is_error else 'answered'}", part.content)
    if isinstance(part, FilePart):
        return _file(part)
    assert_never(part)


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{text(title)}</summary><pre>{text(content)}</pre></details>\n"


def _file(part: FilePart) -> str:
    name = part.name or "attachment"
    if part.data is not None and part.media_type in _PICTURES and len(part.data) <= _LARGEST_PICTURE:
        data = base64.b64encode(part.data).decode("ascii")
        return f'<p><img src="data:{part.media_type};base64,{data}" alt="{text(name)}"></p>\n'
    size = "" if part.data is None else f", {len(part.data) / 1000:.0f} kB"
    return f'<p class="faint">[{text(name)}, {text(part.media_type)}{size}]</p>\n'
