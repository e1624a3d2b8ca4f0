"""Blocks of code as HTML: highlighted by their language, with buttons that scripts of a page serve."""

from __future__ import annotations

import html
from functools import cache
from itertools import groupby
from typing import Any

from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String

from chatlab.text import word_set
from chatlab.words import Words

LONGEST_CODE = 20_000
"""Characters of a code block that is still highlighted; the time of some lexers grows with the square."""
_LONGEST_LANGUAGE = 30

# Languages that chats are about. Of the several hundred others, some lexers can be made to run for hours.
LANGUAGES = word_set(
    "bash sh shell console c cpp c++ csharp c# cs css diff docker dockerfile go golang graphql groovy "
    "haskell hs html http ini java javascript js json jsx julia kotlin latex tex lua make "
    "makefile markdown md nginx objective-c ocaml php powershell ps1 properties "
    "protobuf py py3 python python3 pycon r rb ruby rs rust scala scss sql postgresql swift terraform "
    "hcl toml ts tsx typescript vim xml yaml yml zig"
)
"""Names of languages whose code is highlighted."""

_CLASSES = {
    Comment: "c",
    Keyword: "k",
    Operator.Word: "k",
    Name.Builtin: "nb",
    Name.Class: "nf",
    Name.Function: "nf",
    Name.Decorator: "nf",
    Name.Tag: "nt",
    Name.Attribute: "na",
    String: "s",
    Number: "m",
    Generic.Deleted: "gd",
    Generic.Inserted: "gi",
    Generic.Heading: "gh",
    Generic.Subheading: "gh",
}
SPAN_CLASSES = frozenset(_CLASSES.values())
"""Classes of what is highlighted. What is none of these has no element of its own."""


def code_block(code: str, language: str, words: Words) -> str:
    """Return a block of code with its language and buttons, whose names are in `words`."""
    buttons = "".join(
        f'<button type="button" class="{name}" title="{html.escape(said)}"></button>'
        for name, said in (("wrap", words("code.wrap")), ("copy", words("code.copy")))
    )
    named = f' title="{html.escape(language[:_LONGEST_LANGUAGE])}"' if language else ""
    shown = _highlighted(code, language.lower())
    return f'<div class="code-block">{buttons}<pre class="code"{named}><code>{shown}</code></pre></div>\n'


def _highlighted(code: str, language: str) -> str:
    if language not in LANGUAGES or len(code) > LONGEST_CODE:
        return html.escape(code)
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    made = ""
    for name, tokens in groupby(lexer.get_tokens(code), lambda token: _class(token[0])):
        text = html.escape("".join(value for _, value in tokens))
        made += f'<span class="{name}">{text}</span>' if name else text
    return made


@cache
def _class(kind: Any) -> str:
    while kind is not None:
        if kind in _CLASSES:
            return _CLASSES[kind]
        kind = kind.parent
    return ""


CODE_CSS = """\
.code { overflow-x: auto; padding: .6em .8em; border-radius: var(--cl-radius-sm);
  background: var(--cl-surface); color: var(--cl-text); }
.code-block { position: relative; margin: .75em 0; }
.code-block > .code { margin: 0; }
.code[title]::before { content: attr(title); display: block; margin-bottom: .4em;
  font: var(--cl-text-xs) var(--cl-font); color: var(--cl-text-muted); }
.code-block > button { display: inline-flex; align-items: center; justify-content: center;
  position: absolute; z-index: 1; top: .25rem; inset-inline-end: .25rem; width: 1.75rem; height: 1.75rem;
  padding: 0; border: 0; border-radius: var(--cl-radius-sm); background: var(--cl-surface);
  color: var(--cl-text-muted); cursor: pointer; }
.code-block > button:is(:hover, :focus-visible) { color: var(--cl-text); }
.code-block > .wrap { inset-inline-end: 2.25rem; }
.code-block > .copy::before { content: ""; width: .6rem; height: .75rem; border: 1.5px solid;
  border-radius: 2px; box-shadow: .2rem -.2rem 0 -1.5px var(--cl-surface), .2rem -.2rem; }
.code-block > .copy.done::before { content: "✓"; width: auto; height: auto; border: 0; box-shadow: none; }
.code-block > .wrap::before { content: "↩"; }
.code .c { color: light-dark(#3d6b6b, #9aa4ae); font-style: italic; }
.code .k { color: light-dark(#006b00, #ff8a80); font-weight: 600; }
.code .s { color: light-dark(#a31d1d, #a5d6ff); }
.code .m { color: light-dark(#5a4a00, #ffcb8b); }
.code .nb { color: light-dark(#006b00, #8fd0ff); }
.code .nf { color: light-dark(#0000d0, #d2a8ff); }
.code .nt { color: light-dark(#006b00, #7ee787); }
.code .na { color: light-dark(#55611c, #79c0ff); }
.code .gd { background: var(--cl-removed); }
.code .gi { background: var(--cl-added); }
.code .gh { font-weight: 600; }
.task { list-style: none; margin-inline-start: -1.2em; }
p:has(> math[display="block"]) { overflow: auto hidden; padding-block: .2em; }
.footnotes { font-size: .875em; border-top: 1px solid var(--cl-border); padding-top: .5em; }
.host { font-size: .875em; color: var(--cl-text-muted); unicode-bidi: isolate; }
.text a:not([href]) { color: inherit; text-decoration: underline dotted; cursor: help; }
.text li > p { display: block; margin: .25em 0; }
.typed { white-space: pre-wrap; overflow-wrap: anywhere; }
"""
"""The style of what only chatlab's Markdown has, light and dark, by the variables of `tokens.css`."""
