"""The Content-Security-Policy of each of chatlab's pages and documents: what a browser may load and run.

Model output is untrusted, and a policy is what the browser enforces whatever Markdown or HTML asks for. The
syntax is that of Content Security Policy Level 3 (https://www.w3.org/TR/CSP3/).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

HEADER = "Content-Security-Policy"
"""The name of the response header, and of the `<meta http-equiv>` of a document that stands alone."""

_NOTHING = "default-src 'none'"
_STYLED = f"{_NOTHING}; style-src 'unsafe-inline'"
_WITHOUT_FORMS = "base-uri 'none'; form-action 'none'"

DOCUMENT = f"{_STYLED}; img-src data:; {_WITHOUT_FORMS}"
"""The policy of a document that stands alone, such as a report: no script runs, nothing is loaded."""

CONVERSATION = f"{_STYLED}; img-src data:; media-src data:; {_WITHOUT_FORMS}; sandbox allow-popups"
"""The policy of an exported or shared conversation: a document whose media play and whose links open."""

STORED_FILE = f"{_STYLED}; sandbox"
"""The policy of an attachment that a browser shows in place."""

COMPARISON_PAGE = (
    f"{_NOTHING}; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    f"media-src 'self' data:; connect-src 'self'; {_WITHOUT_FORMS}"
)
"""The policy of the comparison page: stricter than the chat page's, since no script of Gradio's is on it."""

COMPARISON_PAGE_SIGNED_IN = COMPARISON_PAGE.replace("form-action 'none'", "form-action 'self'")
"""The same where people sign in: it has a form by which they sign out."""

SCRIPT_OR_STYLE = _NOTHING
"""The policy of a script or a style sheet, which is nothing by itself: that of the page that has it holds."""

SENTENCE = f"{_STYLED}; {_WITHOUT_FORMS}"
"""The policy of a page that is one sentence and a link."""

SIGN_IN_PAGE = SENTENCE.replace("form-action 'none'", "form-action 'self'")
"""The policy of the page on which people sign in with a password."""

_HOST = re.compile(r"(\*\.)?[A-Za-z0-9.-]+(:\d+)?")


def chat_page(allowed_hosts: Sequence[str]) -> str:
    """Return the policy of the chat page, whose answers may show pictures and media from these hosts."""
    hosts = " ".join(host for host in allowed_hosts if _HOST.fullmatch(host))
    foreign = f" {hosts}" if hosts else ""
    return "; ".join(
        (
            # Gradio's own page needs inline scripts and evaluates its bundles.
            "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'",
            f"img-src 'self' data: blob:{foreign}",
            f"media-src 'self' data: blob:{foreign}",
            "connect-src 'self' data: blob:",
            "frame-src 'self' blob:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
        )
    )


def frame_ancestors(framed_by: Sequence[str]) -> str:
    """Return the directive that says who may show a page in a frame: our own pages and the sites given; in a
    Hugging Face Space, which is always shown so, Hugging Face."""
    sites = [host for host in framed_by if _HOST.fullmatch(host)]
    if os.environ.get("SYSTEM") == "spaces":
        sites.append("https://huggingface.co")
    return " ".join(["frame-ancestors 'self'", *sites])
