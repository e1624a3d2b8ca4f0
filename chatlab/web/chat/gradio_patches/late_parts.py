"""Parts of a page that are made once it was painted without them, so that one can write in it sooner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_SHOWN = """async () => {
  if (!document.hidden) await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
  return [%s].map((visible) => ({ __type__: "update", visible }));
}"""


def show_late(page: Any, parts: Sequence[Any]) -> None:
    """Have a page make these parts after its first painting. Until then an event gets of them what they are
    at first. page: open, as it is while parts are added to it."""
    seen = ", ".join("true" if part.visible is True else f'"{part.visible}"' for part in parts)
    for part in parts:
        part.visible = False
    page.load(None, None, [*parts], js=_SHOWN % seen, api_visibility="private")
    page.late = [*page.late, *parts]
