"""Texts that an address stands for: compressed once, answered from memory, stored by browsers for good."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Mapping
from functools import cache

from starlette.datastructures import Headers
from starlette.responses import Response

from chatlab import content_security

_MEDIA_TYPES = {"js": "text/javascript", "css": "text/css"}
_HEADERS = {
    "cache-control": "private, max-age=31536000, immutable",  # seconds: a year
    "vary": "accept-encoding",
    content_security.HEADER: content_security.SCRIPT_OR_STYLE,
}


class ImmutableFiles:
    """Scripts and styles by their name; whoever refers to one has it change its address with its content."""

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        self._contents = contents
        self._compressed = cache(lambda name: gzip.compress(contents[name], mtime=0))

    def response(self, name: str, asked: Headers) -> Response | None:
        """Return the answer to a request with these headers; None for a name that is not there."""
        if name not in self._contents:
            return None
        media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
        if "gzip" not in asked.get("accept-encoding", ""):
            return Response(self._contents[name], headers=_HEADERS, media_type=media_type)
        headers = {**_HEADERS, "content-encoding": "gzip"}
        return Response(self._compressed(name), headers=headers, media_type=media_type)


def digest(contents: Iterable[bytes]) -> str:
    """Return what an address has of contents, so that it is another one when they are."""
    return hashlib.sha256(b"\0".join(contents)).hexdigest()[:12]


def preloaded(addresses: Iterable[str], *, late: bool = False) -> str:
    """Return the elements by which a page asks at once for modules, and for styles, of which it would learn
    from other modules later. late: these come after the others, and are compiled only once they are used."""
    script = 'rel="preload" as="script" crossorigin fetchpriority="low"' if late else 'rel="modulepreload"'
    style = f'rel="preload" as="style"{" fetchpriority=low" if late else ""}'
    return "".join(f'<link {style if ".css" in one else script} href="{one}">' for one in addresses)
