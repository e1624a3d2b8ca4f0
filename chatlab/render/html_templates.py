"""HTML by templates of Jinja, in which every text is escaped unless it is marked as HTML."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from chatlab.text import well_formed


@cache
def environment(package: str) -> Environment:
    """Return what loads the templates in the folder `templates` of a package."""
    return Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_characters,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _characters(value: Any) -> Any:
    """Text without halves of surrogate pairs, which models do write and which are no characters."""
    return well_formed(value) if type(value) is str else value
