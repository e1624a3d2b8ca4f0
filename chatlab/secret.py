"""Secrets by reference, and the scrubbing that keeps their values out of whatever people read."""

from __future__ import annotations

import logging
import os
import re
import traceback
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from chatlab.paths import ConfigPath

_MASK = "***"
# Shapes of credentials that may stand in an upstream's own error text, whoever they belong to.
_SHAPES = re.compile(
    r"(?i:bearer\s+)[\w.~+/=-]{8,}|\bsk-[\w*-]{6,}|\bhf_\w{8,}|\bdapi[0-9a-f]{8,}[\w-]*|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHORTEST = (
    6  # a shorter value is a stand-in ("none", for a server that wants no key), and a word of any text
)
_seen: set[str] = set()


class SecretRef(BaseModel):
    """Where a secret is to be found: `{env: NAME}` or `{file: PATH}`. It never holds the value."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"oneOf": [{"required": ["env"]}, {"required": ["file"]}]},
    )

    env: str | None = Field(None, description="Name of the environment variable that holds it.")
    file: ConfigPath | None = Field(None, description="A file that holds nothing else.")

    # What was written may be the secret itself: no message below repeats it.
    @model_validator(mode="before")
    @classmethod
    def _by_reference_only(cls, value: Any) -> Any:
        if not isinstance(value, dict | SecretRef):
            raise ValueError("a secret is given by reference, {env: NAME} or {file: PATH}, never literally")
        return value

    @field_validator("env", mode="after")
    @classmethod
    def _a_name(cls, value: str | None) -> str | None:
        if value is not None and (not _NAME.fullmatch(value) or _SHAPES.search(value)):
            raise ValueError("env takes a variable's name, such as OPENAI_API_KEY, not the secret itself")
        return value

    @field_validator("file", mode="before")
    @classmethod
    def _a_path(cls, value: Any) -> Any:
        if isinstance(value, str) and _SHAPES.search(value):
            raise ValueError("file takes the path of a file, not the secret itself")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret has exactly one of env and file")
        return self

    def missing(self) -> str | None:
        """What to do before the secret can be read, or None when it is there."""
        if self.env is not None:
            return None if os.environ.get(self.env, "").strip() else f"set {self.env}"
        assert self.file is not None
        path = self.file
        try:
            return None if path.read_text("utf-8").strip() else f"put the secret into {path}"
        except (OSError, ValueError):  # ValueError: not UTF-8, or a path with a NUL
            return f"make {path} a readable text file"

    def resolve(self) -> SecretStr:
        """The value, read now so that a rotated secret is picked up. Raises LookupError if it is missing."""
        reason = self.missing()
        if reason is not None:
            raise LookupError(reason)
        if self.env is not None:
            value = os.environ[self.env].strip()
        else:
            assert self.file is not None
            value = self.file.read_text("utf-8").strip()
        remember(value)
        return SecretStr(value)


def remember(value: str) -> None:
    """Makes `scrub` take this value out of everything from now on."""
    if len(value) >= _SHORTEST:
        _seen.add(value)


def scrub(text: str) -> str:
    """The text without any secret that was resolved in this process, nor anything shaped like one."""
    for value in _seen:
        if value in text:
            text = text.replace(value, _MASK)
    return _SHAPES.sub(_MASK, text)


def scrubbed_traceback(exc: BaseException) -> str:
    """The traceback of an exception and of its causes, for a log, without secrets."""
    return scrub("".join(traceback.format_exception(exc)))


class ScrubbingFormatter(logging.Formatter):
    """Formats a record, its traceback included, and scrubs the result."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))
