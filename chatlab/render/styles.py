"""The variables that every page, export and report is styled with: one file, `web/static/tokens.css`.

A page of the server links that file. A document that stands alone has it in its `<style>`, before its own
rules: `document(title, body, css=...)` of `chatlab.render.document` does that for exports and reports, and
another template writes `<style>{{ tokens }}{{ own_css }}</style>` with `tokens=tokens()`. Rules then say
`color: var(--cl-text-muted)` and the like, and never a colour, a size of type or a radius of their own.
`tests/render/test_styles.py` computes that text has a contrast of at least 4.5:1, light and dark.
"""

from __future__ import annotations

from functools import cache

from chatlab.paths import PACKAGE


@cache
def tokens() -> str:
    """Return the style sheet that declares the variables, light and dark."""
    return (PACKAGE / "web" / "static" / "tokens.css").read_text("utf-8")
