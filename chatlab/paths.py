"""Paths in a configuration: relative to the file they are written in, wherever the program was started."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, ValidationInfo

PACKAGE = Path(__file__).resolve().parent
"""The folder of the package itself: files that come with chatlab lie in it."""

BASE = "base"
"""Key of the validation context under which `chatlab.config.load` passes the configuration file's folder."""


def from_base(path: Path, info: ValidationInfo) -> Path:
    """Return a path as `ConfigPath` reads it, for values that are not paths alone."""
    try:
        path = path.expanduser()
    except RuntimeError as exc:
        raise ValueError("names the home folder of a person this system does not know") from exc
    base = (info.context or {}).get(BASE)
    return path if base is None else Path(base) / path


ConfigPath: TypeAlias = Annotated[Path, AfterValidator(from_base)]
"""A path as an option: `~` is the home folder, a relative one starts at the configuration file's folder.

Without a configuration file (an address, a model made in Python) it starts at the working folder. A default
is taken as it is, so give `validate_default=True` to one that should start at the file's folder too.
"""


def sqlite_path(rest: str) -> str:
    """Return the path of a database that is written `sqlite:PATH` or `sqlite:///PATH`. rest: after the colon.

    Raise ValueError for one that names no file. Two slashes alone would be a host, and then the root folder.
    """
    path = rest.removeprefix("///")
    if path == rest and rest.startswith("//"):
        raise ValueError("has two slashes: write sqlite:PATH, such as sqlite:.chatlab/chatlab.db")
    if path in ("", ":memory:"):
        raise ValueError("names no file: write sqlite:PATH, such as sqlite:.chatlab/chatlab.db")
    return path
