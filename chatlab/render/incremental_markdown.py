"""Markdown that is still being written, as HTML that hardly ever changes but at its end.

What is before the last empty line, and a block of code that is closed, will hardly change: it is rendered
once. Only the unfinished block after it is rendered again, and not for each word: a word that cannot change
how the block is read is put behind it, and code is coloured anew as often as it has grown by a quarter. So an
answer costs about the same for each of its characters, however long it is. The whole is rendered once more
when it is complete, which settles what needs the whole to be known.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

from chatlab.render.markdown import MarkdownRenderer

_LONG_TAIL = 4_000  # characters of an unfinished block from which on it is rendered less often
_LONGEST_STEP = 10_000  # characters that one update renders at most: the event loop waits for it
_LETTER = re.compile(r"[^\W\d_]")
_PLAIN = re.compile(r"(?:[^\W_]|[ ,.'\"?!:+=%@(…–—-])*")
"""What changes nothing before it in a line that has a letter: it is no list's number, underline or rule."""
_CLOSING = ("\n", *(f"</{tag}>" for tag in "p li ul ol blockquote h1 h2 h3 h4 h5 h6".split()))  # noqa: SIM905
_CLOSING_CODE = "</code></pre></div>\n"
_FENCES = ("```", "~~~")


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

    def update(self, text: str) -> tuple[str, str] | None:
        """Return the HTML to add for good, and that of the unfinished end, whose last elements may be left
        open; None if nothing is new.

        text: the whole text so far.
        """
        if len(text) == self._shown:
            return None
        self._shown = len(text)
        is_code = text.startswith(_FENCES, self.settled)
        # The rest is shown as it is, until the next updates, or the end of the answer, come to it.
        read = text if is_code else text[: self.settled + _LONGEST_STEP]
        end = _last_boundary(read, self.settled)
        add = self.markdown.render(text[self.settled : end]) if end > self.settled else ""
        if end > self.settled:
            self._base, self._covered, self._is_open = "", 0, False
        self.settled = end
        tail = text[end:]
        if tail.startswith(_FENCES):
            return add, self._code(tail) if "\n" in tail else ""
        if len(tail) > _LONGEST_STEP:
            return add, f"{self._base}<pre>{html.escape(tail[self._covered :])}"
        return add, self._block(tail) if tail.strip() else ""

    def _block(self, tail: str) -> str:
        rest = tail[self._covered :]
        if self._is_open and _PLAIN.fullmatch(rest):
            return self._base + rest
        if len(tail) > _LONG_TAIL and self._base and len(tail) < self._covered * 1.1:
            return f"{self._base}<pre>{html.escape(rest)}</pre>"
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

    def _code(self, tail: str) -> str:
        """Return a block of code that is not closed yet."""
        lines_end = tail.rindex("\n") + 1
        if not self._base or lines_end > self._covered * 1.25:
            fence = tail[: len(tail) - len(tail.lstrip(tail[0]))]
            self._base = self.markdown.render(f"{tail[:lines_end]}{fence}").removesuffix(_CLOSING_CODE)
            self._covered = lines_end
        last = "" if not tail[lines_end:].strip(tail[0]) else tail[lines_end:]  # it may become the fence
        return self._base + html.escape(tail[self._covered : lines_end] + last, quote=False)


def _last_boundary(text: str, start: int) -> int:
    """Return where the last whole block from `start` on ends: after an empty line that is not within code,
    unless what comes next is indented and so part of the same; and before and after a block of code that is
    not indented."""
    boundary = position = start
    empty = False
    fence = ""
    for line in text[start:].splitlines(keepends=True):
        begin, position = position, position + len(line)
        bare = line.strip()
        if fence:
            if bare and not bare.strip(fence[0]) and len(bare) >= len(fence) and line.endswith("\n"):
                boundary = position if line[0] == fence[0] else boundary
                fence = ""
        elif bare.startswith(_FENCES):
            fence = bare[: len(bare) - len(bare.lstrip(bare[0]))]
            boundary = begin if line[0] == fence[0] else boundary
        elif bare:
            boundary = begin if empty and not line[0].isspace() else boundary
        empty = not bare and line.endswith("\n")
    return boundary
