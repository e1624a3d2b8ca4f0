"""The rig of the kind `echo`, which has no upstream: it is its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from chatlab.backend import CallContext, ChatRequest
from chatlab.messages import Message
from tests.backends.rig import FAULTS, Call, Fault, Rig

_NO_HTTP = "it speaks no protocol that could break this way"
_ERRORS = {
    "unauthenticated": {"error": "authentication_failed"},
    "forbidden": {"error": "permission_denied"},
    "not_found": {"error": "model_not_found"},
    "rate_limited": {"error": "rate_limited", "retry_after": 7},
    "bad_request": {"error": "invalid_request"},
    "context_too_long": {"error": "context_too_long"},
    "server_error": {"error": "unavailable", "status": 500},
    "unavailable": {"error": "unavailable", "retry_after": 3},
    "truncated": {"error": "broken_stream", "after": 1},
}


class EchoRig(Rig):
    kind = "echo"
    name = "echo"
    without: ClassVar[Mapping[str, str]] = {
        **{fault: _NO_HTTP for fault in FAULTS if fault not in _ERRORS},
        "close": "there is no connection to close",
        "silence": "there is no upstream that could be silent",
        "request": "nothing goes out anywhere",
        "marks": "it has neither credentials nor a connection",
    }

    fail: dict[str, Any] | None = None

    def options(self) -> dict[str, Any]:
        return {"rate": 500, **({"fail": self.fail} if self.fail else {})}

    @property
    def text(self) -> str:
        return self.llama.text

    def request(self) -> ChatRequest:
        return ChatRequest((Message.of("user", "before"), Message.of("user", self.text)))

    def check_sent(self) -> None:
        raise AssertionError("nothing goes out")

    def arrange(self, fault: Fault) -> None:
        self.fail = _ERRORS[fault]

    def calls(self) -> list[Call]:
        return [
            Call(ChatRequest((Message.of("user", text),)), CallContext(identity=text), text, lambda: None)
            for text in (self.llama.text, self.llama.second, "  a third ")
        ]


RIGS = (EchoRig,)
