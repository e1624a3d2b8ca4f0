"""Markdown that is still being written, as HTML that hardly ever changes but at its end.

What is before the last empty line, and a block of code that is closed, will hardly change: it is rendered
once. Only the unfinished block after it is rendered again, and not for each word: a word that cannot change
how the block is read is put behind it, and code is coloured anew as often as it has grown by a quarter, until
it is long: what comes then is put behind it without colours. So an answer costs about the same for each of
its characters, however long it is. The whole is rendered once more when it is complete, which settles what
needs the whole to be known.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from functools import lru_cache

from chatlab.render.markdown import MarkdownRenderer

_LONG_TAIL = 4_000  # characters of an unfinished block from which on it is rendered less often
_LONGEST_STEP = 10_000  # characters that one update renders at most: the event loop waits for it
# The same in what makes Markdown dear: a line of two letters costs as much as a hundred words.
_MOST_MARKS = re.compile(r"(?:[^\n*_\[`|$<&]*[\n*_\[`|$<&]){600}")
_LETTER = re.compile(r"[^\W\d_]")
_PLAIN = re.compile(r"(?:[^\W_]|[ ,.'\"?!:+=%@(…–—-])*")
"""What changes nothing before it in a line that has a letter: it is no list's number, underline or rule."""
_CLOSING = ("\n", *(f"</{tag}>" for tag in "p li ul ol blockquote h1 h2 h3 h4 h5 h6".split()))  # noqa: SIM905
_CLOSING_CODE = "</code></pre></div>\n"
_FENCES = ("```", "~~~")
_UNFINISHED = '<div class="unfinished">'
"""In it stands, as it is written, what is not rendered yet."""


@dataclass(slots=True)
class IncrementalMarkdown:
    """The Markdown of one answer on its way to one page."""

    markdown: MarkdownRenderer = field(default_factory=MarkdownRenderer)
    settled: int = 0
    """Characters of the text that are settled for good."""
    _shown: int = 0
    _base: str = ""
    """The HTML of the first `_covered` characters of the unfinished block, left open at its end."""
    _covered: int = 0
    _is_open: bool = False
    """Whether words can be put behind that."""
    _coloured: int = 0
    """The first characters of unfinished code that have colours."""

    def update(self, text: str) -> tuple[str, str] | None:
        """Return the HTML to add for good, and that of the unfinished end, whose last elements may be left
        open; None if nothing is new.

        text: the whole text so far.
        """
        if len(text) == self._shown:
            return None
        self._shown = len(text)
        tail = text[self.settled :]
        add, end = self._long_code(tail)
        if not end:
            # The rest is shown as it is, until the next updates, or the end of the answer, come to it.
            end = _last_boundary(tail[: _step(tail)])
            add = self.markdown.render(tail[:end]) if end else ""
        if end:
            self._base, self._covered, self._is_open, self._coloured = "", 0, False, 0
            self.settled += end
            tail = tail[end:]
        if tail.startswith(_FENCES):
            return add, self._code(tail) if "\n" in tail else ""
        if len(tail) > _step(tail):
            return add, self._base + _UNFINISHED + html.escape(tail[self._covered :])
        return add, self._block(tail) if tail.strip() else ""

    def _block(self, tail: str) -> str:
        rest = tail[self._covered :]
        if self._is_open and _PLAIN.fullmatch(rest):
            return self._base + rest
        if len(tail) > _LONG_TAIL and self._base and len(tail) < self._covered * 1.1:
            return f"{self._base}{_UNFINISHED}{html.escape(rest)}</div>"
        made = self.markdown.render(tail)
        self._covered = len(tail.rstrip())
        line = tail[tail.rfind("\n", 0, self._covered) + 1 : self._covered]
        if len(tail) > _LONG_TAIL or _PLAIN.fullmatch(line[-1]):
            while made.endswith(_CLOSING):
                made = made[: made.rindex("<" if made.endswith(">") else "\n")]
        self._is_open = (
            _PLAIN.fullmatch(line[-1]) is not None
            and _LETTER.search(line) is not None
            and "://" not in line.split()[-1]  # an address may go on
            and not made.endswith((">", "\n"))
        )
        self._base = made
        return made

    def _long_code(self, tail: str) -> tuple[str, int]:
        """Return the HTML of a block of code that is closed and too long for one step, and where it ends; 0
        if none is there."""
        if len(tail) <= _LONGEST_STEP or not tail.startswith(_FENCES) or "\n" not in tail:
            return "", 0
        found = _closing(_fence(tail)).search(
            tail, max(tail.index("\n") + 1, tail.rfind("\n", 0, self._covered))
        )
        if found is None or found.end() <= _LONGEST_STEP:
            return "", 0
        return self._code(tail[: found.start()]) + _CLOSING_CODE, found.end()

    def _code(self, tail: str) -> str:
        """Return a block of code that is not closed yet."""
        lines_end = tail.rindex("\n") + 1
        if not self._coloured or self._coloured * 1.25 < lines_end <= _LONGEST_STEP:
            if lines_end > _LONGEST_STEP:
                lines_end = max(tail.rfind("\n", 0, _LONGEST_STEP), tail.index("\n")) + 1
            made = self.markdown.render(f"{tail[:lines_end]}{_fence(tail)}")
            self._base = made.removesuffix(_CLOSING_CODE)
            self._covered = self._coloured = lines_end
        line = tail.rindex("\n") + 1
        # What it ends with may become the fence.
        shown = len(tail) if tail[line:].strip(f"{tail[0]} \t\r") else line
        self._base += html.escape(tail[self._covered : shown], quote=False)
        self._covered = shown
        return self._base


def _step(text: str) -> int:
    """Return how many of its characters one update may render."""
    found = _MOST_MARKS.match(text, 0, _LONGEST_STEP)
    return _LONGEST_STEP if found is None else found.end()


def _last_boundary(text: str) -> int:
    """Return where the last whole block ends: after an empty line that is not within code, unless what comes
    next is indented and so part of the same; and before and after a block of code that is not indented."""
    boundary = position = 0
    empty = at_margin = False
    closing: re.Pattern[str] | None = None
    for line in text.splitlines(keepends=True):
        begin, position = position, position + len(line)
        bare = line.strip()
        if closing is not None:
            if closing.match(line):
                boundary = position if at_margin else boundary
                closing = None
        elif bare.startswith(_FENCES):
            at_margin = line[0] == bare[0]
            closing = _closing(_fence(bare), at_margin)
            boundary = begin if at_margin else boundary
        elif bare:
            boundary = begin if empty and not line[0].isspace() else boundary
        empty = not bare and line.endswith("\n")
    return boundary


def _fence(text: str) -> str:
    """Return the signs of one kind that a text begins with."""
    return text[: len(text) - len(text.lstrip(text[0]))]


@lru_cache(maxsize=32)
def _closing(fence: str, at_margin: bool = True) -> re.Pattern[str]:
    """Return what closes a block of code: a line of it. at_margin: whether its first is not indented."""
    indent = " {0,3}" if at_margin else r"\s*"
    return re.compile(rf"^{indent}{fence[0]}{{{len(fence)},}}[ \t\r]*\n", re.M)
