"""Takes out of a comparison what is not to be in an export, and counts what it took and where."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from operator import attrgetter, is_
from typing import Any, TypeVar, overload

from chatlab.compare.figures import Figures, StoredResults
from chatlab.compare.model import Comparison, Receipt, Result
from chatlab.compare.report.spool import many
from chatlab.messages import FilePart, Part, TextPart
from chatlab.redaction.texts import Pattern, TextRedaction

T = TypeVar("T")

# What no text stands in: ids, words that mean something to chatlab, and what is about the content.
_LEFT = frozenset(
    (
        *("id", "lane", "lane_a", "lane_b", "best", "shown", "winner", "session", "conversation", "parent"),
        *("answers", "copied_from", "sha256", "wire_sha256", "arrivals", "status", "role", "kind", "reason"),
        *("media_type", "tool_seconds", "mode", "order", "versions", "redacted"),
        *("created", "at", "step", "repeat", "usage", "timing", "cost"),
    )
)
# Names by which things are told apart: two that become the same get numbers.
_NAMES = frozenset(
    ("item", "round", "voter", "judge", "criterion", "label", "owner", "asked_by", "asked_as", "identity")
)


def redacted(compared: Comparison, patterns: Sequence[Pattern] = ()) -> Comparison:
    """Return the comparison without what matches, and without credentials; its `redacted` says what was taken
    and where.

    Attachments cannot be searched: with a pattern given, their content is taken out too. Hashes stay those of
    what was really sent. Raises WrongPattern if a pattern takes too long on these texts.
    """
    taking = _Taking(patterns)
    labels: dict[str, str] = {lane.id: lane.label for lane in compared.lanes}

    def part_of(name: str) -> Callable[[str], str]:
        return lambda text: taking.text(text, name)

    def made(result: Result) -> Result:
        return taking.result(result, labels.get(result.lane, "a lane"))

    results: _RedactedResults | tuple[Result, ...]
    if isinstance(compared.results, StoredResults):
        results = _RedactedResults(compared.results, made, taking)
    else:
        results = tuple(map(made, compared.results))
    found = replace(
        compared,
        title=taking.text(compared.title, "the title"),
        lanes=tuple(taking.walk(lane, "lanes") for lane in compared.lanes),
        results=results,
        votes=tuple(taking.walk(vote, "votes") for vote in compared.votes),
        verdicts=many(compared, (taking.walk(verdict, "verdicts") for verdict in compared.verdicts)),
        mismatches=tuple(map(part_of("notes"), compared.mismatches)),
        notes=tuple(map(part_of("notes"), compared.notes)),
    )
    return replace(found, redacted=_Counts(compared.redacted, taking, results))


class _Counts(Mapping[str, int]):
    """The counts of what was taken out of a comparison, by pattern and place, with what had been before.

    Results that stay on the disk are read for it, as far as nobody has read them yet.
    """

    def __init__(
        self, before: Mapping[str, int], taking: _Taking, results: _RedactedResults | tuple[Result, ...]
    ) -> None:
        self._before = before
        self._taking = taking
        self._results = results

    def _all(self) -> dict[str, int]:
        if isinstance(self._results, _RedactedResults):
            self._results.count_all()
        counts = Counter(self._before) + self._taking.counts
        names = [one.name for one in self._taking.patterns]
        unseen = {name: 0 for name in names if not any(key.startswith(f"{name} in ") for key in counts)}
        return {**dict(sorted(counts.items())), **unseen}

    def __getitem__(self, key: str) -> int:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


class _RedactedResults(StoredResults):
    """Results that stay on the disk, without what matches. What is taken out of one is counted when it is
    read for the first time.
    """

    def __init__(self, of: StoredResults, made: Callable[[Result], Result], taking: _Taking) -> None:
        self._of = of
        self._made = made
        self._taking = taking
        self._counted = bytearray(len(of))
        items = [taking.name(item, "prompts") for item in of.figures.items]
        self._figures = of.figures if items == list(of.figures.items) else replace(of.figures, items=items)

    @property
    def figures(self) -> Figures:
        """Return the figures of all of them."""
        return self._figures

    def count_all(self) -> None:
        """Read those that nobody has read yet."""
        for place, counted in enumerate(self._counted):
            if not counted:
                self._read(place)

    def __len__(self) -> int:
        return len(self._of)

    @overload
    def __getitem__(self, place: int) -> Result: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Result]: ...
    def __getitem__(self, place: int | slice) -> Result | Sequence[Result]:
        places = range(len(self))[place]
        return self._read(places) if isinstance(places, int) else [self._read(one) for one in places]

    def _read(self, place: int) -> Result:
        result, counts = self._of[place], self._taking.counts
        if self._counted[place]:
            self._taking.counts = Counter()
        try:
            return self._made(result)
        finally:
            self._taking.counts = counts
            self._counted[place] = True


_NUMBERS = frozenset((float, int, bool))


@cache
def _looked_at(kind: type, *but: str) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]]:
    """Return the fields of a dataclass in which texts may stand, but for these, and what gives their values;
    of another class none.
    """
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    names = tuple(one.name for one in fields if one.name not in _LEFT.union(but))
    return names, attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)


class _Taking(TextRedaction):
    """Goes through values of any kind."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        super().__init__(patterns)
        self._names: dict[str, str] = {}

    def name(self, text: str, place: str) -> str:
        """Return a name without what matches; different names stay different, and the same one the same."""
        if text not in self._names:
            made = clean = self.text(text, place)
            number = 1
            while clean != text and made in self._names.values():
                number += 1
                made = f"{clean} {number}"
            self._names[text] = made
        found = self._names[text]
        return text if found == text else found

    def walk(self, value: T, place: str) -> T:
        """Any value with the texts in it redacted."""
        return self._walk(value, place)  # type: ignore[no-any-return]

    def _walk(self, value: Any, place: str) -> Any:
        kind: Any = type(value)
        if kind is str:
            return self.text(value, place)
        if kind is TextPart:  # nearly all parts are
            text = self.text(value.text, place)
            return value if text == value.text else TextPart(text)
        if kind is tuple or kind is list:
            parts = [self._walk(item, place) for item in value]
            return value if all(map(is_, parts, value)) else kind(parts)
        if kind is FilePart:
            return self._file(value, place)
        if _looked_at(kind)[0]:
            changed = self._changed(value, place)
            return replace(value, **changed) if changed else value
        if isinstance(value, Mapping):
            made = {self.name(str(key), place): self._walk(item, place) for key, item in value.items()}
            return made if made != value else value
        return value

    def _changed(self, value: Any, place: str, *but: str) -> dict[str, Any]:
        """Return the fields of a dataclass in which something is taken out; these are not looked at."""
        changed = {}
        kind: Any = type(value)
        names, values_of = _looked_at(kind, *but)
        for name, held in zip(names, values_of(value), strict=True):
            if not held or type(held) in _NUMBERS:
                continue
            if type(held) is not str:
                made = self._walk(held, place)
            elif name in _NAMES:
                made = self.name(held, place)
            else:
                made = self.text(held, place)
            if made is not held and made != held:
                changed[name] = made
        return changed

    def _file(self, part: FilePart, place: str) -> Part:
        if not self.patterns:
            return part
        self.counts[f"attachment in {place}"] += 1
        name = self.text(part.name or part.media_type, place)
        return TextPart(f"[redacted: attachment {name}]")

    def result(self, result: Result, label: str) -> Result:
        """Return a result; what is counted goes by whether it was asked, answered or sent."""
        answers = f"answers of {self.name(label, 'lanes')}"
        turn = result.turn
        user = self._walk(turn.user, "prompts")
        changed = {} if user is turn.user else {"user": user}
        changed |= self._changed(turn, answers, "user")
        receipt: Receipt | None = self.walk(result.receipt, "receipts")
        if receipt is not None and "answer" in changed:
            receipt = replace(receipt, arrivals=None)  # they would be the times of another text
        made: dict[str, Any] = {
            "item": self.name(result.item, "prompts"),
            "turn": replace(turn, **changed) if changed else turn,
            "receipt": receipt,
            "checks": self.walk(result.checks, "checks"),
            "tags": self.walk(result.tags, "prompts"),
        }
        taken = {name: value for name, value in made.items() if value is not getattr(result, name)}
        return replace(result, **taken) if taken else result
