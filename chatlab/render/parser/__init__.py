"""The parser of Markdown, with what markdown-it has not: formulas, footnotes, boxes of tasks, and links that
say where they lead.

`chatlab.render.markdown` imports it for the first text that is not plain, and makes what comes of it safe.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, MutableMapping, Sequence
from functools import cache
from typing import Any, Protocol

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from chatlab.render.addresses import WEB, is_address
from chatlab.render.code import code_block
from chatlab.render.parser.footnotes import add_footnotes
from chatlab.render.parser.formulas import add_formulas, set_formula
from chatlab.words import Words

_LONGEST_ADDRESS = 300
_BARE = re.compile(r"(?<![\w@/.-])https?://[^\s\\<>\"'`]+", re.I)
_TASKS = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}


class Look(Protocol):
    """The look of a text, which stands in a parser's `env["look"]`: see `MarkdownRenderer`."""

    @property
    def words(self) -> Words: ...
    def may_lead_to(self, address: str) -> bool: ...
    def may_show(self, address: str) -> bool: ...
    def is_foreign(self, token: Token, address: str) -> bool: ...


@cache
def parser() -> MarkdownIt:
    """Return the parser. Its `env` needs a `look` and the `formulas` of it."""
    made = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer)
    made.enable(["table", "strikethrough"])
    add_formulas(made)
    add_footnotes(made)
    made.core.ruler.push("tasks", _mark_tasks)
    made.core.ruler.push("links", _show_targets)
    made.core.ruler.push("direction", _set_direction)
    return made


def _short(address: str) -> str:
    return address if len(address) <= _LONGEST_ADDRESS else address[:_LONGEST_ADDRESS] + "…"


class _Renderer(RendererHTML):
    """The elements that are not markdown-it's own: code, pictures, formulas, footnotes, hosts."""

    def fence(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        token = tokens[idx]
        words = html.unescape(token.info).split(maxsplit=1)
        language = words[0] if words else ""
        return code_block(token.content, language, env["look"].words)

    def code_block(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        return code_block(tokens[idx].content, "", env["look"].words)

    def image(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        token = tokens[idx]
        address = str(token.attrGet("src") or "")
        alt = html.escape(self.renderInlineAsText(token.children or (), options, env))
        title = token.attrGet("title")
        titled = f' title="{html.escape(str(title))}"' if title else ""
        return f'<img src="{html.escape(address)}" alt="{alt}"{titled} referrerpolicy="no-referrer">'

    def formula(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        token = tokens[idx]
        made = set_formula(token.content, token.meta["delimiters"])
        return f"<p>{made}</p>\n" if token.block else made

    def footnote(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        return f"<sup>{tokens[idx].content}</sup>"

    def host(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        token = tokens[idx]
        link = f'<a href="{html.escape(token.meta["address"])}">{html.escape(token.content)}</a>'
        return f'<span class="host"> ({link})</span>'


def _set_direction(state: StateCore) -> None:
    """Have each block begin at the side at which its first letters do, whatever the page around it does."""
    for token in state.tokens:
        if token.level == 0 and token.nesting == 1:
            token.attrSet("dir", "auto")


def _mark_tasks(state: StateCore) -> None:
    """Have items of a list that begin with `[ ]` or `[x]` show a box."""
    for item, _, inline in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        first = inline.children[0] if item.type == "list_item_open" and inline.children else None
        if first is not None and first.content[:4] in _TASKS:
            first.content = _TASKS[first.content[:4]] + first.content[4:]
            item.attrSet("class", "task")


def _show_targets(state: StateCore) -> None:
    """Have links say where they lead, and pictures that are not loaded where they are."""
    for token in state.tokens:
        if token.type == "inline" and token.children:
            token.children = list(_with_targets(token.children, state))


def _with_targets(children: Sequence[Token], state: StateCore) -> Iterator[Token]:
    look: Look = state.env["look"]
    address: str | None = None
    for token in children:
        if token.type == "link_open":
            address = str(token.attrGet("href") or "")
            if look.may_lead_to(address):
                yield _held(token, address) if look.is_foreign(token, address) else token
        elif token.type == "link_close" and address is not None:
            yield from _closed(token, address, look)
            address = None
        elif token.type == "image" and not look.may_show(str(token.attrGet("src") or "")):
            said = "".join(child.content for child in token.children or ())
            yield _text(f"[{look.words('code.no-picture')}: {said + ', ' if said else ''}")
            blocked = _text(_short(str(token.attrGet("src") or "")))
            yield from (blocked,) if address is not None else _with_links(blocked, look)
            yield _text("]")
        elif token.type == "text" and address is None:
            yield from _with_links(token, look)
        else:
            yield token


def _closed(token: Token, address: str, look: Look) -> Iterator[Token]:
    """Yield the end of a link, and where it leads if its text is not that, or if it may not."""
    leads, found = look.may_lead_to(address), WEB.fullmatch(address)
    if leads:
        yield token
    if token.info == "auto":  # there the address is the text
        return
    if not leads:
        yield _text(f" ({_short(address)})")
    elif found is not None and look.is_foreign(token, address):
        yield Token("host", "span", 0, content=found[1], meta={"address": address})


def _held(opening: Token, address: str) -> Token:
    """Return the beginning of a link that is not followed itself: the host beside it is."""
    opening.attrs = {"title": _short(address)}
    return opening


def _with_links(token: Token, look: Look) -> Iterator[Token]:
    """Yield a text with the addresses in it as links."""
    at = 0
    for found in _BARE.finditer(token.content):
        address = found[0].rstrip(".,;:!?*_~)]}")
        if address.count("(") > address.count(")") and found[0][len(address) :].startswith(")"):
            address += ")"
        if not is_address(address):
            continue
        yield _text(token.content[at : found.start()])
        opening = Token("link_open", "a", 1, info="auto")
        opening.attrSet("href", address)
        yield opening
        yield _text(address)
        yield Token("link_close", "a", -1, info="auto")
        at = found.start() + len(address)
    yield _text(token.content[at:]) if at else token


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)
