"""Addresses of the web in texts that a model wrote."""

from __future__ import annotations

import re

# Stricter than any URL parser, so that no two of them can disagree on which host is meant.
WEB = re.compile(r"https?://([A-Za-z0-9.-]+(?::\d{1,5})?)(?:[/?#][^\s\\<>\"'`]*)?", re.I)


def is_address(text: str) -> bool:
    """Return whether a text is an address of the web, as links have it."""
    return WEB.fullmatch(text) is not None
