"""Markdown that is still being written, as HTML that only grows at its end.

What is before the last empty line (outside a code block) will hardly change: it is rendered once. Only the
unfinished block after it is rendered at every update, so an update costs the same however long the answer is.
The whole is rendered once more when it is complete, which settles what needs the whole to be known.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from chatlab.render.markdown import render

_LONGEST_TAIL = 4_000  # characters of an unfinished block that are still rendered, not shown as they are


@dataclass(slots=True)
class IncrementalMarkdown:
    """The Markdown of one answer on its way to one page. allowed_hosts: as `render` takes them."""

    allowed_hosts: Sequence[str] = ()
    _settled: int = 0
    _shown: int = 0

    def update(self, text: str) -> tuple[str, str] | None:
        """Return the HTML to add for good, and that of the unfinished end; None if nothing is new.

        text: the whole text so far.
        """
        if len(text) == self._shown:
            return None
        self._shown = len(text)
        end = _last_boundary(text, self._settled)
        add = (
            render(text[self._settled : end], allowed_hosts=self.allowed_hosts) if end > self._settled else ""
        )
        self._settled = end
        tail = text[end:]
        if len(tail) > _LONGEST_TAIL:
            return add, f"<pre>{html.escape(tail)}</pre>"
        return add, render(tail, allowed_hosts=self.allowed_hosts) if tail.strip() else ""


def _last_boundary(text: str, start: int) -> int:
    """Return where the last whole block from `start` on ends: after an empty line that is not within code."""
    boundary = position = start
    fence = ""
    for line in text[start:].splitlines(keepends=True):
        position += len(line)
        bare = line.strip()
        if fence:
            if bare and not bare.strip(fence[0]) and len(bare) >= len(fence):
                fence = ""
        elif bare.startswith(("```", "~~~")):
            fence = bare[: len(bare) - len(bare.lstrip(bare[0]))]
        elif not bare and line.endswith("\n"):
            boundary = position
    return boundary
