"""The pages for somebody who is not signed in: a sentence each, or the form by which they sign in."""

from __future__ import annotations

import html

from starlette.responses import HTMLResponse

from chatlab import content_security
from chatlab.errors import ChatlabError
from chatlab.render.styles import tokens

_STYLE = """
body { margin: 0; min-height: 100vh; display: grid; place-content: center; padding: var(--cl-space-6);
  box-sizing: border-box; font: var(--cl-text-base) / var(--cl-line-height) var(--cl-font);
  background: var(--cl-background); color: var(--cl-text); }
main { max-width: 34rem; } h1 { font-size: var(--cl-text-xl); } a { color: var(--cl-accent); }
main:has(form) { width: 20rem; max-width: 100%; } form { display: grid; gap: var(--cl-space-4); }
label { display: grid; gap: var(--cl-space-1); font-size: var(--cl-text-md); }
input, button { font: inherit; font-size: var(--cl-text-base); padding: var(--cl-space-2) var(--cl-space-3);
  border: 1px solid var(--cl-border); border-radius: var(--cl-radius-sm); box-sizing: border-box;
  width: 100%; }
input { background: var(--cl-surface); color: var(--cl-text); }
button { background: var(--cl-accent); border-color: var(--cl-accent); color: var(--cl-on-accent);
  font-weight: 600; cursor: pointer; }
:focus-visible { outline: var(--cl-focus); outline-offset: var(--cl-focus-offset); }
[role="alert"] { margin: 0; color: var(--cl-danger); }
p::first-letter { text-transform: uppercase; }
"""


def sentence_page(
    title: str,
    sentence: str,
    link: tuple[str, str],
    *,
    status: int = 200,
    onward: str | None = None,
    new_tab: bool = False,
) -> HTMLResponse:
    """Return a page. link: its address and its words. onward: where the browser goes on to by itself.
    new_tab: whether the link opens one."""
    target = ' target="_blank"' if new_tab else ""
    body = f"""<p>{html.escape(sentence)}</p>
      <p><a href="{html.escape(link[0])}"{target}>{html.escape(link[1])}</a></p>"""
    return _page(title, body, content_security.SENTENCE, status, onward)


def sign_in_page(action: str, state: str, name: str = "", failed: ChatlabError | None = None) -> HTMLResponse:
    """Return the page on which people sign in with a password.

    action: the address that takes the form. name, failed: what was tried before, and what became of it.
    """
    said = "" if failed is None else f'<p role="alert">{html.escape(failed.sentence)}</p>'
    focus = ("", " autofocus") if name else (" autofocus", "")
    body = f"""<form method="post" action="{html.escape(action)}">
        {said}
        <input type="hidden" name="state" value="{html.escape(state)}" />
        <label>Name
          <input name="name" value="{html.escape(name)}" autocomplete="username" autocapitalize="none"
            spellcheck="false" required{focus[0]} />
        </label>
        <label>Password
          <input name="password" type="password" autocomplete="current-password" required{focus[1]} />
        </label>
        <button>Sign in</button>
      </form>"""
    status = 200 if failed is None else failed.http_status
    return _page("Sign in", body, content_security.SIGN_IN_PAGE, status)


def _page(title: str, body: str, policy: str, status: int, onward: str | None = None) -> HTMLResponse:
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
      {body}
    </main>
  </body>
</html>
"""
    headers = {content_security.HEADER: policy, "cache-control": "no-store"}
    return HTMLResponse(text, status_code=status, headers=headers)
