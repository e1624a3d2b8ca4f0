"""Checks that an answer is JSON that fits a schema.

A schema and an answer are data, and there are many ways in which one makes the other take hours (patterns
that backtrack, unique items, references that branch). So the work is done in a process of its own, which
lives as long as it answers in time: one start of a few tenths of a second in a run, and a fraction of a
millisecond a check.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import regex

from chatlab.strict_json import load_json

_LONGEST = 10.0  # seconds a check may take
_OFTEN = 3  # times that a schema may take longer
_LONGEST_START = 60.0  # and the start of the process, on a machine that is busy
_WORKER = Path(__file__).with_name("schema_worker.py")
_OPENED = r"(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+.-]*)[^\n`]*\n(?P<body>.*?)"
_FENCED = (  # the end on a line of its own, or else where it stands
    regex.compile(_OPENED + r"(?<=\n)[ \t]*(?P=fence)[`~]*[ \t]*(?=\n|\Z)", regex.DOTALL),
    regex.compile(_OPENED + r"(?:(?P=fence)|\Z)", regex.DOTALL),
    regex.compile(r"(?P<fence>`{3,})(?P<language>[\w+.-]*)[ \t]+(?P<body>[^\n]*?)(?P=fence)"),
    regex.compile(r"\A(?P<language>)(?P<fence>`{1,2})(?P<body>[^`\n]+)(?P=fence)\Z"),
)
_UNSEEN = regex.compile(r"\A[\s\p{Cf}]+|[\s\p{Cf}]+\Z")
_QUOTED = regex.compile(r"^(?:[ \t]*>[ ]?)+", regex.MULTILINE)


def problem_of(answer: str, schema: Any) -> str:
    """Return why an answer, or its one code block, is no JSON that fits the schema; "" if it is."""
    try:
        value = _json_of(answer)
    except ValueError as exc:
        return f"the answer is not JSON: {exc}"
    wanted = json.dumps(schema)
    if _late[wanted] >= _OFTEN:
        return f"the schema took over {_LONGEST:g} s for {_OFTEN} answers, and is tried no more"
    try:
        return _asked("instance", wanted, json.dumps(value))
    except TimeoutError:
        _late[wanted] += 1
        return f"the schema took over {_LONGEST:g} s"


def problem_of_schema(schema: Any) -> str:
    """Return why this is no JSON schema; "" if it is one."""
    try:
        return _asked("schema", json.dumps(schema), "")
    except TimeoutError:
        return f"it takes over {_LONGEST:g} s to see whether this is a JSON schema"
    except (ValueError, TypeError, RecursionError) as exc:
        return f"the JSON schema is wrong: {exc}"


def _json_of(answer: str) -> Any:
    """Return the value that an answer is, or else its only code block, or the only one that says it is JSON.

    Raises ValueError.
    """
    text = _UNSEEN.sub("", answer.replace("\r\n", "\n").replace("\r", "\n"))
    problems: list[ValueError] = []
    for said in (text, *_blocks(text), *_blocks(_QUOTED.sub("", text))):
        try:
            return load_json(said)
        except ValueError as exc:
            problems.append(exc)
    raise problems[:2][-1]


def _blocks(text: str) -> Iterator[str]:
    """Yield the one code block of a text, in each way in which its end can be read."""
    for pattern in _FENCED:
        blocks = list(pattern.finditer(text, timeout=_LONGEST))
        if len(blocks) > 1:
            blocks = [one for one in blocks if one["language"].lower().startswith("json")]
        if len(blocks) == 1:
            yield blocks[0]["body"]


class _Worker:
    """The process that works with schemas, started when it is first needed. Used by one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._replies: SimpleQueue[str | None] = SimpleQueue()

    def asked(self, request: str) -> str:
        """Return the reply to one line. Raises TimeoutError when it takes too long: the process is ended."""
        with self._lock:
            process = self._started()
            assert process.stdin is not None
            try:
                process.stdin.write(request + "\n")
                process.stdin.flush()
                reply = self._replies.get(timeout=_LONGEST)
            except (Empty, OSError) as exc:
                self._end()
                raise TimeoutError from exc
            if reply is None:  # out of memory, say
                self._end()
                raise TimeoutError
            return reply

    def _started(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        # -P: the modules beside the worker's file are not to be taken for those of Python.
        self._process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-P", str(_WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        self._replies = SimpleQueue()
        threading.Thread(
            target=_read, args=(self._process, self._replies), name="json-schema", daemon=True
        ).start()
        try:
            ready = self._replies.get(timeout=_LONGEST_START)
        except Empty:
            ready = None
        if ready is None:
            self._end()
            raise TimeoutError
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            with contextlib.suppress(OSError):
                assert self._process.stdin is not None
                self._process.stdin.close()
            self._process = None

    def close(self) -> None:
        """End the process, when the program ends."""
        with contextlib.suppress(OSError):
            self._end()


def _read(process: subprocess.Popen[str], replies: SimpleQueue[str | None]) -> None:
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError), process.stdout:
        for line in process.stdout:
            replies.put(line.rstrip("\n"))
    replies.put(None)


_worker = _Worker()
_late: Counter[str] = Counter()  # how often each schema took too long
atexit.register(_worker.close)


def _asked(what: str, schema: str, value: str) -> str:
    reply = json.loads(_worker.asked(json.dumps([what, schema, value])))
    return str(reply)
