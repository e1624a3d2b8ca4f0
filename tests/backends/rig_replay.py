"""The rig of the kind `replay`: its upstream is a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from chatlab.backend import CallContext, ChatRequest
from chatlab.errors import BackendError, Unavailable
from chatlab.messages import Finish, Message, TextDelta, Usage
from chatlab.recording.format import Failure, Header, Writer
from tests.backends.rig import FAULTS, Call, Fault, Rig
from tests.servers.llama import SECOND

_FAILURES: dict[Fault, Failure] = {
    "unauthenticated": Failure(0.0, "AuthenticationFailed", "no", 401),
    "forbidden": Failure(0.0, "PermissionDenied", "no", 403),
    "not_found": Failure(0.0, "ModelNotFound", "no", 404),
    "bad_request": Failure(0.0, "InvalidRequest", "no", 400),
    "context_too_long": Failure(0.0, "ContextTooLong", "too long", 400),
    "server_error": Failure(0.0, "Unavailable", "down", 500),
    "dropped": Failure(0.02, "BrokenStream", "the connection broke"),
    "error_in_stream": Failure(0.02, "Unavailable", "the GPU is on fire"),
}


class ReplayRig(Rig):
    kind = "replay"
    name = "replay"
    error_in_stream: type[BackendError] = Unavailable
    without: ClassVar[Mapping[str, str]] = {
        **{
            fault: "a recorded failure comes again each time, so it is never worth a retry"
            for fault in FAULTS
            if fault not in _FAILURES and fault != "truncated"
        },
        "close": "there is no connection to close",
        "silence": "there is no upstream that could be silent",
        "request": "nothing goes out anywhere",
        "marks": "it has neither credentials nor a connection",
    }
    fault: Fault | None = None

    def options(self) -> dict[str, Any]:
        path = self.tmp_path / f"{self.fault or 'good'}.jsonl"
        with path.open("w", encoding="utf-8") as out:
            writer = Writer(out, Header(kind="openai", model="table"))
            for asked, text in (("And now?", self.llama.text), (SECOND, self.llama.second)):
                writer.begin([Message.of("user", asked)])
                cut = re.findall(r"\s*\S+", text)
                at = 0.01
                for piece in cut:
                    writer.event(at, TextDelta(piece))
                    at += 0.0005
                if self.fault is None:
                    writer.event(at, Finish("stop", Usage(3, len(cut)), "table"))
                failure = _FAILURES.get(self.fault) if self.fault else None
                if failure is not None:
                    failure = Failure(
                        max(failure.at, at),
                        failure.error,
                        failure.detail,
                        failure.status,
                        failure.retry_after,
                    )
                writer.end(failure=failure)
        return {"recording": str(path)}

    def check_sent(self) -> None:
        raise AssertionError("nothing goes out")

    def arrange(self, fault: Fault) -> None:
        self.fault = fault

    def calls(self) -> list[Call]:
        return [
            Call(ChatRequest((Message.of("user", asked),)), CallContext(identity=asked), text, lambda: None)
            for asked, text in (("And now?", self.llama.text), (SECOND, self.llama.second))
        ]


RIGS = (ReplayRig,)
