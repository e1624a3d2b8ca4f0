"""Cookies as every one of the pages is set: for this server alone, and out of the reach of scripts."""

from __future__ import annotations

import os
from http.cookies import SimpleCookie


def cookie_header(name: str, value: str, *, seconds: int, secure: bool, path: str) -> str:
    """Return the value of `Set-Cookie`. secure: whether the page is served by https. seconds: how long the
    browser keeps it; 0 takes it away."""
    jar: SimpleCookie = SimpleCookie()
    jar[name] = value
    cookie = jar[name]
    cookie["path"] = path
    cookie["max-age"] = seconds
    cookie["httponly"] = True
    # A Space is shown in a frame of another site, which gets no lax cookies.
    framed = secure and os.environ.get("SYSTEM") == "spaces"
    cookie["samesite"] = "None" if framed else "Lax"
    if secure:
        cookie["secure"] = True
    return cookie.OutputString() + ("; Partitioned" if framed else "")
