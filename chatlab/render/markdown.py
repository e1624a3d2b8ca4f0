"""Markdown that a model wrote, as HTML that is safe to show; and whole documents around it.

Model output is untrusted: it may carry scripts, or pictures and links that take the conversation to a foreign
host. Two things stand against that, each enough by itself: what is written here is made of known elements
only (HTML in the Markdown is text), and everything then goes through `nh3`, which keeps only what this module
can have meant.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Self

import nh3

from chatlab.render.addresses import WEB, is_address
from chatlab.render.beside import beside
from chatlab.render.code import SPAN_CLASSES
from chatlab.render.formulas import DELIMITERS, MATH_ATTRIBUTES, MATH_TAGS, Delimiters
from chatlab.render.plain import plain_paragraphs
from chatlab.text import word_set
from chatlab.words import ENGLISH, Words

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

LONGEST_TEXT = 400_000
"""Characters that are still read as Markdown; a longer text is shown as it is."""
_LONG = 4_000  # characters: more of them take the event loop for longer than anybody should wait

_BLOCKS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table")
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
_MAIL = re.compile(r"mailto:[^\s\\<>\"'`]+", re.I)
_STORED = re.compile(r"-/files/[0-9a-f]{64}")

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
        return bool(WEB.fullmatch(address) or _MAIL.fullmatch(address) or self._is_own(address))

    def may_show(self, address: str) -> bool:
        """Return whether a picture may load from there."""
        return _PICTURE.fullmatch(address) is not None or self.is_allowed(address) or self._is_own(address)

    def is_allowed(self, address: str) -> bool:
        """Return whether an address is at one of the allowed hosts."""
        found = WEB.fullmatch(address)
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
        return token.info != "auto" and is_address(address) and not self.is_allowed(address)

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
        made = _parser().renderInline(one_line(_whole(flat)), _environment(self))  # `- ` is no list there
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
        made = _parser().render(text, _environment(look))
    return _cleaner(look).clean(made)


_rendered_once = lru_cache(maxsize=32)(_rendered)


def _parser() -> MarkdownIt:
    from chatlab.render.parser import parser  # plain texts need none, and it is a tenth of a report's imports

    return parser()


def _environment(look: MarkdownRenderer) -> dict[str, Any]:
    return {"look": look, "formulas": look.formulas}


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
