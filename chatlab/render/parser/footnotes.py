"""Footnotes in Markdown: `[^name]` in the text, and `[^name]: what it says` anywhere.

They have no links: several answers on one page would use the same names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

_DEFINITION = re.compile(r"\[\^([^\]\s]{1,100})\]:[ \t]*(.*)")
_REFERENCE = re.compile(r"\[\^([^\]\s]{1,100})\]")


def add_footnotes(markdown: MarkdownIt) -> None:
    """Have a parser read footnotes: numbered in the text in their order, said in a list below it."""
    markdown.block.ruler.before("reference", "footnote", _define, {"alt": ["paragraph"]})
    markdown.inline.ruler.before("link", "footnote", _refer)
    markdown.core.ruler.after("inline", "footnotes", _list)


def _define(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Take a definition: its line, and those after it up to an empty one or another definition."""
    found = _DEFINITION.match(_line(state, start))
    if found is None or state.level or state.is_code_block(start):
        return False
    if silent:
        return True
    lines, number = [found[2]], start + 1
    while number < end and not state.isEmpty(number) and not _DEFINITION.match(_line(state, number)):
        lines.append(_line(state, number))
        number += 1
    state.env.setdefault("footnotes", {}).setdefault(found[1], "\n".join(lines))
    state.line = number
    return True


def _line(state: StateBlock, number: int) -> str:
    return state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]]


def _refer(state: StateInline, silent: bool) -> bool:
    found = _REFERENCE.match(state.src, state.pos, state.posMax)
    if found is None or found[1] not in state.env.get("footnotes", ()):
        return False
    if not silent:
        numbers = state.env.setdefault("footnote_numbers", {})
        number = numbers.setdefault(found[1], len(numbers) + 1)
        state.push("footnote", "sup", 0).content = str(number)
    state.pos = found.end()
    return True


def _list(state: StateCore) -> None:
    if state.env.get("footnote_numbers"):
        opening, closing = Token("ordered_list_open", "ol", 1), Token("ordered_list_close", "ol", -1)
        opening.attrSet("class", "footnotes")
        opening.block = closing.block = True
        state.tokens += [opening, *_items(state), closing]


def _items(state: StateCore) -> Iterator[Token]:
    texts, numbers = state.env["footnotes"], state.env["footnote_numbers"]
    said = 0
    while said < len(numbers):  # a footnote may name another one
        text = texts[list(numbers)[said]]
        said += 1
        children: list[Token] = []
        state.md.inline.parse(text, state.md, state.env, children)
        inline = Token("inline", "", 0, content=text, level=2, children=children)
        yield Token("list_item_open", "li", 1, level=1, block=True)
        yield inline
        yield Token("list_item_close", "li", -1, level=1, block=True)
