"""One prompt of a run, and what its answers are checked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from chatlab.messages import Message


@dataclass(frozen=True, slots=True)
class Item:
    """One prompt, of one user turn or several.

    expected: the answer that is right, for the checks and for a judge. Checks look at the last answer.
    asked: where the messages that are asked stand; one a step.
    """

    id: str
    messages: tuple[Message, ...]
    expected: str | None = None
    tags: tuple[str, ...] = ()
    checks: tuple[CheckSpec, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    asked: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        followed = [m.role in ("assistant", "tool") for m in self.messages[1:]] + [False]
        asked = tuple(n for n, m in enumerate(self.messages) if m.role == "user" and not followed[n])
        object.__setattr__(self, "asked", asked)  # once: it is asked for several times a call

    def conversation(self, answers: Sequence[Message]) -> tuple[Message, ...]:
        """Return what is sent for the step after these answers, each of which stands behind the message it
        answers.

        A message that got no text as its answer is left out with it: two in a row would be answered as one.
        """
        found: list[Message] = []
        start = 0
        for place, answer in zip(self.asked, answers, strict=False):
            found += self.messages[start:place]
            if answer.text:
                found += [self.messages[place], answer]
            start = place + 1
        return (*found, *self.messages[start : self.asked[len(answers)] + 1])


Kind: TypeAlias = Literal[
    "expected", "exact", "contains", "not_contains", "regex", "numeric", "json_schema", "python"
]


KINDS: tuple[Kind, ...] = get_args(Kind)


NEEDS_VALUE = ("contains", "not_contains", "regex", "json_schema", "python")


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """One check to be made. value: a JSON value whose meaning the kind gives; None where it has none.

    `expected`, `exact` and `numeric` compare with the item's expected answer; `exact` may have a text of its
    own instead, `numeric` has the tolerance.
    """

    kind: Kind
    value: Any = None

    @property
    def name(self) -> str:
        """Return what the check is called in results: its kind, and its value if that is short."""
        if self.value is None or not isinstance(self.value, str):
            return self.kind
        return f"{self.kind} {self.value if len(self.value) <= 60 else self.value[:59] + '…'}"

    @property
    def needs_expected(self) -> bool:
        """Return whether it says nothing about an item without an expected answer."""
        return self.kind in ("expected", "numeric") or (self.kind == "exact" and self.value is None)

    def to_json(self) -> dict[str, Any]:
        """`{kind: value}`, which `parse_check` reads."""
        return {self.kind: self.value}
