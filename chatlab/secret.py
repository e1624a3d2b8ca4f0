"""Secrets by reference, and the scrubbing that keeps their values out of whatever people read."""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from chatlab.known_secrets import MASK, known_secrets, remember
from chatlab.paths import ConfigPath
from chatlab.shown_text import Shown, Span, replaced, spans_of

__all__ = [
    "KEY_PATTERN",
    "SHAPES",
    "ScrubbingFormatter",
    "SecretRef",
    "Shape",
    "credentials_in",
    "is_credential",
    "remember",
    "remember_if_secret",
    "scrub",
    "scrubbed_traceback",
    "scrubbed_value",
]


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of the credentials of one service.

    hint: letters that each of them has, in lower case. pattern: a regular expression of one, in which LEAST
    is the least number of characters after the part that names the service. said, written: that number in a
    text, where a credential may be cut or masked, and in a configuration, where the same letters may begin
    the name of a model; None where a configuration may have it.
    """

    hint: str
    pattern: str
    said: int
    written: int | None


SHAPES = (
    Shape("bearer", r"(?i:bearer\s+)[\w.~+/=-]{LEAST,}", 8, None),
    Shape("sk-", r"(?<!\w)sk-[\w*-]{LEAST,}", 6, 20),  # OpenAI, Anthropic, DeepSeek, OpenRouter
    Shape("hf_", r"(?<!\w)hf_\w{LEAST,}", 8, 20),  # Hugging Face
    Shape("dapi", r"(?<!\w)dapi[0-9a-f]{LEAST,}[\w-]*", 8, 20),  # Databricks, a personal access token
    Shape("dose", r"(?<!\w)dose[0-9a-f]{LEAST,}", 16, 20),  # Databricks, an OAuth secret
    Shape("gsk_", r"(?<!\w)gsk_\w{LEAST,}", 20, 20),  # Groq
    Shape("xai-", r"(?<!\w)xai-\w{LEAST,}", 20, 20),
    Shape("nvapi-", r"(?<!\w)nvapi-[\w-]{LEAST,}", 20, 20),
    Shape("pplx-", r"(?<!\w)pplx-\w{LEAST,}", 20, 30),  # Perplexity, some of whose models are pplx-...
    Shape("akia", r"(?<!\w)AKIA[0-9A-Z]{LEAST}(?!\w)", 16, 16),  # AWS, a key of a person
    Shape("asia", r"(?<!\w)ASIA[0-9A-Z]{LEAST}(?!\w)", 16, 16),  # AWS, a key for a session
    Shape("gh", r"(?<!\w)gh[pousr]_\w{LEAST,}", 20, 20),
    Shape("github_pat_", r"(?<!\w)github_pat_\w{LEAST,}", 20, 20),
    Shape("glpat-", r"(?<!\w)glpat-[\w-]{LEAST,}", 20, 20),
    Shape("xox", r"(?<!\w)xox[abeprs]-[\w-]{LEAST,}", 10, 10),  # Slack
    Shape("xapp-", r"(?<!\w)xapp-[\w-]{LEAST,}", 10, 10),  # Slack, of an app
    Shape("aiza", r"(?<!\w)AIza[\w-]{LEAST}", 35, 35),  # Google
    Shape("ya29.", r"(?<!\w)ya29\.[\w-]{LEAST,}", 20, 20),  # Google, an OAuth token
    Shape("eyj", r"(?<!\w)eyJ[\w-]{LEAST,}\.[\w-]+\.[\w-]*", 8, 8),  # a JSON web token
    Shape(
        "private key-", r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\w\s+/=]{LEAST,}(?:-----END [A-Z ]*-----)?", 8, 8
    ),
    Shape(
        "://", r"(?<=://)[^\s/@:\"'<>]*:(?!\*\*\*@)[^\s/@\"'<>]{LEAST,}(?=@)", 1, 1
    ),  # name and password of a URL
)
"""Credentials by their shape, whoever they belong to: for errors, logs, reports and configurations alike."""


def _led(pattern: str) -> re.Pattern[str]:
    """Return an expression that finds the same as its first group, and begins with the letters that are there
    in any case, where it had what must or must not stand before: it is found several times as fast.
    """
    found = re.fullmatch(r"\(\?<(!\\w|=[^)]+)\)([\w-]*)(.*)", pattern, re.S)
    if found is None:
        return re.compile(f"({pattern})")
    before, letters, rest = found.groups()
    if before.startswith("="):
        return re.compile(f"{before[1:]}({letters}{rest})")
    return re.compile(rf"({letters}(?<!\w{letters}){rest})")


_IN_TEXT = tuple((one.hint, _led(one.pattern.replace("LEAST", str(one.said)))) for one in SHAPES)
_IN_CONFIG = re.compile(
    "|".join(one.pattern.replace("LEAST", str(one.written)) for one in SHAPES if one.written is not None)
)
_BEGINS = r"(?<!\w)"  # written once for all of them, they are found ten times as fast
_KEYS = [one.pattern.replace("LEAST", str(one.said)) for one in SHAPES if one.hint not in ("bearer", "://")]
KEY_PATTERN = "|".join(
    (
        f"{_BEGINS}(?:{'|'.join(one.removeprefix(_BEGINS) for one in _KEYS if one.startswith(_BEGINS))})",
        *(one for one in _KEYS if not one.startswith(_BEGINS)),
    )
)
"""A regular expression that finds keys, without the schemes that stand before them."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A control character (a line break, above all), or one beyond ASCII, such as the quotes of a word processor:
# no key has them, no header can hold them, and the libraries that are given one print it.
_UNLIKE_A_WORD = 16
_ODD = re.compile(r"[^\x20-\x7e]")


class SecretRef(BaseModel):
    """A reference to a secret: `{env: NAME}` or `{file: PATH}`. It never holds the value."""

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
        if value is not None and (not _NAME.fullmatch(value) or _shaped(value)):
            raise ValueError("env takes a variable's name, such as OPENAI_API_KEY, not the secret itself")
        return value

    @field_validator("file", mode="before")
    @classmethod
    def _a_path(cls, value: Any) -> Any:
        if isinstance(value, str) and _shaped(value):
            raise ValueError("file takes the path of a file, not the secret itself")
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretRef:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret has exactly one of env and file")
        return self

    @property
    def is_set(self) -> bool:
        """Return whether there is something, be it a key or not."""
        return self._read()[1] is None

    def missing(self) -> str | None:
        """Return what to do before the key can be read and sent, or None when nothing is."""
        value, reason = self._read()
        if reason is None and _ODD.search(value):
            remember(value, source=self._where)
            return f"the key in {self._where} has characters that no key has: copy it anew, on one line"
        return reason

    def resolve(self) -> SecretStr:
        """Return the key, read now so that a rotated one is picked up. Raises LookupError with what to do if
        it is missing, or has characters that no key has."""
        reason = self.missing()
        if reason is not None:
            raise LookupError(reason)
        return SecretStr(self._remembered())

    def text(self) -> SecretStr:
        """Return a secret that is no key, such as the URL of a database. Raises LookupError if missing."""
        _, reason = self._read()
        if reason is not None:
            raise LookupError(reason)
        return SecretStr(self._remembered(parts=False))

    def _remembered(self, *, parts: bool = True) -> str:
        value, reason = self._read()
        if reason is not None:  # it was taken away since it was looked for
            raise LookupError(reason)
        remember(value, parts=parts, source=self._where)
        return value

    @property
    def _where(self) -> str:
        return self.env if self.env is not None else str(self.file)

    def _read(self) -> tuple[str, str | None]:
        """Return what is there, without a byte order mark and space around it, and what to do if that is
        nothing.
        """
        if self.env is not None:
            value = _bare(os.environ.get(self.env, ""))
            return value, None if value else f"set {self.env}"
        assert self.file is not None
        try:
            value = _bare(self.file.read_text("utf-8"))
        except (OSError, ValueError):  # ValueError: not UTF-8, or a path with a NUL
            return "", f"make {self.file} a readable text file"
        return value, None if value else f"put the secret into {self.file}"


def _bare(text: str) -> str:
    return text.strip().removeprefix("\ufeff").strip()


def remember_if_secret(value: str) -> None:
    """Have `scrub` take out a value that was written where it need not be secret, such as a header, if it is
    unlike a word: 16 characters with letters and digits, without spaces."""
    word = len(value) < _UNLIKE_A_WORD or re.search(r"\s", value)
    if not word and re.search(r"\d", value) and re.search(r"[A-Za-z]", value):
        remember(value)


def scrub(text: str) -> str:
    """Return the text without any secret that is known in this process, whole, in part or encoded, and
    without anything shaped like one."""
    return replaced(text, credentials_in(text), MASK)


def scrubbed_value(value: Any) -> Any:
    """Return what JSON can hold with every text in it scrubbed, and numbers as they are: to scrub its JSON as
    a whole would break a number that has the digits of a secret."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(key)): scrubbed_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed_value(item) for item in value]
    return value


def credentials_in(text: str, ways: Sequence[Shown] | None = None) -> list[Span]:
    """Return where credentials stand in a text, as they are written or as a reader sees them, in order.

    ways: `ways_to_see` of the text, where it is known.
    """
    return spans_of(text, _credentials, ways)


def _credentials(text: str) -> Iterator[Span]:
    yield from known_secrets.spans_in(text, parts=True)
    lower = _lowered(text)
    for hint, pattern in _IN_TEXT:
        if hint in lower:
            yield from (match.span(1) for match in pattern.finditer(text))


def _lowered(text: str) -> str:
    """Return a text in which at least the letters of ASCII, which all hints are of, are small."""
    if not text.isascii():  # then `str.lower` takes twenty times as long
        with suppress(UnicodeEncodeError):
            return text.encode("latin-1").lower().decode("latin-1")
    return text.lower()


def is_credential(text: str) -> bool:
    """Return whether a text of a configuration has what is plainly a credential in it."""
    return _IN_CONFIG.search(text) is not None


def _shaped(text: str) -> bool:
    """Return whether there is something in it that is shaped like a credential, however short."""
    return any(pattern.search(text) for _, pattern in _IN_TEXT)


def scrubbed_traceback(exc: BaseException) -> str:
    """Return the traceback of an exception and of its causes, for a log, without secrets."""
    return scrub("".join(traceback.format_exception(exc)))


class ScrubbingFormatter(logging.Formatter):
    """Formats a record, its traceback included, and scrubs the result."""

    def format(self, record: logging.LogRecord) -> str:
        return scrub(super().format(record))
