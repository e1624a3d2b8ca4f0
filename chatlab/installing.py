"""Says how an extra of chatlab is installed where this process runs, to whoever reads that it is missing.

On the Python index the name `chatlab` belongs to another project: no sentence may name that.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

DISTRIBUTION = "chatlab-workbench"

_ROOT = Path(__file__).resolve().parent.parent


def how_to_install(extra: str) -> str:
    """Return what to do about an extra: a command that works here, or what belongs into a file."""
    if os.environ.get("SPACE_ID"):  # a Space installs requirements.txt alone, and nothing of this project
        return f"add {' and '.join(_packages(extra) or (extra,))} to requirements.txt"
    if not _is_checkout():
        return f"pip install '{DISTRIBUTION}[{extra}]'"
    where = "" if Path.cwd() == _ROOT else " in the folder of chatlab's checkout"
    return f"pip install -e '.[{extra}]'{where}"


def how_to_install_package(package: str) -> str:
    """Return what to do about a package that is no part of an extra."""
    if os.environ.get("SPACE_ID"):
        return f"add {package} to requirements.txt"
    return f"pip install '{package}'"


def _is_checkout() -> bool:
    return _project().get("name") == DISTRIBUTION


def _packages(extra: str) -> list[str]:
    packages = _project().get("optional-dependencies", {}).get(extra, [])
    return [package.split(";")[0].strip() for package in packages]


@cache
def _project() -> dict[str, Any]:
    """Return the project's table beside the packages, which is there in a checkout and in a Space."""
    import tomllib

    try:
        return dict(tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8")).get("project", {}))
    except (OSError, ValueError):
        return {}
