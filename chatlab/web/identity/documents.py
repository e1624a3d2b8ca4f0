"""The pages for somebody who is not signed in, of one sentence each."""

from __future__ import annotations

import html

from starlette.responses import HTMLResponse

from chatlab import content_security
from chatlab.render.styles import tokens

_STYLE = """
body { margin: 0; min-height: 100vh; display: grid; place-content: center; padding: 1.5rem;
  box-sizing: border-box; font: 1rem/1.5 system-ui, sans-serif; background: var(--cl-background);
  color: var(--cl-text); }
main { max-width: 34rem; } h1 { font-size: 1.25rem; } a { color: var(--cl-accent); }
"""


def sentence_page(
    title: str, sentence: str, link: tuple[str, str], *, status: int = 200, onward: str | None = None
) -> HTMLResponse:
    """Return a page. link: its address and its words. onward: where the browser goes on to by itself."""
    refresh = f'<meta http-equiv="refresh" content="0;url={html.escape(onward)}" />' if onward else ""
    text = f"""<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    {refresh}<title>{html.escape(title)}</title>
    <style>{tokens()}{_STYLE}</style>
  </head>
  <body>
    <main>
      <h1>{html.escape(title)}</h1>
      <p>{html.escape(sentence)}</p>
      <p><a href="{html.escape(link[0])}">{html.escape(link[1])}</a></p>
    </main>
  </body>
</html>
"""
    headers = {content_security.HEADER: content_security.SENTENCE, "cache-control": "no-store"}
    return HTMLResponse(text, status_code=status, headers=headers)
