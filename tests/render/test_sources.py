"""The sources of an answer: numbered, each with the host that it leads to; nothing of theirs is markup."""

from __future__ import annotations

import re

from chatlab.messages import Citation
from chatlab.render.markdown import MarkdownRenderer, render
from chatlab.render.sources import sources

MOON = Citation("The [moon]* <b>", "https://moon.example/a_(b)?q=1&r=2", "it is `round`")


def test_a_source_is_a_numbered_link_that_says_its_host_and_opens_apart() -> None:
    shown = render(sources([MOON, Citation("Tides", "https://sea.example:8080/")]))
    assert shown.count("<ol") == 1 and shown.count("<li>") == 2
    links = re.findall(r'<a (href="[^>]*)>([^<]*)</a>', shown)
    assert [(of.split('"')[1], text) for of, text in links] == [
        ("https://moon.example/a_(b)?q=1&amp;r=2", "moon.example"),
        ("https://sea.example:8080/", "sea.example:8080"),
    ]
    for of, _ in links:
        assert 'rel="noopener noreferrer nofollow"' in of and 'target="_blank"' in of
    assert "The [moon]* &lt;b&gt;" in shown and "it is `round`" in shown


def test_a_source_of_an_allowed_host_is_a_link_by_its_title() -> None:
    shown = MarkdownRenderer(allowed_hosts=("sea.example",)).render(
        sources([Citation("Tides", "https://sea.example/")])
    )
    assert ">Tides</a>" in shown and 'class="host"' not in shown


def test_a_source_without_an_address_of_the_web_is_text_and_one_without_a_title_its_address() -> None:
    given = [
        Citation("A book"),
        Citation("Bad", "javascript:alert(1)"),
        Citation("Table", "main.docs.pages"),
        Citation("", "https://bare.example/x"),
        Citation("https://same.example/", "https://same.example/"),
    ]
    shown = render(sources(given))
    assert re.findall(r'href="([^"]*)"', shown) == ["https://bare.example/x", "https://same.example/"]
    assert "<li>A book</li>" in shown and "Table — main.docs.pages" in shown
    assert "Bad — javascript:alert(1)" in shown and ">https://bare.example/x</a>" in shown


def test_the_tenth_source_keeps_its_words_below_it() -> None:
    shown = render(sources([MOON] * 12))
    assert shown.count("<li>") == 12 and shown.count("<blockquote") == 12 and shown.count("<ol") == 1
