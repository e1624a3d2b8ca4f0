"""The errors of tools, as one sentence for the model and whoever reads its answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from langchain_core.tools import ToolException

from chatlab.databricks_sdk import sdk_error
from chatlab.errors import AuthenticationFailed
from chatlab.secret import scrub


@contextmanager
def told(name: str) -> Iterator[None]:
    """Make a ToolException of what the workspace says, without secrets.

    A credential that is refused is nothing that a model could do anything about: it ends the answer.
    """
    try:
        yield
    except ToolException:
        raise
    except Exception as exc:
        error = sdk_error(exc)
        if isinstance(error, AuthenticationFailed):
            raise error from exc
        detail = error.detail if error is not None else f"{type(exc).__name__}: {exc}"
        raise ToolException(f"{name} failed: {scrub(detail)}") from exc
