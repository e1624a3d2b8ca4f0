"""The notes of every turn that the pages ask for: who asked which backend as whom, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from math import ceil
from weakref import WeakKeyDictionary

from chatlab.backend import CallContext, Target
from chatlab.config.models import Prices, cost
from chatlab.identity.audit import AuditLog
from chatlab.lab import Lab
from chatlab.messages import Part, ReasoningPart, TextPart, ToolCall, ToolResult, Usage
from chatlab.observation import UNOBSERVED, Observation, ObservedTurn, Together, together
from chatlab.web.shared.limits import VisitorLimits, limits_of


class _Asked:
    """One turn, which whoever else observes turns observes too."""

    def __init__(
        self, inner: Observation, limits: VisitorLimits, owner: str | None, prices: Prices | None
    ) -> None:
        self._inner = inner
        self._limits = limits
        self._owner = owner
        self._prices = prices

    @property
    def headers(self) -> Mapping[str, str]:
        """Return what the other observer sends along."""
        return self._inner.headers

    @property
    def trace_id(self) -> str | None:
        """Return the trace that the other observer tells of."""
        return self._inner.trace_id

    def attempt(self) -> AbstractContextManager[object]:
        """Return what the other observer makes a call in."""
        return self._inner.attempt()

    def ended(self, turn: ObservedTurn) -> None:
        """Count what the turn took: by its text where the backend did not say how much that was."""
        self._inner.ended(turn)
        if self._owner is None or not self._limits.limits_days:
            return
        usage = turn.answer.finish.usage if turn.answer.finish is not None else Usage()
        if usage.input is None or usage.output is None:
            usage = _estimated(turn, usage)
        money = turn.cost if turn.cost is not None else cost(usage, self._prices)
        self._limits.spend(self._owner, (usage.input or 0) + (usage.output or 0), money or 0)


_BYTES_A_TOKEN = 4  # of UTF-8, in English and in code; other languages take up to twice as many tokens


def _estimated(turn: ObservedTurn, usage: Usage) -> Usage:
    """Return about how many tokens a turn took, of which the backend did not say it, or not all."""
    answered = sum(len(_text_of(part).encode("utf-8", "replace")) for part in turn.answer.parts)
    if turn.request is None or (turn.outcome == "failed" and not answered):
        return usage  # nothing is paid for what nobody answered
    texts = (_text_of(part) for message in turn.request.messages for part in message.parts)
    asked = sum(len(text.encode("utf-8", "replace")) for text in texts)
    return Usage(
        input=ceil(asked / _BYTES_A_TOKEN) if usage.input is None else usage.input,
        output=ceil(answered / _BYTES_A_TOKEN) if usage.output is None else usage.output,
    )


def _text_of(part: Part) -> str:
    if isinstance(part, TextPart | ReasoningPart):
        return part.text
    if isinstance(part, ToolCall):
        return f"{part.name}{part.arguments}"
    return part.content if isinstance(part, ToolResult) else ""


class AskedTurns:
    """Observes the turns of a lab's pages, and tells the lab's own observer of them."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._inner = lab.backends.observer
        self._limits = limits_of(lab)
        self._audit = audit_of(lab)

    def began(self, backend: str, kind: str, target: Target, ctx: CallContext) -> Observation:
        """Return the observation of a turn that begins now."""
        inner = UNOBSERVED if self._inner is None else self._inner.began(backend, kind, target, ctx)
        entry = self._lab.backends[backend]
        own = entry.cls.as_person(entry.config.options)
        if self._audit is not None and ctx.identity is not None:
            whom = {"as": entry.asked_as(ctx)}
            self._audit.write("asked", ctx.owner, name=ctx.identity, backend=backend, **whom)
        return _Asked(inner, self._limits, None if own else ctx.owner, entry.config.prices)

    def together(self, name: str, about: Mapping[str, str | int]) -> Together:
        """Return what the other observer makes of turns that belong together."""
        return together(self._inner, name, about)


_audits: WeakKeyDictionary[Lab, AuditLog] = WeakKeyDictionary()


def audit_of(lab: Lab) -> AuditLog | None:
    """Return the audit log of a lab's pages: the same for all of them. None where nobody signs in."""
    assert lab.config is not None
    if lab.config.auth is None:
        return None
    if lab not in _audits:
        _audits[lab] = AuditLog(lab.config.auth.audit)
        lab.at_close.insert(0, _audits[lab].flush)  # after whatever else ends then
    return _audits[lab]


def observe_turns(lab: Lab) -> None:
    """Have the turns that a lab's pages ask for noted, however many pages there are."""
    if not isinstance(lab.backends.observer, AskedTurns):
        lab.backends.observe(AskedTurns(lab))
