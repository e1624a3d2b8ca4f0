"""Reads what an upstream says went wrong, in a reply or within a stream, as one of chatlab's errors.

By HTTP status first, by the body's code and text last. Servers of one protocol write errors in many shapes,
and their own sentence is looked for in all of them: OpenAI, FastAPI, RFC 9457 problem details, Google,
Cloudflare, MiniMax, DashScope, Zhipu, Databricks, Apigee, Slack.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from chatlab.errors import BackendError, classify

_ERROR_BYTES = 64 * 2**10  # of an error reply's body that are read
_ERROR_SECONDS = 5.0
# Codes that stand in the body where there is no HTTP status to go by: in an error sent in mid-stream.
_STATUS_OF = {
    "invalid_api_key": 401,
    "authentication_error": 401,
    "unauthenticated": 401,
    "permission_denied": 403,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "not_found": 404,
    "resource_does_not_exist": 404,
    "endpoint_not_found": 404,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "request_limit_exceeded": 429,
    "resource_exhausted": 429,
    "internal_error": 500,
    "internal": 500,
    "server_error": 500,
    "temporarily_unavailable": 503,
    "overloaded_error": 503,
    "unavailable_error": 503,
    "unavailable": 503,
    "deadline_exceeded": 504,
    "bad_request": 400,
    "invalid_argument": 400,
    "invalid_parameter_value": 400,
    "invalid_request_error": 400,
    "exceed_context_size_error": 400,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "invalid_prompt": 400,
}
# https://platform.minimax.io/docs/api-reference/errorcode
_BASE_RESP = {1001: 504, 1002: 429, 1004: 401, 1008: 429, 1013: 500, 1026: 400, 1027: 400, 1039: 429}
_TITLE = re.compile(r"<(title|h1|message)\b[^>]*>\s*([^<]*\S)\s*</\1>", re.I)

# Where a sentence stands, the likeliest first; names are compared without case and underscores.
_SENTENCES = (
    *("message", "msg", "errormessage", "errormsg", "errmsg", "statusmsg", "faultstring", "detail"),
    *("details", "errordescription", "description", "error", "errors", "reason", "fault", "exception"),
    *("title", "baseresp", "innererror", "statusmessage", "err", "cause", "problem", "info"),
    "responsemetadata",  # Slack's
)
# Of these a single word is a code, and a sentence elsewhere says more.
_CODES = frozenset(("error", "err", "fault", "exception", "reason", "title", "problem", "info"))
# Names that nobody knows before but that say what they hold, and names of what would hold an answer.
_TELLING = re.compile(
    r"message|msg|error|detail|reason|descri|expla|warn|hint|fail|fault|invalid|problem|text|note"
)
_HOLDERS = ("result", "data", "content", "body", "output", "response", "value", "cause", "why", "exc")
# Names of what is about the request or the server, and tells nobody what went wrong.
_ABOUT = re.compile(
    r"(?:id|path|ur[li]|type|codes?|status|method|version|host|model|stack|trace|traceback|loc|link)s?$"
    r"|time|date|doc|level|severity|retry"
)
_WORD = re.compile(r"[\w.:/-]*")
# Whatever holds an answer, or is part of one: a chunk with one of these is no error by its looks.
_ANSWERS = (
    *("choices", "delta", "output", "content", "result", "answer", "response", "text", "generated_text"),
    *("token", "messages", "predictions", "item", "usage"),
)
_FINE = {"", "0", "ok", "success", "true", "none"}
_FAILED = {"error", "failed", "failure", "fail"}
_DEEP = 6  # levels of an error body that are looked into
_SEVERAL = 4  # errors of a list that are told
_LOOKED_AT = 50  # values of one object or list whose names are looked for
_ECHOES = ("input", "body", "request")  # where some errors repeat what was sent


def error_from_body(status: int | None, body: object, retry_after: float | None = None) -> BackendError:
    """Return the error for what an upstream said: an error reply's body, decoded or not, or an error chunk.

    status: of the reply; None for a chunk in mid-stream, whose own code then counts as the status.
    retry_after: seconds the upstream asks to wait.
    """
    body = _decoded(body)
    code = _code(body)
    detail = sentence_of(body, failed=True) or code or ("" if body is None else _shape(body))
    if status is None or status < 400:
        status = _status_of(code, body)
    hint = code if code is None or code not in detail else None
    error = classify(status, detail, code=hint, retry_after=retry_after)
    error.words = " ".join((detail, *_names(body)))
    if code == "insufficient_quota":
        error.retryable = False  # the account is empty: waiting does not fill it
    return error


async def error_body(response: Any) -> bytes:
    """Return the body of an error reply of httpx2 or httpx, as far as it comes soon: one that does not end
    keeps nobody waiting, and takes no memory.
    """
    raw = bytearray()
    with suppress(TimeoutError):
        async with asyncio.timeout(_ERROR_SECONDS):
            async for piece in response.aiter_bytes():
                raw += piece
                if len(raw) > _ERROR_BYTES:
                    break
    return bytes(raw)


def is_error(chunk: Mapping[str, Any]) -> bool:
    """Return whether a chunk or body is an error, in any of the forms that pass as success elsewhere."""
    if chunk.get("error") or chunk.get("type") == "error" or chunk.get("object") == "error":
        return True
    no_answer = not chunk.get("choices") and not isinstance(chunk.get("output"), list)
    if no_answer and _says_it_failed(chunk) and sentence_of(chunk, failed=True):
        return True
    base = chunk.get("base_resp")
    if isinstance(base, Mapping) and not _fine(base.get("status_code")):
        return True
    if any(chunk.get(name) for name in _ANSWERS) or str(chunk.get("type")).startswith("response"):
        return False
    if "error_code" in chunk or chunk.get("errors") or ("detail" in chunk and sentence_of(chunk)):
        return True
    failed = (
        _says_it_failed(chunk)
        or not all(_fine(chunk.get(name)) for name in ("code", "status_code"))
        or _http_error(chunk.get("status")) is not None
    )
    return failed and bool(sentence_of(chunk, failed=True))


def _says_it_failed(chunk: Mapping[str, Any]) -> bool:
    failed = str(chunk.get("status")).lower() in _FAILED
    return failed or chunk.get("success") is False or chunk.get("ok") is False


def sentence_of(body: object, *, failed: bool = False) -> str:
    """Return the upstream's own sentence, wherever in an error's body it stands; empty if there is none.

    failed: whether it is known to be an error. Then it is also looked for where an answer would stand.
    """
    return _Sentences(failed).of(_decoded(body), 0)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds the upstream asks to wait (`retry-after-ms`, or RFC 9110), None if it does not."""
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


def _decoded(body: object) -> object:
    if isinstance(body, bytes | bytearray):
        body = body.decode("utf-8", "replace")
    if isinstance(body, str):
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            return body
    return body


@dataclass(frozen=True, slots=True)
class _Sentences:
    """Looks for the sentence. failed: whether any text is one, where an answer would stand, too."""

    failed: bool

    def of(self, value: object, depth: int) -> str:
        """Return the sentence of a value that is so many levels deep."""
        if depth > _DEEP:
            return ""
        if isinstance(value, str):
            inner = _decoded(value) if value.lstrip()[:1] in ("{", "[") else None
            return self.of(inner, depth + 1) or _plain(value)
        if isinstance(value, list):
            said = [self.of(item, depth + 1) for item in value[:_SEVERAL]]
            return "; ".join(dict.fromkeys(filter(None, said)))
        return self._of_object(value, depth) if isinstance(value, Mapping) else ""

    def _of_object(self, body: Mapping[Any, Any], depth: int) -> str:
        held = {str(name).lower().replace("_", ""): value for name, value in body.items()}
        inner = held.get("error")
        if isinstance(inner, Mapping | list) and (said := self.of(inner, depth + 1)):
            return said
        word = ""
        for name in _SENTENCES:
            if said := self.of(held.get(name), depth + 1):
                if name not in _CODES or not _WORD.fullmatch(said):
                    return self._with_its_place(held, said, depth)
                word = word or said
        failed = self.failed or depth > 0
        for name in self._other_names(held) if failed else ():
            said = self.of(held.get(name), depth + 1)
            if said and (not _WORD.fullmatch(said) or not (word or name in _HOLDERS)):
                return self._with_its_place(held, said, depth)
        if word:
            return self._with_its_place(held, word, depth)
        if failed and (said := self._of_fields(body, depth)):
            return said
        # Whatever else there is that holds something: an envelope around the error, under any name.
        inside = (self.of(value, depth + 1) for value in body.values() if isinstance(value, Mapping))
        return next(filter(None, inside), "")

    @staticmethod
    def _other_names(held: Mapping[str, Any]) -> Sequence[str]:
        telling = [name for name in held if _TELLING.search(name) and not _ABOUT.search(name)]
        return tuple(dict.fromkeys((*telling, *_HOLDERS)))

    def _with_its_place(self, held: Mapping[str, Any], said: str, depth: int) -> str:
        """Return a sentence with what it is about, and what the provider behind it said, where that is
        there.
        """
        where = held.get("loc")  # FastAPI's: which field it is about
        path = ".".join(map(str, where)) if isinstance(where, list) else ""
        param = held.get("param")  # OpenAI's
        path = path or (param if isinstance(param, str) and param not in said else "")
        said = f"{path}: {said}" if path else said
        beside = held.get("metadata")  # OpenRouter's
        raw = self.of(beside.get("raw"), depth + 1) if isinstance(beside, Mapping) else ""
        return f"{said}: {raw}" if raw and raw not in said else said

    def _of_fields(self, body: Mapping[Any, Any], depth: int) -> str:
        """Return what is said of fields by their names: `{"field": ["what is wrong"]}`."""
        inside = depth and all(isinstance(value, str | list) for value in body.values())
        told = []
        for name, value in body.items():
            said = self.of(value, depth + 1) if isinstance(value, str | list) else ""
            about = isinstance(value, str) and _ABOUT.search(str(name).lower())
            if said and (inside or not (_WORD.fullmatch(said) or about)):
                told.append(f"{name}: {said}")
            if len(told) == _SEVERAL:
                break
        return "; ".join(told)


def _places(body: object) -> list[Mapping[Any, Any]]:
    """Return the objects of a body in which its code may stand, the innermost first."""
    if isinstance(body, list):
        return _places(body[0]) if body else []
    if not isinstance(body, Mapping):
        return []
    inner = [place for name in ("error", "errors") for place in _places(body.get(name))]
    return [*inner, body]


def _code(body: object) -> str | None:
    for place in _places(body):
        for name in ("code", "error_code", "error_type", "type"):
            value = place.get(name)
            if isinstance(value, str) and value and value != "error":
                return value
    return None


def _status_of(code: str | None, body: object) -> int | None:
    for place in _places(body):
        for name in ("code", "http_status_code", "status_code", "status"):
            found = _http_error(place.get(name))
            if found is not None:
                return found
        base = place.get("base_resp")
        code_there = base.get("status_code") if isinstance(base, Mapping) else None
        if isinstance(code_there, int) and code_there in _BASE_RESP:
            return _BASE_RESP[code_there]
    words = [code, *(place.get("status") for place in _places(body))]
    known = (_STATUS_OF.get(word.lower()) for word in words if isinstance(word, str))
    return next(filter(None, known), None)


def _http_error(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 400 <= value < 600 else None


def _fine(code: object) -> bool:
    """Return whether a code says that nothing went wrong, or nothing at all."""
    if isinstance(code, int | float) and 200 <= code < 300:
        return True
    return str(code).lower() in _FINE | {"200"}


def _names(body: object, depth: int = 0) -> Iterator[str]:
    """Yield the single words of a body: names of fields among them. What repeats the request is left out."""
    if isinstance(body, str):
        if _WORD.fullmatch(body):
            yield body
    elif depth < _DEEP and isinstance(body, Mapping | list):
        inner = body if isinstance(body, list) else [v for k, v in body.items() if k not in _ECHOES]
        for value in inner[:_LOOKED_AT]:
            yield from _names(value, depth + 1)


def _shape(body: object) -> str:
    return "" if isinstance(body, Mapping | str) else json.dumps(body)[:300]


def _plain(text: str) -> str:
    if not text.lstrip().startswith("<"):
        return text.strip()
    title = _TITLE.search(text)
    if title is not None and title[1].lower() == "message":  # XML, as of a store of files
        return title[2]
    return "the upstream answered with a web page" + (f": {title[2]}" if title else "")
