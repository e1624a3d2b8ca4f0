"""The versions that a comparison was made with."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from chatlab import __version__

_LIBRARIES = ("openai", "langchain", "huggingface-hub", "databricks-sdk", "httpx2", "numpy")


def versions() -> dict[str, str]:
    """Of chatlab, Python, the system, and what calls upstreams or counts, as far as it is installed."""
    found = {"chatlab": __version__, "Python": platform.python_version(), "system": platform.platform()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
