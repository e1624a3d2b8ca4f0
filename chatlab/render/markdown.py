"""Markdown that a model wrote, as HTML that is safe to show; and whole documents around it.

Model output is untrusted: it may carry scripts, or pictures and links that take the conversation to a foreign
host. Two things stand against that, each enough by itself: what is written here is made of known elements
only (HTML in the Markdown is text), and everything then goes through `nh3`, which keeps only what this module
can have meant.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any, Self

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from chatlab.render.beside import beside
from chatlab.render.code import SPAN_CLASSES, code_block
from chatlab.render.footnotes import add_footnotes
from chatlab.render.formulas import (
    DELIMITERS,
    MATH_ATTRIBUTES,
    MATH_TAGS,
    Delimiters,
    add_formulas,
    set_formula,
)
from chatlab.render.plain import plain_paragraphs
from chatlab.text import word_set
from chatlab.words import ENGLISH, Words

LONGEST_TEXT = 400_000
"""Characters that are still read as Markdown; a longer text is shown as it is."""
_LONG = 4_000  # characters: more of them take the event loop for longer than anybody should wait

_LONGEST_ADDRESS = 300
_BLOCKS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table")
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
# Stricter than any URL parser, so that no two of them can disagree on which host is meant.
_WEB = re.compile(r"https?://([A-Za-z0-9.-]+(?::\d{1,5})?)(?:[/?#][^\s\\<>\"'`]*)?", re.I)
_MAIL = re.compile(r"mailto:[^\s\\<>\"'`]+", re.I)
_STORED = re.compile(r"-/files/[0-9a-f]{64}")
_BARE = re.compile(r"(?<![\w@/.-])https?://[^\s\\<>\"'`]+", re.I)
_TASKS = {"[ ] ": "☐ ", "[x] ": "☑ ", "[X] ": "☑ "}

_TAGS = word_set(
    "a blockquote br button code del div em h1 h2 h3 h4 h5 h6 hr img li ol p pre s span strong sup table "
    "tbody td th thead tr ul"
)


@dataclass(frozen=True, slots=True)
class MarkdownRenderer:
    """Renders Markdown as one configuration has it.

    allowed_hosts: pictures may load from them (`example.org`, `example.org:8080` or `*.example.org`).
    formulas: the signs that these stand between. words: of the buttons of code. own_files: whether pictures
    and links may be stored files of the page's own server.
    """

    allowed_hosts: tuple[str, ...] = ()
    formulas: tuple[Delimiters, ...] = DELIMITERS
    words: Words = ENGLISH
    own_files: bool = False

    def render(self, text: str) -> str:
        """Markdown as an HTML fragment without scripts, styles of its own, or loads from elsewhere.

        Tables, strikethrough, task lists, footnotes, code in classes of `CODE_CSS`, and formulas as MathML;
        one that cannot be set is shown as code. Line breaks are kept. Pictures are `data:` URLs or from
        `allowed_hosts`; of others the address is shown. Links open in a new tab. Of one to a host that is not
        allowed, that host beside its text is followed. What is no address of the web or a mail is text.
        """
        if isinstance(text, PlainTable):
            return self._table(text)
        return (_rendered_once if len(text) > _LONG else _rendered)(self, text)

    async def ahead(self, texts: Iterable[str]) -> None:
        """Render the long ones of these texts beside the event loop, one after the other whoever asks, so
        that `render` has them at hand."""
        for text in texts:
            if len(text) > _LONG:
                await beside(partial(_rendered_once, self, text))

    def may_lead_to(self, address: str) -> bool:
        """Return whether a link may have this target: a page of the web, or a mail address."""
        return bool(_WEB.fullmatch(address) or _MAIL.fullmatch(address) or self._is_own(address))

    def may_show(self, address: str) -> bool:
        """Return whether a picture may load from there."""
        return _PICTURE.fullmatch(address) is not None or self.is_allowed(address) or self._is_own(address)

    def is_allowed(self, address: str) -> bool:
        """Return whether an address is at one of the allowed hosts."""
        found = _WEB.fullmatch(address)
        if found is None:
            return False
        host = found[1].lower()
        name = host.partition(":")[0]
        return any(
            allowed in (host, name)
            or (allowed.startswith("*.") and name.endswith(allowed[1:]) and not name.startswith("."))
            for allowed in map(str.lower, self.allowed_hosts)
        )

    def is_foreign(self, token: Token, address: str) -> bool:
        """Return whether a link to the web hides behind its text that it leads to a host that is not
        allowed."""
        return token.info != "auto" and _WEB.fullmatch(address) is not None and not self.is_allowed(address)

    def _table(self, table: PlainTable) -> str:
        head, *rows = table.rows
        body = "".join(self._row("td", row) for row in rows)
        made = f'<table dir="auto">\n<thead>\n{self._row("th", head)}</thead>\n'
        return f"{made}<tbody>\n{body}</tbody>\n</table>\n" if rows else f"{made}</table>\n"

    def _row(self, tag: str, cells: Sequence[str]) -> str:
        return f"<tr>\n{''.join(f'<{tag}>{self._cell(one)}</{tag}>{chr(10)}' for one in cells)}</tr>\n"

    def _cell(self, text: str) -> str:
        flat = " ".join(text.split())
        if flat.isprintable() and "://" not in flat:
            return html.escape(flat, quote=False)
        made = _markdown().renderInline(one_line(_whole(flat)), _environment(self))  # `- ` is no list there
        return _cleaner(self).clean(made)

    def _is_own(self, address: str) -> bool:
        return self.own_files and _STORED.fullmatch(address) is not None


def render(text: str, *, allowed_hosts: Sequence[str] = (), words: Words = ENGLISH) -> str:
    """As `MarkdownRenderer.render`, with the usual formulas."""
    return MarkdownRenderer(tuple(allowed_hosts), words=words).render(text)


async def render_ahead(
    texts: Iterable[str], *, allowed_hosts: Sequence[str] = (), words: Words = ENGLISH
) -> None:
    """As `MarkdownRenderer.ahead`, for `render`."""
    await MarkdownRenderer(tuple(allowed_hosts), words=words).ahead(texts)


def as_typed(text: str) -> str:
    """Return a text as the HTML that shows it as it was typed: each line reads from the side that its own
    words begin at, and nothing in it is Markdown. Of a text that is too long for that, all lines read from
    one side: elements for each would make it three times as long."""
    whole = _whole(text).replace("\r\n", "\n")
    lines = whole.split("\n") if len(whole) <= LONGEST_TEXT else [whole]
    shown = "".join(f'<div dir="auto">{html.escape(line, quote=False) or "<br>"}</div>' for line in lines)
    return f'<div class="typed">{shown}</div>'


def is_address(text: str) -> bool:
    """Return whether a text is an address of the web, as links have it."""
    return _WEB.fullmatch(text) is not None


class PlainTable(str):
    """The Markdown of a table of foreign text, which knows its cells, so that `MarkdownRenderer.render` need
    not read it: a tenth of the time. rows: of cells, the first the table's head."""

    rows: Sequence[Sequence[str]]

    def __new__(cls, rows: Sequence[Sequence[str]]) -> Self:
        lines = [f"| {' | '.join(map(one_line, row))} |" for row in rows]
        table = super().__new__(cls, "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:]]))
        table.rows = rows
        return table

    def __getnewargs__(self) -> Any:
        return (self.rows,)  # for a copy


_MARKUP = str.maketrans({sign: f"&#{ord(sign)};" for sign in "\\`*_[]()<>&!#|~$:"})
# Entities, not backslashes: `\\(` would begin a formula.


def one_line(text: str) -> str:
    """Return foreign text as Markdown: one line, in which nothing is markup, HTML or LaTeX."""
    return " ".join(text.split()).translate(_MARKUP)


def _whole(text: str) -> str:
    """Return text without halves of surrogate pairs, which a stream may be cut between: they are no
    characters and no UTF-8."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _rendered(look: MarkdownRenderer, text: str) -> str:
    text = _whole(text)
    if len(text) > LONGEST_TEXT:
        made = f'<pre class="code"><code>{html.escape(text)}</code></pre>'
    elif (plain := plain_paragraphs(text, look.formulas)) is not None:
        return plain
    else:
        made = _markdown().render(text, _environment(look))
    return _cleaner(look).clean(made)


_rendered_once = lru_cache(maxsize=32)(_rendered)


def _environment(look: MarkdownRenderer) -> dict[str, Any]:
    return {"look": look, "formulas": look.formulas}


def _short(address: str) -> str:
    return address if len(address) <= _LONGEST_ADDRESS else address[:_LONGEST_ADDRESS] + "…"


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer)
    made.enable(["table", "strikethrough"])
    add_formulas(made)
    add_footnotes(made)
    made.core.ruler.push("tasks", _mark_tasks)
    made.core.ruler.push("links", _show_targets)
    made.core.ruler.push("direction", _set_direction)
    return made


@lru_cache(maxsize=32)
def _cleaner(look: MarkdownRenderer) -> nh3.Cleaner:
    def checked(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "href":
            return value if look.may_lead_to(value) else None
        if attribute == "src":
            return value if look.may_show(value) else None
        if attribute == "dir":
            return value if value == "auto" else None
        return value

    attributes: dict[str, set[str]] = {tag: set(MATH_ATTRIBUTES) for tag in MATH_TAGS}
    attributes |= {"a": {"href", "title"}, "img": {"src", "alt", "title", "referrerpolicy"}}
    attributes |= {"ol": {"start"}, "th": {"style"}, "td": {"style"}, "pre": {"title"}, "button": {"title"}}
    for tag in _BLOCKS:
        attributes[tag] = attributes.get(tag, set()) | {"dir"}
    return nh3.Cleaner(
        tags=_TAGS | MATH_TAGS,
        attributes=attributes,
        attribute_filter=checked,
        allowed_classes={
            "button": {"copy", "wrap"},
            "div": {"code-block"},
            "li": {"task"},
            "ol": {"footnotes"},
            "pre": {"code"},
            "span": SPAN_CLASSES | {"host"},
        },
        filter_style_properties={"text-align"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}, "button": {"type": "button"}},
        url_schemes={"http", "https", "mailto", "data"},
        url_relative="pass_through" if look.own_files else "deny",
    )


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
    look: MarkdownRenderer = state.env["look"]
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


def _closed(token: Token, address: str, look: MarkdownRenderer) -> Iterator[Token]:
    """Yield the end of a link, and where it leads if its text is not that, or if it may not."""
    leads, found = look.may_lead_to(address), _WEB.fullmatch(address)
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


def _with_links(token: Token, look: MarkdownRenderer) -> Iterator[Token]:
    """Yield a text with the addresses in it as links."""
    at = 0
    for found in _BARE.finditer(token.content):
        address = found[0].rstrip(".,;:!?*_~)]}")
        if address.count("(") > address.count(")") and found[0][len(address) :].startswith(")"):
            address += ")"
        if _WEB.fullmatch(address) is None:
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
