"""The one way in which both pages of a configuration show Markdown."""

from __future__ import annotations

from chatlab.config.ui import Ui
from chatlab.render.formulas import DELIMITERS, Delimiters
from chatlab.render.markdown import MarkdownRenderer
from chatlab.render.parser import parser
from chatlab.web.shared.page_words import page_words


def page_markdown(ui: Ui) -> MarkdownRenderer:
    """Return the renderer of the pages: with the configured hosts, formulas and language."""
    parser()  # made now, so that no answer waits for it
    formulas = DELIMITERS
    if ui.latex is not None:
        formulas = tuple(Delimiters(one.left, one.right, one.display) for one in ui.latex)
    return MarkdownRenderer(ui.allowed_hosts, formulas, page_words(ui), own_files=True)
