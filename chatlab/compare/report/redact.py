"""Takes out of a comparison what is not to be in an export, and counts what it took and where.

It looks at what is written and at what a reader sees of it, once escapes are taken away. What was taken is
marked in its place, `[redacted: email]`. A pattern of one's own goes by its number, since the pattern itself
may be what nobody is to read. Credentials, known or by their shape, always go.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, TypeVar

import regex

from chatlab.compare.model import Comparison, Receipt, Result
from chatlab.compare.report.redact_patterns import BUILT_IN
from chatlab.errors import ChatlabError
from chatlab.messages import FilePart, Message, Part, TextPart
from chatlab.secret import credentials_in
from chatlab.shown_text import Shown, Span, replaced, spans_of, ways_to_see

T = TypeVar("T")

_LONGEST = 2.0  # seconds for one pattern on one text
_LONGEST_ALL = 120.0  # and for everything together

_OF_CREDENTIALS = ("url-userinfo", "api-key")

# What no text stands in: ids, words that mean something to chatlab, and what is about the content.
_LEFT = frozenset(
    (
        *("id", "lane", "lane_a", "lane_b", "best", "shown", "winner", "session", "conversation", "parent"),
        *("answers", "copied_from", "sha256", "wire_sha256", "arrivals", "status", "role", "kind", "reason"),
        *("media_type", "tool_seconds", "mode", "order", "versions", "redacted"),
    )
)
# Names by which things are told apart: two that become the same get numbers.
_NAMES = frozenset(
    ("item", "round", "voter", "judge", "criterion", "label", "owner", "asked_by", "asked_as", "identity")
)


class WrongPattern(ChatlabError):
    """A pattern that was given cannot be used; the sentence says why."""

    http_status = 400


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern of text to take out. name: what stands in its place. found: of `re` where it is one of ours,
    which take a time in proportion to the text, and of `regex`, which can be ended, where it is somebody's
    own."""

    name: str
    found: Any

    def spans(self, text: str) -> Iterator[Span]:
        """Yield where it is in a text. Raises TimeoutError if that takes too long."""
        bounds = {} if isinstance(self.found, re.Pattern) else {"timeout": _LONGEST, "concurrent": True}
        for match in self.found.finditer(text, **bounds):
            if match[0]:
                yield match.span()


def parse_patterns(said: Sequence[str]) -> tuple[Pattern, ...]:
    """Names of `BUILT_IN`, and regular expressions (of the `regex` package). Raises WrongPattern."""
    patterns = [Pattern(name, re.compile(BUILT_IN[name])) for name in BUILT_IN if name in said]
    own = (one for one in dict.fromkeys(said) if one not in BUILT_IN)
    for number, source in enumerate(own, 1):
        name = f"pattern {number}"
        try:
            compiled = regex.compile(source)
            empty = compiled.search("", timeout=_LONGEST) is not None
        except regex.error as exc:
            raise WrongPattern(f"{name} ({source!r}) is not a regular expression: {exc}") from exc
        if empty:
            raise WrongPattern(f"{name} ({source!r}) matches nothing at all, so it would match everywhere")
        patterns.append(Pattern(name, compiled))
    return tuple(patterns)


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

    results = tuple(taking.result(result, labels.get(result.lane, "a lane")) for result in compared.results)
    found = replace(
        compared,
        title=taking.text(compared.title, "the title"),
        lanes=tuple(taking.walk(lane, "lanes") for lane in compared.lanes),
        results=results,
        votes=tuple(taking.walk(vote, "votes") for vote in compared.votes),
        verdicts=tuple(taking.walk(verdict, "verdicts") for verdict in compared.verdicts),
        mismatches=tuple(map(part_of("notes"), compared.mismatches)),
        notes=tuple(map(part_of("notes"), compared.notes)),
    )
    counts = Counter(compared.redacted) + taking.counts
    unseen = {one.name: 0 for one in patterns if not any(key.startswith(one.name + " in ") for key in counts)}
    return replace(found, redacted={**dict(sorted(counts.items())), **unseen})


@dataclass(slots=True)
class _Taking:
    """Goes through values, takes out what matches, and counts it by pattern and place."""

    patterns: Sequence[Pattern]
    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, str] = field(default_factory=dict)
    looked_at: tuple[str, Sequence[Shown]] | None = None
    until: float = field(default_factory=lambda: monotonic() + _LONGEST_ALL)

    def text(self, text: str, place: str) -> str:
        """Return the text without what matches."""
        # What a person asked for by its name is marked with it; the other credentials go without being asked.
        named = self._marked(text, place, [one for one in self.patterns if one.name in _OF_CREDENTIALS])
        found = credentials_in(named, self._ways_to_see(named))
        clean = self._without(named, place, "credential", found, "***")
        return self._marked(clean, place, [one for one in self.patterns if one.name not in _OF_CREDENTIALS])

    def _marked(self, text: str, place: str, patterns: Sequence[Pattern]) -> str:
        for one in patterns:
            try:
                if monotonic() > self.until:
                    raise TimeoutError
                spans = spans_of(text, one.spans, self._ways_to_see(text))
            except TimeoutError as exc:
                raise WrongPattern(
                    f"{one.name} takes too long on {place}: write it so that it cannot match in many ways"
                ) from exc
            text = self._without(text, place, one.name, spans, f"[redacted: {one.name}]")
        return text

    def _ways_to_see(self, text: str) -> Sequence[Shown]:
        """Return the ways to see a text, made once for all patterns until one changes it."""
        if self.looked_at is None or self.looked_at[0] is not text:
            self.looked_at = text, ways_to_see(text)
        return self.looked_at[1]

    def _without(self, text: str, place: str, name: str, spans: Sequence[Span], mark: str) -> str:
        if spans:
            self.counts[f"{name} in {place}"] += len(spans)
        return replaced(text, spans, mark)

    def name(self, text: str, place: str) -> str:
        """Return a name without what matches; different names stay different, and the same one the same."""
        if text not in self.names:
            made = clean = self.text(text, place)
            number = 1
            while clean != text and made in self.names.values():
                number += 1
                made = f"{clean} {number}"
            self.names[text] = made
        return self.names[text]

    def walk(self, value: T, place: str) -> T:
        """Any value with the texts in it redacted."""
        return self._walk(value, place)  # type: ignore[no-any-return]

    def _walk(self, value: Any, place: str) -> Any:
        if isinstance(value, str):
            return self.text(value, place)
        if isinstance(value, FilePart):
            return self._file(value, place)
        if isinstance(value, Mapping):
            return {self.name(str(key), place): self._walk(item, place) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._walk(item, place) for item in value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            changed = {}
            for item in dataclasses.fields(value):
                held = getattr(value, item.name)
                if item.name in _LEFT or held is None:
                    continue
                if item.name in _NAMES and isinstance(held, str):
                    changed[item.name] = self.name(held, place)
                else:
                    changed[item.name] = self._walk(held, place)
            return replace(value, **changed)
        return value

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
        user: Message = self.walk(turn.user, "prompts")
        answer = self.walk(turn.answer, answers)
        rest = self.walk(replace(turn, user=Message("user", ()), answer=()), answers)
        receipt: Receipt | None = self.walk(result.receipt, "receipts")
        if receipt is not None and answer != turn.answer:
            receipt = replace(receipt, arrivals=None)  # they would be the times of another text
        return replace(
            result,
            item=self.name(result.item, "prompts"),
            turn=replace(rest, user=user, answer=answer),
            receipt=receipt,
            checks=self.walk(result.checks, "checks"),
            tags=self.walk(result.tags, "prompts"),
        )
