"""Markdown that a model wrote, as HTML that is safe to show; and whole documents around it.

Model output is untrusted: it may carry scripts, or pictures and links that take the conversation to a foreign
host. Two things stand against that, each enough by itself: what is written here is made of known elements
only (HTML in the Markdown is text), and everything then goes through `nh3`, which keeps only what this module
can have meant.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterable, Iterator, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from typing import Any
from xml.etree import ElementTree

import nh3
from latex2mathml.converter import Converter
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.token import STANDARD_TYPES

LONGEST_FORMULA = 4_000
LONGEST_CODE = 20_000
"""Characters of a code block that is still highlighted; the time of some lexers grows with the square."""
LONGEST_TEXT = 400_000
_LONG = 20_000  # characters: more of them take the event loop for longer than anybody should wait
_BESIDE = ThreadPoolExecutor(1, "rendering")
"""Characters that are still read as Markdown; a longer text is shown as it is."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LONGEST_ADDRESS = 300
_BLOCKS = ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table")
_RIGHT_TO_LEFT = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_PICTURE = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+")
# Stricter than any URL parser, so that no two of them can disagree on which host is meant.
_WEB = re.compile(r"https?://([A-Za-z0-9.-]+)(:\d{1,5})?(?:[/?#][^\s\\<>\"'`]*)?", re.I)
_MAIL = re.compile(r"mailto:[^\s\\<>\"'`]+", re.I)
_CLOSING = {"$$": "$$", r"\[": r"\]", r"\(": r"\)"}

# Languages that chats are about. Of the several hundred others, some lexers can be made to run for hours.
_LANGUAGES = _words(
    "bash sh shell console c cpp c++ csharp c# cs css diff docker dockerfile go golang graphql groovy "
    "haskell hs html http ini java javascript js json jsx julia kotlin latex tex lua make "
    "makefile markdown md nginx objective-c ocaml php powershell ps1 properties "
    "protobuf py py3 python python3 pycon r rb ruby rs rust scala scss sql postgresql swift terraform "
    "hcl toml ts tsx typescript vim xml yaml yml zig"
)

_SPAN_CLASSES = {name for name in STANDARD_TYPES.values() if name}
_MATH_TAGS = _words(
    "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mroot mrow mspace msqrt mstyle "
    "msub msubsup msup mtable mtd mtext mtr munder munderover"
)
_MATH_ATTRIBUTES = _words(
    "accent accentunder columnalign columnlines columnspacing depth display displaystyle fence form "
    "height linethickness lspace mathbackground mathcolor mathsize mathvariant maxsize minsize "
    "movablelimits notation rowlines rowspacing rspace scriptlevel separator stretchy symmetric "
    "voffset width xmlns"
)
_TAGS = _words(
    "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr img li ol p pre s span strong table tbody td th "
    "thead tr ul"
)


def render(text: str, *, allowed_hosts: Sequence[str] = ()) -> str:
    """Markdown as an HTML fragment without scripts, styles of its own, or loads from elsewhere.

    Tables, strikethrough, code in `CODE_CSS`'s classes, and as MathML the formulas between `$$`, `\\[ \\]`
    and `\\( \\)`; one that cannot be set is shown as code. Line breaks are kept. Pictures are `data:` URLs or
    from `allowed_hosts` (`example.org`, `example.org:8080` or `*.example.org`), and links lead there or to a
    mail address; of all others the address is shown as text.
    """
    made = _rendered_once if len(text) > _LONG else _rendered
    return made(text, tuple(allowed_hosts))


async def render_ahead(texts: Iterable[str], *, allowed_hosts: Sequence[str] = ()) -> None:
    """Render the long ones of these texts beside the event loop, one after the other whoever asks, so that
    `render` has them at hand."""
    loop = asyncio.get_running_loop()
    for text in texts:
        if len(text) > _LONG:
            await loop.run_in_executor(_BESIDE, _rendered_once, text, tuple(allowed_hosts))


def _rendered(text: str, allowed_hosts: tuple[str, ...]) -> str:
    # Halves of surrogate pairs, which a stream may be cut between, are no characters and no UTF-8.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if len(text) > LONGEST_TEXT:
        made = f'<pre class="code"><code>{html.escape(text)}</code></pre>'
    else:
        made = _markdown().render(text, {"allowed_hosts": allowed_hosts})
    return _cleaner(allowed_hosts).clean(made)


_rendered_once = lru_cache(maxsize=32)(_rendered)


def may_lead_to(address: str, allowed_hosts: Sequence[str]) -> bool:
    """Return whether a link may have this target, as the page has it too: an allowed host, or a
    mail address.
    """
    return _MAIL.fullmatch(address) is not None or _allowed_host(address, allowed_hosts)


def _may_show(address: str, allowed_hosts: Sequence[str]) -> bool:
    return _PICTURE.fullmatch(address) is not None or _allowed_host(address, allowed_hosts)


def _allowed_host(address: str, allowed_hosts: Sequence[str]) -> bool:
    found = _WEB.fullmatch(address)
    if found is None:
        return False
    host = found[1].lower()
    return any(
        allowed in (host, host + (found[2] or ""))
        or (allowed.startswith("*.") and host.endswith(allowed[1:]) and not host.startswith("."))
        for allowed in map(str.lower, allowed_hosts)
    )


def _short(address: str) -> str:
    return address if len(address) <= _LONGEST_ADDRESS else address[:_LONGEST_ADDRESS] + "…"


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "breaks": True}, renderer_cls=_Renderer)
    made.enable(["table", "strikethrough"])
    made.block.ruler.before("fence", "formula", _formula_block, {"alt": ["paragraph", "blockquote", "list"]})
    made.inline.ruler.before("escape", "formula", _formula)
    made.core.ruler.after("inline", "held_links", _hold_links)
    made.core.ruler.push("direction", _set_direction)
    return made


@lru_cache(maxsize=32)
def _cleaner(allowed_hosts: tuple[str, ...]) -> nh3.Cleaner:
    def checked(tag: str, attribute: str, value: str) -> str | None:
        if attribute == "href":
            return value if may_lead_to(value, allowed_hosts) else None
        if attribute == "src":
            return value if _may_show(value, allowed_hosts) else None
        if attribute == "dir":
            return value if value == "auto" else None
        return value

    attributes: dict[str, set[str]] = {tag: set(_MATH_ATTRIBUTES) for tag in _MATH_TAGS}
    attributes |= {"a": {"href", "title"}, "img": {"src", "alt", "title", "referrerpolicy"}}
    attributes |= {"ol": {"start"}, "th": {"style"}, "td": {"style"}}
    for tag in _BLOCKS:
        attributes[tag] = attributes.get(tag, set()) | {"dir"}
    return nh3.Cleaner(
        tags=_TAGS | _MATH_TAGS,
        attributes=attributes,
        attribute_filter=checked,
        allowed_classes={"span": _SPAN_CLASSES, "pre": {"code"}},
        filter_style_properties={"text-align"},
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto", "data"},
        url_relative="deny",
    )


class _Renderer(RendererHTML):
    """The elements that are not markdown-it's own: code, pictures, formulas."""

    def fence(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        token = tokens[idx]
        words = html.unescape(token.info).split(maxsplit=1)
        return (
            f'<pre class="code"><code>{_highlighted(token.content, words[0] if words else "")}</code></pre>\n'
        )

    def code_block(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        return f'<pre class="code"><code>{html.escape(tokens[idx].content)}</code></pre>\n'

    def image(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        token = tokens[idx]
        address = str(token.attrGet("src") or "")
        alt = html.escape(self.renderInlineAsText(token.children or (), options, env))
        if not _may_show(address, env["allowed_hosts"]):
            return f"[image: {alt + ', ' if alt else ''}{html.escape(_short(address))}]"
        title = token.attrGet("title")
        titled = f' title="{html.escape(str(title))}"' if title else ""
        return f'<img src="{html.escape(address)}" alt="{alt}"{titled} referrerpolicy="no-referrer">'

    def formula(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: MutableMapping[str, Any]
    ) -> str:
        token = tokens[idx]
        made = _mathml(token.content, block=token.markup != r"\(")
        if made is None:
            made = f"<code>{html.escape(token.markup + token.content + _CLOSING[token.markup])}</code>"
        return f"<p>{made}</p>\n" if token.block else made


def _highlighted(code: str, language: str) -> str:
    language = language.lower()
    if language not in _LANGUAGES or len(code) > LONGEST_CODE:
        return html.escape(code)
    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


def _set_direction(state: StateCore) -> None:
    """Have each block with letters that are written from right to left begin at the side of its first one."""
    block: Token | None = None
    for token in state.tokens:
        if token.level == 0 and token.nesting == 1:
            block = token
        elif token.type == "inline" and block is not None and _RIGHT_TO_LEFT.search(token.content):
            block.attrSet("dir", "auto")


def _hold_links(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "inline" and token.children:
            token.children = list(_held(token.children, state.env["allowed_hosts"]))


def _held(children: Sequence[Token], allowed_hosts: Sequence[str]) -> Iterator[Token]:
    """Yield the tokens of a line; links that may not lead where they do become text, with the address behind
    it.
    """
    held: str | None = None
    for token in children:
        if token.type == "link_open":
            address = str(token.attrGet("href") or "")
            held = None if may_lead_to(address, allowed_hosts) else address
            if held is None:
                yield token
        elif token.type == "link_close" and held is not None:
            if token.info != "auto":  # there the address is the text
                yield Token("text", "", 0, content=f" ({_short(held)})")
            held = None
        else:
            yield token


def _formula_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Return a formula that begins a line and ends one, with no empty line in it."""
    first = state.bMarks[start] + state.tShift[start]
    opening = state.src[first : first + 2]
    if opening not in ("$$", r"\[") or state.is_code_block(start):
        return False
    lines: list[str] = []
    for number in range(start, end):
        if state.isEmpty(number) or state.sCount[number] < state.blkIndent:
            return False
        line = state.src[state.bMarks[number] + state.tShift[number] : state.eMarks[number]].rstrip()
        lines.append(line[2:] if number == start else line)
        before, closing, after = lines[-1].partition(_CLOSING[opening])
        if sum(map(len, lines)) > LONGEST_FORMULA or after:
            return False
        if closing:
            lines[-1] = before
            break
    else:
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.block, token.markup, token.content = True, opening, "\n".join(lines)
        token.map = [start, number + 1]
    state.line = number + 1
    return True


def _formula(state: StateInline, silent: bool) -> bool:
    opening = state.src[state.pos : state.pos + 2]
    if opening not in _CLOSING:
        return False
    begin = state.pos + 2
    end = state.src.find(_CLOSING[opening], begin, min(state.posMax, begin + LONGEST_FORMULA))
    if end < 0 or not state.src[begin:end].strip():
        return False
    if not silent:
        token = state.push("formula", "math", 0)
        token.markup, token.content = opening, state.src[begin:end]
    state.pos = end + 2
    return True


class _NoMacros(dict[str, Any]):
    """Macros would let a short formula become an endless one."""

    def __setitem__(self, name: str, value: Any) -> None:
        raise ValueError("a formula defines no macros")


def _mathml(latex: str, *, block: bool) -> str | None:
    """Return a formula as MathML; None if it cannot be set."""
    converter = Converter(display="block" if block else "inline")
    converter.macros = _NoMacros()
    try:
        # Its own way to text would take back the escaping of what the formula quotes.
        tree = converter.convert_to_element(latex.strip())
        for element in tree.iter():
            element.text = html.unescape(element.text) if element.text else None
            element.attrib = {
                name: str(value) for name, value in element.attrib.items() if name in _MATH_ATTRIBUTES
            }
        return ElementTree.tostring(tree, encoding="unicode")
    except Exception:  # noqa: BLE001 - the library raises whatever its parser stumbles over
        return None


def _style_of(name: str) -> str:
    formatter: Any = HtmlFormatter(style=name)
    written = formatter.get_style_defs(".code").splitlines()
    return "\n".join(line for line in written if line.startswith(".code ."))


CODE_CSS = f"""\
.code {{ overflow-x: auto; padding: .6em .8em; border-radius: 6px; background: #f6f8fa; color: #1f2328; }}
{_style_of("default")}
@media (prefers-color-scheme: dark) {{
.code {{ background: #161b22; color: #e6edf3; }}
{_style_of("github-dark")}
}}
"""
"""The style of code blocks, light and dark."""
