"""What a kind of backend must provide so that `test_conformance.py` can hold it to the common contract.

A kind's module `rig_<kind>.py` beside this one defines `RIGS`, a tuple of `Rig` classes: one for each way in
which the kind talks to its upstream (Chat Completions and Responses, say). Whoever speaks HTTP builds on
`FrontRig`; a kind without an upstream builds on `Rig` and says in `without` what does not exist for it.
"""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeAlias, get_args

import pytest

from chatlab.backend import Backend, CallContext, ChatRequest
from chatlab.errors import AuthenticationFailed, BackendError
from chatlab.messages import Message
from tests.servers.front import Front
from tests.servers.llama import ENDLESS, SECOND, LlamaServer

Fault: TypeAlias = Literal[
    "unauthenticated",  # 401
    "forbidden",  # 403
    "not_found",  # 404
    "rate_limited",  # 429, Retry-After: 7
    "bad_request",  # 400
    "context_too_long",  # as this upstream says it
    "server_error",  # 500
    "unavailable",  # 503, Retry-After: 3
    "refused",  # nobody listens
    "truncated",  # the stream ends after some text without saying that it ended; the HTTP body ends well
    "dropped",  # the connection breaks off in the middle of the stream
    "malformed",  # a chunk that is not JSON, after some text
    "error_in_stream",  # this upstream's error event, after some text
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
STATUS: Mapping[str, int] = {
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "rate_limited": 429,
    "bad_request": 400,
    "server_error": 500,
    "unavailable": 503,
}
HEADERS: Mapping[str, Mapping[str, str]] = {
    "rate_limited": {"retry-after": "7"},
    "unavailable": {"retry-after": "3"},
}


@dataclass(frozen=True, slots=True)
class Call:
    """One of several calls made at once: what is asked by whom, the text due, and what must have gone out.

    check: asserts that what the upstream saw carries this call's identity and parameters together, and
        nobody else's. Called after all calls have ended.
    """

    request: ChatRequest
    ctx: CallContext
    text: str
    check: Callable[[], None]


class Rig(ABC):
    """One way of one kind, with its upstream. A context manager; made anew for every test.

    kind: its name in `backends.KINDS`. name: what the tests are called after.
    without: what does not exist for this kind, with the reason: a fault, or "close" (no connection that
        could be closed), "silence" (it cannot be made to wait), "concurrency" (nothing differs between
        calls), "request" (nothing goes out), "deltas" (it answers whole), "marks" (nothing to mark).
    needs: modules without which this rig cannot run; its tests are skipped with that reason.
    marks: pytest marks of its tests, such as `pytest.mark.heavy`.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    without: ClassVar[Mapping[str, str]] = {}
    needs: ClassVar[tuple[str, ...]] = ()
    marks: ClassVar[tuple[pytest.MarkDecorator, ...]] = ()

    secrets: tuple[str, ...] = ()
    """Every credential that the rig puts into environment, files or context: none may show anywhere."""
    unauthenticated: ClassVar[type[BackendError]] = AuthenticationFailed
    """What "unauthenticated" is to be raised as."""

    error_in_stream: ClassVar[type[BackendError]] = BackendError
    """What "error_in_stream" is to be raised as."""

    def __init__(self, llama: LlamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.llama = llama
        self.tmp_path = tmp_path
        self.monkeypatch = monkeypatch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """The options as a YAML would have them, pointing at the rig's upstream."""

    def backend(self) -> Backend:
        """A backend with these options, made as the registry makes it."""
        from chatlab.config.registry import backend_class

        cls = backend_class(self.kind)
        options = cls.Options.model_validate(self.options())
        assert cls.not_ready(options) is None
        return cls(options)

    def context(self) -> CallContext:
        """The context of an ordinary call."""
        return CallContext()

    @property
    def text(self) -> str:
        """The exact text that answers `request`."""
        return self.llama.text

    def request(self) -> ChatRequest:
        """A conversation of several messages, with a system prompt and parameters if the kind takes them."""
        return ChatRequest(
            (
                Message.of("system", "Answer\n  exactly."),
                Message.of("user", "Grüße 👋\n\n\tand  spaces"),
                Message.of("assistant", " An earlier answer. "),
                Message.of("user", "And now?"),
            ),
            self.parameters(),
        )

    def parameters(self) -> dict[str, Any]:
        """As many of the kind's parameters as the upstream takes, with values that are not defaults."""
        return {}

    @abstractmethod
    def check_sent(self) -> None:
        """Asserts, field by field, what went out for `request`: body, method, path, credential header."""

    def endless(self) -> ChatRequest:
        """A request whose answer streams until the client leaves, slowly enough to be left."""
        return ChatRequest((Message.of("user", f"Tell it {ENDLESS}."),))

    @abstractmethod
    def arrange(self, fault: Fault) -> None:
        """Makes the next calls fail in this way. After "refused", `backend` gives one without an upstream."""

    async def saw_close(self, timeout: float) -> float:
        """Waits until the upstream has seen that the client left; the `time.perf_counter()` of that.

        Raises TimeoutError, and AssertionError if the answer had ended before.
        """
        raise NotImplementedError

    def silence(self) -> None:
        """Makes the upstream take the next call and never answer it."""
        raise NotImplementedError

    async def arrived(self, timeout: float) -> None:
        """Waits until the upstream has a call. Raises TimeoutError."""
        raise NotImplementedError

    def calls(self) -> list[Call]:
        """Two or more calls, to be made at once with one backend; they differ in all a call can carry."""
        raise NotImplementedError


class FrontRig(Rig):
    """A rig whose upstream is a `Front` before llama.cpp; the front speaks another dialect if need be.

    path: of the streaming call. beginning, malformed, error: pieces of this dialect's event stream.
    """

    path: ClassVar[str]
    beginning: ClassVar[tuple[str, ...]]
    """Pieces of a good stream that carry some text and no end."""
    malformed: ClassVar[tuple[str, ...]] = ("data: {not json\n\n",)
    error: ClassVar[tuple[str, ...]]
    """The dialect's error event."""
    distinct: ClassVar[str] = "seed"
    """A parameter that takes any small whole number, by which `calls` are told apart."""

    def __init__(self, llama: LlamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(llama, tmp_path, monkeypatch)
        self.front = Front(llama.url)
        self.url = self.front.url

    def __enter__(self) -> Self:
        self.front.__enter__()
        self.route()
        return self

    def __exit__(self, *_: object) -> None:
        self.front.__exit__()

    def route(self) -> None:
        """Sets up what the front answers itself; everything else goes to llama.cpp."""

    def error_body(self, fault: Fault) -> Mapping[str, Any] | str:
        """How this upstream words an error reply. It repeats the secrets, as careless upstreams do."""
        return {"error": {"message": f"upstream says {fault} {' '.join(self.secrets)}", "code": fault}}

    def context_too_long(self) -> tuple[int, Mapping[str, Any] | str]:
        """Status and body with which this upstream refuses a conversation that is too long."""
        message = "request (5004 tokens) exceeds the available context size (4096 tokens)"
        return 400, {"error": {"code": 400, "message": message, "type": "exceed_context_size_error"}}

    def arrange(self, fault: Fault) -> None:
        if fault in STATUS:
            self.front.fail(STATUS[fault], self.error_body(fault), HEADERS.get(fault), times=5)
        elif fault == "context_too_long":
            status, body = self.context_too_long()
            self.front.fail(status, body, times=5)
        elif fault == "refused":
            self.url = f"http://127.0.0.1:{unused_port()}"
        elif fault == "truncated":
            self.front.stream(self.path, self.beginning)
        elif fault == "dropped":
            self.front.stream(self.path, self.beginning, end="drop")
        elif fault == "malformed":
            self.front.stream(self.path, [*self.beginning, *self.malformed])
        elif fault == "error_in_stream":
            self.front.stream(self.path, [*self.beginning, *self.error])

    def endless(self) -> ChatRequest:
        self.front.delay = 0.005
        return super().endless()

    async def saw_close(self, timeout: float) -> float:
        seen = [request for request in self.front.requests if request.path == self.path][-1]
        if not await asyncio.to_thread(seen.closed.wait, timeout):
            assert not seen.answered.is_set(), "the answer had ended before the client left"
            raise TimeoutError(f"the upstream did not see the close within {timeout} s")
        assert seen.closed_at is not None
        return seen.closed_at

    def silence(self) -> None:
        self.front.hang()

    async def arrived(self, timeout: float) -> None:
        await self.front.wait_for(1, timeout)

    def sent(self) -> list[Any]:
        """The requests that went to `path`, in order."""
        return [request for request in self.front.requests if request.path == self.path]

    def calls(self) -> list[Call]:
        """Calls that differ in text, parameters and credential, as far as the kind has them."""
        return [self.call("first", 11, self.llama.text), self.call(SECOND, 22, self.llama.second)]

    def call(self, word: str, number: int, text: str) -> Call:
        """A call whose message holds `word` and whose `distinct` parameter must arrive together with it."""

        def check() -> None:
            mine = [sent for sent in self.sent() if word in str(sent.json)]
            assert len(mine) == 1
            assert mine[0].json[self.distinct] == number

        messages = (Message.of("user", f"the {word} call"),)
        return Call(ChatRequest(messages, {self.distinct: number}), self.context(), text, check)


def unused_port() -> int:
    """A port of 127.0.0.1 at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def rigs() -> list[type[Rig]]:
    """Every rig of every `rig_<kind>.py` beside this file."""
    folder = Path(__file__).parent
    found: list[type[Rig]] = []
    for module in sorted(info.name for info in pkgutil.iter_modules([str(folder)])):
        if module.startswith("rig_"):
            found.extend(importlib.import_module(f"{__package__}.{module}").RIGS)
    return found
