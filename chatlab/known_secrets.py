"""The secrets that this process has read, and how they are taken out of what people read.

A secret shows itself in more ways than as it is: with other characters for some of its own (in a URL, in
JSON, in a repr), as base64 in a header, a line of it at a time, or a part of it with stars for the rest. Each
way is looked for.

There may be hundreds: of each person a password's hash, or a token. So a short text, such as a piece of an
answer, is not asked for each of them: what may stand in it is looked up by four characters at a time.

Threads and the event loop share the secrets. Who adds one makes new tuples under a lock; who looks takes the
tuples that are there, which nobody changes.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias, TypeVar
from urllib.parse import quote, quote_plus

from chatlab.shown_text import Span

MASK = "***"

_SHORTEST = (
    6  # characters; a shorter value is a stand-in ("none", for a server that wants no key), and a word
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_GRAM = 4  # characters; a secret is cut into these, and every part of 2 * _GRAM characters has one whole
_PART = 8  # the shortest part that is taken out, if it has letters and digits
_WORDY_PART = 12  # and if it has not, since it may be a word of any text
_DISTINCT = 5  # characters; a part with fewer, such as a row of noughts, stands in many a text and number
_MOST = 64  # secrets of one source; tokens that are fetched anew every hour would grow without end
# A key as upstreams show it: its beginning and its end, with this between for what is left out.
_LEFT_OUT = re.compile(r"\*{2,}|\.{3}|…|•{2,}|x{4,}", re.I)
_ENDS = 4  # characters of a beginning or an end that tell whose it is
_NEAR = 64  # characters that are looked at before and after what stands for the rest
_DEAR = 2  # texts to be looked for in the time in which one character of a text is looked up

_Place = TypeVar("_Place")


@dataclass(frozen=True, slots=True)
class _Secret:
    """forms: all that it may be written as, the longest first. grams: of the value itself, for its parts."""

    value: str
    forms: tuple[str, ...]
    grams: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, value: str, *, parts: bool) -> _Secret:
        grams = range(0, len(value) - _GRAM + 1, _GRAM) if parts and len(value) >= _PART else ()
        return cls(value, _forms(value), tuple((at, value[at : at + _GRAM]) for at in grams))

    def parts_around(self, text: str, at: int) -> Iterator[Span]:
        """Yield where parts of it stand in a text that have the gram which is there in the secret."""
        gram = self.value[at : at + _GRAM]
        found = text.find(gram)
        while found >= 0:
            first, last = self._run(text, found, at)
            if last - first >= _PART and _tells(text[first:last]):
                yield first, last
            found = text.find(gram, max(found + 1, last - _GRAM + 1))

    def _run(self, text: str, found: int, at: int) -> tuple[int, int]:
        """Return how far the text around this place is what the secret is around that one."""
        first, last = found, found + _GRAM
        while first > 0 and at > 0 and text[first - 1] == self.value[at - 1]:
            first, at = first - 1, at - 1
        at += last - first
        while last < len(text) and at < len(self.value) and text[last] == self.value[at]:
            last, at = last + 1, at + 1
        return first, last

    def is_masked_by(self, begin: str, end: str) -> bool:
        """Return whether these are the beginning and the end of the secret, as far as something is shown of
        it.
        """
        if len(begin) + len(end) < _ENDS or not self.grams:
            return False
        if not (begin and end) and (begin + end).isalpha():
            return False  # "horse..." is more likely a word than the beginning of a key
        return self.value.startswith(begin) and self.value.endswith(end)


def _tells(part: str) -> bool:
    """Return whether a part is long enough, or unlike a word, so that it can stand in a text only for the
    secret.
    """
    mixed = any(c.isdigit() for c in part) and any(c.isalpha() for c in part)
    return len(set(part)) >= _DISTINCT and (mixed or len(part) >= _WORDY_PART)


def _forms(value: str) -> tuple[str, ...]:
    data = value.encode("utf-8", "surrogatepass")
    forms = {value, " ".join(value.split()), quote(value), quote(value, safe=""), quote_plus(value)}
    forms |= {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    forms |= {repr(data)[2:-1], html.escape(value), data.hex(), data.hex().upper(), *_base64(data)}
    # Of several lines each by itself: a message is folded into one line, or cut at the first.
    forms |= set(_lines(value))
    return tuple(sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True))


def _lines(value: str) -> list[str]:
    """Return what stands between line breaks, tabs and other control characters."""
    return [line for each in _CONTROL.split(value) if (line := each.strip())]


def _base64(data: bytes) -> Iterator[str]:
    """Yield what stands in base64 of any text that has the secret in it, wherever in the text that is."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data)
        inner = encoded[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6].decode("ascii")
        yield inner
        yield inner.replace("+", "-").replace("/", "_")


_Grams: TypeAlias = dict[str, tuple[tuple[int, _Secret, _Place], ...]]
"""By four characters, where these stand in which secrets, numbered in the order in which they were added."""


class KnownSecrets:
    """The secrets of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_source: dict[str, tuple[str, ...]] = {}
        self._secrets: dict[str, tuple[_Secret, ...]] = {}  # by value; never changed, but replaced
        self._forms: tuple[str, ...] = ()
        self._beginnings: _Grams[str] = {}  # of forms, which are their places
        self._grams: _Grams[int] = {}
        self._numbers = count()

    def add(self, value: str, *, parts: bool = True, source: str = "") -> None:
        """Take a secret in. parts: whether a part of it is one too; a URL's is not. source: where it is from,
        if it is read there again and again: of what it was before, the latest alone are known on."""
        if len(value) < _SHORTEST or value in self._secrets:
            return
        made = [_Secret.of(value, parts=parts)]
        lines = [line for line in _lines(value) if line != value and len(line) >= _SHORTEST]
        made += [_Secret.of(line, parts=True) for line in lines if parts]
        with self._lock:
            if value in self._secrets:  # by now
                return
            secrets = {**self._secrets, value: tuple(made)}
            gone: list[_Secret] = []
            if source:
                values = (*self._of_source.get(source, ()), value)
                for old in values[:-_MOST]:
                    gone += secrets.pop(old, ())
                self._of_source[source] = values[-_MOST:]
            for one in made:
                _put(self._beginnings, self._numbers, one, ((form[:_GRAM], form) for form in one.forms))
                _put(self._grams, self._numbers, one, ((gram, at) for at, gram in one.grams))
            self._secrets = secrets
            # After the rest: who remembers a text without secrets looks whether these are the same.
            self._forms = tuple(form for those in secrets.values() for one in those for form in one.forms)
            for one in gone:
                _take_out(self._beginnings, one, (form[:_GRAM] for form in one.forms))
                _take_out(self._grams, one, (gram for _, gram in one.grams))

    def spans_in(self, text: str, *, parts: bool = False) -> Iterator[Span]:
        """Yield where the secrets stand in a text, in no order. parts: also where parts of them do."""
        for form in self.forms_in(text):
            at = text.find(form)
            while at >= 0:
                yield at, at + len(form)
                at = text.find(form, at + len(form))
        if not parts or not self._grams:
            return
        few = len(text) <= _DEAR * len(self._grams)
        for secret, place in _looked_up(self._grams, text) if few else _all(self._grams):
            yield from secret.parts_around(text, place)
        yield from self._masked_in(text)

    def _masked_in(self, text: str) -> Iterator[Span]:
        """Yield where a secret stands of which the beginning and the end alone are shown."""
        done = 0
        for found in _LEFT_OUT.finditer(text):
            first = found.start()
            while first > max(done, found.start() - _NEAR) and _in_key(text[first - 1]):
                first -= 1
            last = found.end()
            while last < min(len(text), found.end() + _NEAR) and _in_key(text[last]):
                last += 1
            begin, end = text[first : found.start()], text[found.end() : last]
            secrets = (secret for those in self._secrets.values() for secret in those)
            if any(secret.is_masked_by(begin, end) for secret in secrets):
                yield first, last
                done = last

    def taken_out_of(self, text: str, *, parts: bool = False) -> str:
        """Return the text without the secrets. parts: without parts of them too."""
        shown: list[str] = []
        done = 0
        for first, last in sorted(self.spans_in(text, parts=parts)):
            if first >= done:
                shown += [text[done:first], MASK]
            done = max(done, last)
        return "".join((*shown, text[done:])) if done else text

    def values(self) -> tuple[tuple[str, bool], ...]:
        """Return the secrets, each with whether a part of it is one too. For another process of the same
        server, and for nothing that is shown or written.
        """
        return tuple((value, any(one.grams for one in made)) for value, made in self._secrets.items())

    @property
    def forms(self) -> tuple[str, ...]:
        """Return everything that any of the secrets may be written as."""
        return self._forms

    def forms_in(self, text: str) -> Sequence[str]:
        """Return of `forms`, in their order, those that may stand in a text, or begin at its end."""
        if len(text) > _DEAR * len(self._forms):
            return self._forms
        return [form for _, form in _looked_up(self._beginnings, text)]


def _put(
    grams: _Grams[_Place], numbers: Iterator[int], secret: _Secret, places: Iterable[tuple[str, _Place]]
) -> None:
    for gram, place in places:
        grams[gram] = (*grams.get(gram, ()), (next(numbers), secret, place))


def _take_out(grams: _Grams[_Place], secret: _Secret, places: Iterable[str]) -> None:
    for gram in set(places):
        left = tuple(one for one in grams[gram] if one[1] is not secret)
        if left:
            grams[gram] = left
        else:
            del grams[gram]


def _looked_up(grams: _Grams[_Place], text: str) -> Iterator[tuple[_Secret, _Place]]:
    """Yield the secrets of which something stands in a text, in their order, with where it is in them."""
    there = {text[at : at + _GRAM] for at in range(len(text) - _GRAM + 1)}
    found = [one for gram in there if gram in grams for one in grams.get(gram, ())]
    for _, secret, place in sorted(found, key=lambda one: one[0]):
        yield secret, place


def _all(grams: _Grams[_Place]) -> Iterator[tuple[_Secret, _Place]]:
    """Yield every secret with every place in it."""
    return ((secret, place) for those in tuple(grams.values()) for _, secret, place in those)


def _in_key(character: str) -> bool:
    return character.isalnum() or character in "_=/+~-"


known_secrets = KnownSecrets()


def remember(value: str, *, parts: bool = True, source: str = "") -> None:
    """Have `chatlab.secret.scrub` take this value out of everything from now on; see `KnownSecrets.add`."""
    known_secrets.add(value, parts=parts, source=source)


class WithoutSecrets:
    """Takes the known secrets out of a text that arrives in pieces.

    What may be the beginning of one waits for the next piece, from its fourth character on.
    """

    __slots__ = ("_held", "_shown")

    def __init__(self) -> None:
        self._shown = ""  # the last characters that went out, which may have begun a secret
        self._held = ""

    def add(self, piece: str) -> str:
        """Return what can be shown by now, the piece itself if nothing of it is to be changed."""
        text = self._held + piece if self._held else piece
        before = len(self._shown)
        window = self._shown + text
        forms = known_secrets.forms_in(window)
        if not forms:
            self._held, self._shown = "", window[-(_GRAM - 1) :]
            return text
        for form in forms:
            at = window.find(form)
            while at >= 0:
                # Of what went out already nothing can be taken back: the rest of it goes.
                first, last = max(at, before), at + len(form)
                window = window[:first] + MASK + window[last:]
                at = window.find(form, first + len(MASK))
        ready = self._until(window, forms)
        self._held = window[ready:]
        shown = window[before:ready]
        return self._out(piece if shown == piece else shown)

    def end(self) -> str:
        """Return what was held back, now that nothing follows."""
        return self._out(self._taken())

    def _until(self, window: str, forms: Sequence[str]) -> int:
        """Up to where no secret begins that the window does not have to its end."""
        ready = len(window)
        for form in forms:
            at = window.find(form[:_GRAM], max(0, len(window) - len(form)))
            while 0 <= at < ready:
                if form.startswith(window[at:]):
                    ready = at
                    break
                at = window.find(form[:_GRAM], at + 1)
        return max(ready, len(self._shown))

    def _taken(self) -> str:
        held, self._held = self._held, ""
        return held

    def _out(self, text: str) -> str:
        self._shown = (self._shown + text)[-(_GRAM - 1) :]
        return text
