"""Documents that stand alone."""

from __future__ import annotations

from chatlab.render.document import document, sentence_document
from chatlab.render.markdown import render


def test_a_document_says_of_itself_that_nothing_may_run_or_load() -> None:
    made = document("<Title> & co", render("hello"), css=".x { color: red }", lang='de"')
    assert made.startswith('<!DOCTYPE html>\n<html lang="de&#34;">')
    assert "<title>&lt;Title&gt; &amp; co</title>" in made
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in made
    assert "<script" not in made and 'name="viewport"' in made
    for needed in ("light-dark(", "@media print", ".code .k", ".x { color: red }"):
        assert needed in made


def test_a_sentence_is_text_and_not_markup() -> None:
    assert "<p>no &lt;b&gt; here</p>" in sentence_document("Gone", "no <b> here", "en")
