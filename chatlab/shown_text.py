"""Text as a reader sees it, once Markdown, HTML, JSON, URLs, mail and style sheets have taken their escapes
and marks away, and where each character of it stands in what was written.

`jane.roe&#64;example.org`, `sk\\_live`, `<b>jane</b>.roe`, a word with a soft hyphen in it, and a key with a
letter of another alphabet that looks alike read as what they stand for. Whoever looks for something in a text
that people will see looks in all of these.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import unquote

# Every pattern begins with a set of characters, by which alone the places where it may match are found: ten
# times as fast as one that tries its alternatives at every character. All of it is one group, for `split`.

# What is invisible, or a form of another character.
_HIDDEN = (
    "\xa0\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\u3164"
    "\ufe00-\ufe0f\ufe50-\ufe6f\ufeff-\uffef\u2100-\u214f\u2460-\u24ff\U0001d400-\U0001d7ff"
    "\U000e0000-\U000e0fff"
)
_HIDDEN_IN_LATIN = "\xa0\xad"  # of these
_BEFORE_ESCAPES = "\\&%"
_OF_EMPHASIS = "*`~_"


@cache
def _escapes(hidden: str) -> re.Pattern[str]:
    """Return what finds these hidden characters, escapes of JSON, programs and Markdown, entities of HTML,
    and escapes of URLs.
    """
    return re.compile(
        rf"([\\&%{hidden}](?:"
        r"(?<=\\)(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}"
        r"|[uxo]\{[0-9a-fA-F]{1,8}\}|U[0-9a-fA-F]{8}|N\{[A-Za-z][A-Za-z0-9 -]{1,80}\}|[!-/:-@\[-`{-~])"
        r"|(?<=&)(?:#\d{1,10}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{1,31});?"
        r"|(?<=%)(?:[2-7][0-9a-fA-F]|[cCdD][0-9a-fA-F]%[89abAB][0-9a-fA-F]"
        r"|[eE][0-9a-fA-F](?:%[89abAB][0-9a-fA-F]){2}|[fF][0-4](?:%[89abAB][0-9a-fA-F]){3})"
        rf"|(?<=[{hidden}])))"
    )


# Escapes that stand in many a text for themselves: octal ones of programs, those of style sheets (which end
# with a space), and those of mail (quoted-printable). A text is looked at with and without them.
_RARELY_WRITTEN = re.compile(
    r"([\\=](?:(?<=\\)(?:(?P<octal>0[4-7][0-7](?!\s)|1[0-7]{2})|[0-9a-fA-F]{1,6}\s?)|(?<==)(?:[0-9A-F]{2}|\r?\n)))"
)
_OF_MAIL = re.compile(r"=(?:[0-9A-F]{2}|\r?\n)")
_EMPHASIS = re.compile(
    r"([*`~_](?:(?<=\*)\**|(?<=`)`*|(?<=~)~|(?<=_)(?:(?<![^\W_]_)_*(?=\w)|(?<=\w_)_*(?![^\W_]))))"
)
_COMMENT_END = "-->"
_COMMENT = re.compile(r"(<!--.*?-->)", re.S)
# Tags, and of links and pictures what stands around their words. What breaks a line is one.
_OF_TAG = r"""/?[A-Za-z](?:[^<>"']*+(?:(?:"[^"<]*"|'[^'<]*')[^<>"']*+)*+>|[^<>]*+>)"""
_TAG = re.compile(f"(<{_OF_TAG})")
_TAG_OR_LINK = re.compile(
    rf"([<!\[\]](?:(?<=<){_OF_TAG}"
    r"|(?:(?<=!)\[|(?<=\[))(?=[^\[\]\n]*+\][(\[])"
    r"|(?<=\])(?:\((?:[^()\n]|\([^()\n]*+\))*+\)|\[[^\[\]\n]*+\])))"
)
_BREAKS = re.compile(r"</?(?:br|p|div|li|ul|ol|tr|td|th|table|h[1-6]|hr|pre|blockquote)\b", re.I)
# What any of these, or a letter of another alphabet, begins with: a text without it is seen as it is written.
_CHANGED = re.compile(rf"[\\&%=*`~_<!\[\]{_HIDDEN}Α-ҼԀ-ԯӀӏ]")
_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
_TIMES = 3  # an escape may be escaped again

# Letters of the Greek and Cyrillic alphabets that look like one of the Latin alphabet.
_ALIKE = str.maketrans(
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧονιυАВЕЅІЈКМНОРСТХУҮԚԜаеѕіјорсхуһԁԛԝӏ",
    "ABEZHIKMNOPTYXoviuABESIJKMHOPCTXYYQWaesijopcxyhdqwl",
)
_LOOKS_LATIN = re.compile("[Α-ҼԀ-ԯӀӏ]")

Span = tuple[int, int]


@dataclass(slots=True)
class _Layer:
    """The replacements that one pass made in a text: where what it replaced begins and ends, as seen and as
    written. Worked out when it is asked for: most texts hold nothing that is looked for."""

    text: str
    pattern: re.Pattern[str]
    seen_of: Callable[[str], str]
    seen: list[int] = field(default_factory=list)
    seen_end: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    written_end: list[int] = field(default_factory=list)

    def span(self, start: int, end: int) -> Span:
        """Return where what is seen from start to end (more than nothing) is written."""
        if not self.seen:
            self._work_out()
        return self._at(start)[0], self._at(end - 1)[1]

    def _work_out(self) -> None:
        self._add(0, 0, 0, 0)
        at = length = 0
        for match in self.pattern.finditer(self.text):
            seen = self.seen_of(match[0])
            if seen != match[0]:
                start, end = match.span()
                length += start - at
                self._add(length, length + len(seen), start, end)
                length, at = length + len(seen), end

    def _add(self, seen: int, seen_end: int, written: int, written_end: int) -> None:
        self.seen.append(seen)
        self.seen_end.append(seen_end)
        self.written.append(written)
        self.written_end.append(written_end)

    def _at(self, place: int) -> Span:
        unit = bisect_right(self.seen, place) - 1
        if place < self.seen_end[unit]:
            return self.written[unit], self.written_end[unit]
        at = place - self.seen_end[unit] + self.written_end[unit]
        return at, at + 1


@dataclass(frozen=True, slots=True)
class Shown:
    """A text as a reader sees it."""

    text: str
    layers: Sequence[_Layer]

    def written(self, start: int, end: int) -> Span:
        """Return where what is seen from `start` to `end` (more than nothing) was written."""
        for layer in reversed(self.layers):
            start, end = layer.span(start, end)
        return start, end


def shown(text: str, *, emphasis: bool = False) -> str:
    """Return what is seen of a text. emphasis: the marks of emphasis and code are not seen either."""
    seen = look(text)
    return (unmarked(seen) if emphasis else seen).text


def look(text: str) -> Shown:
    """Return what is seen of a text, in which marks of emphasis stay."""
    layers: list[_Layer] = []
    for _ in range(_TIMES):
        # In a text of Latin-1 no more can be hidden, and it is looked through in half the time.
        hidden = _HIDDEN_IN_LATIN if _is_latin(text) else _HIDDEN
        if hidden is _HIDDEN_IN_LATIN and not _has_any(text, _BEFORE_ESCAPES + hidden):
            break
        text, layer = _pass(text, _escapes(hidden), _seen)
        if layer is None:
            break
        layers.append(layer)
    return Shown(text, layers)


def unmarked(seen: Shown) -> Shown:
    """Return the same without the marks of emphasis and code."""
    if not _has_any(seen.text, _OF_EMPHASIS):
        return seen
    text, layer = _pass(seen.text, _EMPHASIS, _nothing)
    return seen if layer is None else Shown(text, (*seen.layers, layer))


def untagged(seen: Shown) -> Shown:
    """Return the same without comments, tags, and what stands around the words of links."""
    if "<" not in seen.text and not _has_link(seen.text):
        return seen
    last = seen.text.rfind(_COMMENT_END)
    ends = 0 if last < 0 else last + len(_COMMENT_END)  # behind it no comment ends: nothing to look for
    text, layer = _pass(seen.text, _COMMENT, _nothing, ends)
    if layer is not None:
        seen = Shown(text, (*seen.layers, layer))
    tags = _TAG_OR_LINK if _has_link(text) else _TAG  # a tag alone is found sooner
    text, layer = _pass(text, tags, _tag_seen)
    return seen if layer is None else Shown(text, (*seen.layers, layer))


def _has_link(text: str) -> bool:
    """Return whether there may be a link: without this, no bracket is one's."""
    return "](" in text or "][" in text


def ways_to_see(text: str) -> Sequence[Shown]:
    """Return what is seen of a text in every way in which it may be shown, as it is written first."""
    if _CHANGED.search(text) is None:
        return (Shown(text, ()),)
    seen = look(text)
    bare = untagged(seen)
    ways = [Shown(text, ()), seen, bare, unmarked(bare)]
    if "\\" in text or _OF_MAIL.search(text):
        decoded, layer = _pass(text, _RARELY_WRITTEN, _rarely_seen)
        if layer is not None:
            rest = unmarked(untagged(look(decoded)))
            ways.append(Shown(rest.text, (layer, *rest.layers)))
    # The first four have no other letters than what is seen of the text has.
    others = ways if _looks_latin(seen.text) else ways[4:]
    latin = (Shown(way.text.translate(_ALIKE), way.layers) for way in others if _looks_latin(way.text))
    ways += list(latin)
    return tuple({way.text: way for way in reversed(ways)}.values())[::-1]


def _has_any(text: str, characters: str) -> bool:
    """Return whether one of these few characters is there: a hundred times as fast as an expression's set."""
    return any(character in text for character in characters)


def _is_latin(text: str) -> bool:
    """Return whether all of a text is in Latin-1: a hundred times as fast as to look at each letter."""
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def _looks_latin(text: str) -> bool:
    """Return whether there are letters of other alphabets that look like one of the Latin alphabet."""
    return not _is_latin(text) and _LOOKS_LATIN.search(text) is not None


def spans_of(
    text: str, find: Callable[[str], Iterable[Span]], ways: Sequence[Shown] | None = None
) -> list[Span]:
    """Return where something is found in a text, as it is written or as it is seen, in order and apart.

    find: gives the spans (of more than nothing) in the text that it is given. ways: `ways_to_see` of the
    text, where it is known.
    """
    found = {
        way.written(start, end)
        for way in (ways_to_see(text) if ways is None else ways)
        for start, end in find(way.text)
    }
    apart: list[Span] = []
    for start, end in sorted(found):
        if apart and start < apart[-1][1]:
            apart[-1] = apart[-1][0], max(end, apart[-1][1])
        else:
            apart.append((start, end))
    return apart


def replaced(text: str, spans: Sequence[Span], mark: str) -> str:
    """Return the text with a mark in the place of each span. spans: in order and apart."""
    pieces: list[str] = []
    at = 0
    for start, end in spans:
        pieces += text[at:start], mark
        at = end
    return "".join((*pieces, text[at:]))


def _pass(
    text: str, pattern: re.Pattern[str], seen_of: Callable[[str], str], end: int | None = None
) -> tuple[str, _Layer | None]:
    """Return what is seen of a text once what matches is replaced, and where; None where that is nowhere.

    end: where in the text to stop looking.
    """
    looked_at = text if end is None else text[:end]
    # What is between the matches and, in turn, the matches: a call for each takes as long as to find it.
    pieces = pattern.split(looked_at)
    if pattern.groups > 1:  # behind each match those in it
        pieces = [piece for place, piece in enumerate(pieces) if place % (pattern.groups + 1) < 2]
    known = _Known(seen_of)
    pieces[1::2] = map(known.__getitem__, pieces[1::2])
    replaced_in = "".join(pieces) + text[len(looked_at) :]
    if replaced_in == text:
        return text, None
    return replaced_in, _Layer(looked_at, pattern, known.__getitem__)


class _Known(dict[str, str]):
    """Texts as they are seen, by what was written; each is made when it is first asked for."""

    def __init__(self, seen_of: Callable[[str], str]) -> None:
        self._seen_of = seen_of

    def __missing__(self, written: str) -> str:
        found = self[written] = self._seen_of(written)
        return found


def _nothing(_: str) -> str:
    return ""


def _tag_seen(written: str) -> str:
    return "\n" if _BREAKS.match(written) else ""


def _rarely_seen(written: str) -> str:
    """Return what is seen of an octal escape, one of a style sheet, or one of mail."""
    if written[0] == "=":
        return chr(int(written[1:], 16)) if written[1:].isalnum() else ""
    octal = _RARELY_WRITTEN.match(written)
    digits = written[1:].rstrip()
    return _character(int(digits, 8 if octal and octal["octal"] == digits else 16), written)


def _character(code: int, written: str) -> str:
    """Return the character of a number, or what was written where there is none."""
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else written


def _seen(written: str) -> str:
    """Return what a reader sees of one escape or character."""
    if written[0] == "\\":
        return _unescaped(written)
    if written[0] == "%":
        return unquote(written, errors="replace")
    if written[0] == "&":
        return html.unescape(written)
    if written in _FILLERS or unicodedata.category(written) in ("Cf", "Mn"):
        return ""
    return unicodedata.normalize("NFKC", written)


def _unescaped(written: str) -> str:
    kind = written[1]
    if kind == "N":
        try:
            return unicodedata.lookup(written[3:-1])
        except KeyError:
            return written
    if kind == "U" or written[2:3] == "{":
        digits = written[2:].strip("{}")
        try:
            return _character(int(digits, 8 if kind == "o" else 16), written)
        except ValueError:  # no digit of an octal number
            return written
    if kind in "ux":
        codes = re.findall(r"\\[ux]([0-9a-fA-F]+)", written)
        units = b"".join(int(code, 16).to_bytes(2, "little") for code in codes)
        return units.decode("utf-16-le", "replace")
    return kind
