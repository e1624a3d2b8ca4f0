"""Formulas in Markdown: what stands between the signs of `chatlab.render.formulas`, as MathML."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from latex2mathml.converter import Converter
from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

from chatlab.render.formulas import MATH_ATTRIBUTES, Delimiters

LONGEST_FORMULA = 4_000
"""Characters of a formula; what is longer is text."""


def add_formulas(markdown: MarkdownIt) -> None:
    """Have a parser read formulas, between the `Delimiters` in `env["formulas"]`."""
    markdown.block.ruler.before("fence", "formula", _block, {"alt": ["paragraph", "blockquote", "list"]})
    markdown.inline.ruler.before("escape", "formula", _inline)


def set_formula(latex: str, delimiters: Delimiters) -> str:
    """Return a formula as MathML, or as code if it cannot be set."""
    made = _mathml(latex, delimiters.display)
    return made or f"<code>{html.escape(delimiters.left + latex + delimiters.right)}</code>"


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Return a formula that begins a line and ends one, with no empty line in it."""
    first = state.bMarks[start] + state.tShift[start]
    found = _delimiters(state.src, first, state.env["formulas"])
    if found is None or not found.display or state.is_code_block(start):
        return False
    lines: list[str] = []
    for number in range(start, end):
        if state.isEmpty(number) or state.sCount[number] < state.blkIndent:
            return False
        line = state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].rstrip()
        lines.append(line[len(found.left) :] if number == start else line)
        before, closing, after = lines[-1].partition(found.right)
        if sum(map(len, lines)) > LONGEST_FORMULA or after:
            return False
        if closing:
            lines[-1] = before
            break
    else:
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.block, token.content, token.meta = True, "\n".join(lines), {"delimiters": found}
        token.map = [start, number + 1]
    state.line = number + 1
    return True


def _inline(state: StateInline, silent: bool) -> bool:
    found = _delimiters(state.src, state.pos, state.env["formulas"])
    if found is None:
        return False
    begin = state.pos + len(found.left)
    limit = min(state.posMax, begin + LONGEST_FORMULA)
    if found.left == "$":
        end = _end_of_dollars(state.src, begin, limit)
    else:
        end = state.src.find(found.right, begin, limit)
    if end < 0 or not state.src[begin:end].strip():
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.content, token.meta = state.src[begin:end], {"delimiters": found}
    state.pos = end + len(found.right)
    return True


def _delimiters(text: str, at: int, known: Sequence[Delimiters]) -> Delimiters | None:
    return next((one for one in known if text.startswith(one.left, at)), None)


def _end_of_dollars(text: str, begin: int, limit: int) -> int:
    """Return where a formula between single dollars ends, or -1: "$5 and $10" has none.

    No word touches it from outside, and no space from inside; it is in one line.
    """
    before = text[begin - 2 : begin - 1]
    if text[begin : begin + 1].isspace() or before.isalnum() or before == "$":
        return -1
    end = text.find("$", begin, limit)
    while end >= 0:
        after = text[end + 1 : end + 2]
        if "\n" in text[begin:end]:
            return -1
        if not text[end - 1].isspace() and text[end - 1] != "\\" and not after.isalnum() and after != "$":
            return end
        end = text.find("$", end + 1, limit)
    return -1


class _NoMacros(dict[str, Any]):
    """Macros would let a short formula become an endless one."""

    def __setitem__(self, name: str, value: Any) -> None:
        raise ValueError("a formula defines no macros")


def _mathml(latex: str, display: bool) -> str | None:
    """Return a formula as MathML; None if it cannot be set."""
    converter = Converter(display="block" if display else "inline")
    converter.macros = _NoMacros()
    try:
        # Its own way to text would take back the escaping of what the formula quotes.
        tree = converter.convert_to_element(latex.strip())
        for element in tree.iter():
            element.text = html.unescape(element.text) if element.text else None
            element.attrib = {
                name: str(value) for name, value in element.attrib.items() if name in MATH_ATTRIBUTES
            }
        return ElementTree.tostring(tree, encoding="unicode")
    except Exception:  # noqa: BLE001 - the library raises whatever its parser stumbles over
        return None
