"""Takes out of a text what is not to be told, and counts what it took and where.

It looks at what is written and at what a reader sees of it, once escapes are taken away. What was taken is
marked in its place, `[redacted: email]`. A pattern of one's own goes by its number, since the pattern itself
may be what nobody is to read. Credentials, known or by their shape, always go.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from chatlab.errors import ChatlabError
from chatlab.redaction.patterns import BUILT_IN
from chatlab.secret import credentials_in
from chatlab.shown_text import Shown, Span, replaced, spans_of, ways_to_see
from chatlab.words import ENGLISH

_LONGEST = 2.0  # seconds for one pattern on one text
_LONGEST_ALL = 120.0  # and for everything together

_REMEMBERED = 1_000  # texts in which there was nothing, each of so many characters at the most

_OF_CREDENTIALS = ("url-userinfo", "api-key")


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
    return (*patterns, *(_own_pattern(f"pattern {number}", source) for number, source in enumerate(own, 1)))


def _own_pattern(name: str, source: str) -> Pattern:
    import regex

    try:
        compiled = regex.compile(source)
        empty = compiled.search("", timeout=_LONGEST) is not None
    except regex.error as exc:
        raise WrongPattern(ENGLISH("refusal.pattern-wrong", name=name, pattern=source, detail=exc)) from exc
    if empty:
        raise WrongPattern(ENGLISH("refusal.pattern-empty", name=name, pattern=source))
    return Pattern(name, compiled)


@dataclass(slots=True)
class TextRedaction:
    """Goes through texts, takes out what matches, and counts it by pattern and place."""

    patterns: Sequence[Pattern] = ()
    counts: Counter[str] = field(default_factory=Counter)
    _clean: set[str] = field(default_factory=set)
    _looked_at: tuple[str, Sequence[Shown]] | None = None
    _until: float = field(default_factory=lambda: monotonic() + _LONGEST_ALL)

    def text(self, text: str, place: str) -> str:
        """Return the text without what matches. place: where it stands, as people name it.

        Raises WrongPattern if a pattern takes too long on it.
        """
        if text in self._clean:
            return text
        # What a person asked for by its name is marked with it; the other credentials go without being asked.
        named = self._marked(text, place, of_credentials=True)
        found = credentials_in(named, self._ways_to_see(named))
        clean = self._without(named, place, "credential", found, "***")
        rest = self._marked(clean, place, of_credentials=False)
        if rest is text and len(text) <= _REMEMBERED:
            if len(self._clean) == _REMEMBERED:
                self._clean.clear()
            self._clean.add(text)
        return rest

    def _marked(self, text: str, place: str, *, of_credentials: bool) -> str:
        for one in self.patterns:
            if (one.name in _OF_CREDENTIALS) is not of_credentials:
                continue
            try:
                if monotonic() > self._until:
                    raise TimeoutError
                spans = spans_of(text, one.spans, self._ways_to_see(text))
            except TimeoutError as exc:
                raise WrongPattern(ENGLISH("refusal.pattern-slow", name=one.name, place=place)) from exc
            text = self._without(text, place, one.name, spans, f"[redacted: {one.name}]")
        return text

    def _ways_to_see(self, text: str) -> Sequence[Shown]:
        """Return the ways to see a text, made once for all patterns until one changes it."""
        if self._looked_at is None or self._looked_at[0] is not text:
            self._looked_at = text, ways_to_see(text)
        return self._looked_at[1]

    def _without(self, text: str, place: str, name: str, spans: Sequence[Span], mark: str) -> str:
        if not spans:
            return text
        self.counts[f"{name} in {place}"] += len(spans)
        return replaced(text, spans, mark)
