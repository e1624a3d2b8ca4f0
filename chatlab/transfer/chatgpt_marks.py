"""The marks that ChatGPT writes into an answer where its page shows a source, a place or pictures.

A mark stands between U+E200 and U+E201, in older exports between 【 and 】, or is
`:contentReference[oaicite:0]` alone. What it stands for is in itself, or in the message's
`content_references` or `citations`, if it is in the file at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chatlab.messages import Citation

_MARK = re.compile(
    r" ?(?:\ue200([^\ue200\ue201]*)\ue201|【\d+(?::\d+)?†[^】\n]{0,200}】"
    r"|:contentReference\[oaicite:\d+\](?:\{[^{}\n]{0,40}\})?)"
)
# A mark that was cut has its kind and the ids of sources, and no end.
_CUT = re.compile(r" ?\ue200[a-z_]*(?:\ue202(?:turn\d+[a-z]+\d+)?)+(?![^\s\ue200-\ue2ff])")
_LEFT = re.compile(r"[\ue200-\ue2ff]")  # of others that were cut: what begins, parts and ends one
_NESTED = 3  # marks within marks that are looked at
_PARTS = "\ue202"
_LONGEST = 500  # characters of a title


@dataclass(frozen=True, slots=True)
class Explained:
    """A text without marks. citations: the sources that were named. unknown: how many marks said nothing."""

    text: str
    citations: tuple[Citation, ...]
    unknown: int


def explained(text: str, metadata: Mapping[str, Any]) -> Explained:
    """Return a text of the assistant with what its marks stand for: a link, a name, or nothing."""
    known = dict(_references(metadata))
    unknown = 0

    def put(found: re.Match[str]) -> str:
        nonlocal unknown
        mark = found[0].removeprefix(" ")
        said = known[mark] if mark in known else _name(found[1])
        if said is None:
            unknown += 1
        return f" {said}" if said and found[0] != mark else said or ""

    replaced = text
    for _ in range(_NESTED):
        replaced = _MARK.sub(put, replaced)
    replaced, cut = _CUT.subn("", replaced)
    unknown += cut
    replaced = _LEFT.sub("", replaced)
    return Explained(replaced if replaced == text else replaced.rstrip(), tuple(_sources(metadata)), unknown)


def _references(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each mark that is explained, and what stands in its place."""
    for reference in _mappings(metadata.get("content_references")):
        mark = reference.get("matched_text")
        if isinstance(mark, str) and _MARK.fullmatch(mark):
            alt = reference.get("alt")
            links = " ".join(f"[{one.title}]({one.url})" for one in _items(reference))
            yield mark, alt if isinstance(alt, str) and alt else f"({links})" if links else ""
    for citation in _mappings(metadata.get("citations")):
        about = citation.get("metadata")
        extra = about.get("extra") if isinstance(about, dict) else None
        mark = extra.get("cited_message_idx") if isinstance(extra, dict) else None
        if isinstance(about, dict) and isinstance(mark, int) and (source := _source(about)) is not None:
            named = extra.get("evidence_text", "source") if isinstance(extra, dict) else "source"
            yield f"【{mark}†{named}】", f"([{source.title}]({source.url}))" if source.url else ""


def _sources(metadata: Mapping[str, Any]) -> Iterator[Citation]:
    """Yield every source once, in the order in which they are named."""
    seen = set()
    listed = [one for entry in _mappings(metadata.get("content_references")) for one in _items(entry)]
    listed += [
        source
        for entry in _mappings(metadata.get("citations"))
        if isinstance(about := entry.get("metadata"), dict) and (source := _source(about)) is not None
    ]
    for source in listed:
        if source.url not in seen:
            seen.add(source.url)
            yield source


def _items(reference: Mapping[str, Any]) -> Iterator[Citation]:
    for item in _mappings(reference.get("items")):
        if (source := _source(item)) is not None:
            yield source


def _source(about: Mapping[str, Any]) -> Citation | None:
    url, title = about.get("url"), about.get("title")
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return None
    return Citation(title[:_LONGEST] if isinstance(title, str) and title else url[:_LONGEST], url)


def _name(mark: str | None) -> str | None:
    """Return what a mark itself says: the name of an entity, such as a city, or a link; None of any other."""
    kind, _, rest = (mark or "").partition(_PARTS)
    if kind == "url":
        title, _, url = rest.rpartition(_PARTS)
        source = _source({"title": title, "url": url})
        return None if source is None else f"[{source.title}]({source.url})"
    if kind not in ("entity", "product_entity"):
        return None
    try:
        said = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    named = said[1] if isinstance(said, list) and len(said) > 1 else None
    return named if isinstance(named, str) and named else None


def _mappings(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
