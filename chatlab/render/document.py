"""One HTML document that stands alone: what exports, reports and shared pages are written into."""

from __future__ import annotations

from markupsafe import Markup

from chatlab import content_security
from chatlab.render.code import CODE_CSS
from chatlab.render.html_templates import environment
from chatlab.render.styles import tokens


def document(title: str, body: str, *, css: str = "", lang: str = "en") -> str:
    """Return one HTML document that needs and loads nothing else: light or dark as the reader has it,
    readable on a phone and on paper, with a policy that lets no script run.

    title: as text. body: HTML that is safe already. css: more style, after that of all pages.
    """
    template = environment("chatlab.render").get_template("document.html.j2")
    return template.render(
        title=title, body=body, css=CODE_CSS + css, lang=lang, policy=content_security, tokens=tokens()
    )


def sentence_document(title: str, sentence: str, lang: str) -> str:
    """Return a document that says one sentence, such as why there is nothing else. Both are text."""
    return document(title, Markup("<p>{}</p>").format(sentence), lang=lang)
