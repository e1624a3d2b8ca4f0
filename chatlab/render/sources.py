"""The sources of an answer, as every page, share, export and report shows them: a numbered list of links."""

from __future__ import annotations

from collections.abc import Iterable

from chatlab.messages import Citation
from chatlab.render.addresses import is_address
from chatlab.render.markdown import one_line


def sources(citations: Iterable[Citation]) -> str:
    """Return sources as Markdown. One with an address of the web is a link, one with another has it beside
    its title."""
    return "\n".join(_item(f"{number}.", one) for number, one in enumerate(citations, 1))


def _item(number: str, one: Citation) -> str:
    title, address = one_line(one.title), one_line(one.url or "")
    if one.url is not None and is_address(one.url):
        said = f"[{title}](<{address}>)" if title and one.title != one.url else address
    else:
        said = " — ".join(filter(None, (title, address)))
    snippet = f"\n{' ' * len(number)} > {one_line(one.snippet)}" if one.snippet else ""
    return f"{number} {said}{snippet}"
