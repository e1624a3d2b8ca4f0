"""The rigs of the kind `databricks`: a workspace that checks every credential, before llama.cpp."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from pydantic import SecretStr

from chatlab.backend import CallContext, ChatRequest
from chatlab.credentials import one_token
from chatlab.errors import BrokenStream, SignInRejected, Unavailable
from chatlab.messages import Message
from tests.backends.rig import HEADERS, STATUS, Call, Fault, FrontRig
from tests.servers.databricks import Gate, Workspace
from tests.servers.llama import SECOND, LlamaServer

MESSAGES = [
    {"role": "system", "content": "Answer\n  exactly."},
    {"role": "user", "content": "Grüße 👋\n\n\tand  spaces"},
    {"role": "assistant", "content": " An earlier answer. "},
    {"role": "user", "content": "And now?"},
]
CODES = {
    "unauthenticated": "UNAUTHENTICATED",
    "forbidden": "PERMISSION_DENIED",
    "not_found": "RESOURCE_DOES_NOT_EXIST",
    "rate_limited": "REQUEST_LIMIT_EXCEEDED",
    "bad_request": "BAD_REQUEST",
    "server_error": "INTERNAL_ERROR",
    "unavailable": "TEMPORARILY_UNAVAILABLE",
}


def event(chunk: object) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(chunk)}\n\n"


def chat_delta(text: str) -> str:
    """A chunk of Chat Completions."""
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


class DatabricksChatRig(FrontRig):
    """A chat model, by a personal access token."""

    kind = "databricks"
    name = "databricks-chat"
    task: ClassVar[str] = "chat"
    served: ClassVar[tuple[str | None, str]] = ("llm/v1/chat", "_chat")  # the task, who replies
    path = "/serving-endpoints/bot/invocations"
    beginning = (chat_delta("Some"), chat_delta(" text"))
    error = (event({"error_code": "INTERNAL_ERROR", "message": "the GPU is on fire"}),)
    error_in_stream = Unavailable
    distinct = "top_k"

    def __init__(self, llama: LlamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(llama, tmp_path, monkeypatch)
        self.workspace = Workspace(llama.url, self.front)
        monkeypatch.setattr(
            "backends.databricks.auth.SDK_TIMEOUT", 1
        )  # a workspace that is gone is soon known
        self.sign_up()

    def sign_up(self) -> None:
        """Makes the credential."""
        self.secrets = (self.workspace.person("ada"),)
        self.monkeypatch.setenv("RIG_TOKEN", self.secrets[0])

    def auth(self) -> dict[str, Any]:
        """The option `auth`."""
        return {"type": "pat", "token": {"env": "RIG_TOKEN"}}

    def __enter__(self) -> Self:
        self.workspace.__enter__()
        task, replier = self.served
        self.endpoint = self.workspace.serve("bot", task, getattr(self.workspace, replier))
        return self

    def __exit__(self, *exc: object) -> None:
        self.workspace.__exit__(*exc)

    def options(self) -> dict[str, Any]:
        return {"endpoint": "bot", "host": self.url, "auth": self.auth(), "task": self.task}

    def parameters(self) -> dict[str, Any]:
        return {"temperature": 0.5, "top_p": 0.9, "top_k": 30, "max_tokens": 200, "stop": ["§§"]}

    def authorization(self) -> str:
        """The header that must go out."""
        return f"Bearer {self.secrets[0]}"

    def check_sent(self) -> None:
        (sent,) = self.sent()
        assert sent.method == "POST"
        assert sent.query == ""
        assert sent.headers["authorization"] == self.authorization()
        assert sent.headers["content-type"] == "application/json"
        assert sent.json == self.body()

    def body(self) -> dict[str, Any]:
        """The whole JSON that is to go out."""
        return {"messages": MESSAGES, "stream": True, **self.parameters()}

    def error_body(self, fault: Fault) -> Mapping[str, Any] | str:
        message = f"the workspace says {fault} {' '.join(self.secrets)}"
        return {"error_code": CODES[fault], "message": message}

    def context_too_long(self) -> tuple[int, Mapping[str, Any] | str]:
        message = "Input tokens exceed the maximum context length of 4096 tokens"
        return 400, {"error_code": "BAD_REQUEST", "message": message}

    def arrange(self, fault: Fault) -> None:
        if fault in STATUS:
            self.endpoint.fail(STATUS[fault], self.error_body(fault), HEADERS.get(fault), times=5)
        elif fault == "context_too_long":
            self.endpoint.fail(*self.context_too_long(), times=5)
        else:
            super().arrange(fault)

    def endless(self) -> ChatRequest:
        self.workspace.delay = 0.005
        return super().endless()

    def silence(self) -> None:
        self.endpoint.reply = Gate(self.endpoint.reply)

    async def arrived(self, timeout: float) -> None:
        while not self.sent():
            await self.front.wait_for(len(self.front.requests) + 1, timeout)


class DatabricksPrincipalRig(DatabricksChatRig):
    """A chat model whose task is looked up, by a service principal."""

    name = "databricks-principal"
    task = "auto"

    def sign_up(self) -> None:
        self.secrets = (self.workspace.principal("robot-1"),)
        self.monkeypatch.setenv("RIG_ID", "robot-1")
        self.monkeypatch.setenv("RIG_SECRET", self.secrets[0])

    def auth(self) -> dict[str, Any]:
        return {"type": "oauth-m2m", "client_id": {"env": "RIG_ID"}, "client_secret": {"env": "RIG_SECRET"}}

    def authorization(self) -> str:
        return f"Bearer {self.workspace.issued[-1]}"


class DatabricksUserRig(DatabricksChatRig):
    """A chat model, as whoever is signed in: two people at once."""

    name = "databricks-user"
    unauthenticated = SignInRejected

    def sign_up(self) -> None:
        self.secrets = (self.workspace.person("ada"), self.workspace.person("bob"))

    def auth(self) -> dict[str, Any]:
        return {"type": "user"}

    def context(self) -> CallContext:
        return CallContext("ada", one_token(SecretStr(self.secrets[0])))

    def calls(self) -> list[Call]:
        return [
            self.as_person("first", 11, self.llama.text, "ada", self.secrets[0]),
            self.as_person(SECOND, 22, self.llama.second, "bob", self.secrets[1]),
        ]

    def as_person(self, word: str, number: int, text: str, identity: str, token: str) -> Call:
        """A call whose words, parameter and credential must arrive together."""
        made = self.call(word, number, text)

        def check() -> None:
            made.check()
            (mine,) = [sent for sent in self.sent() if word in str(sent.json)]
            assert mine.headers["authorization"] == f"Bearer {token}"

        return Call(made.request, CallContext(identity, one_token(SecretStr(token))), text, check)


class DatabricksAgentRig(DatabricksChatRig):
    """A ChatAgent."""

    name = "databricks-agent-chat"
    task = "agent_chat"
    served = ("agent/v2/chat", "chat_agent")
    beginning = (
        event({"id": "c", "delta": {"role": "assistant", "content": "Some", "id": "m"}}),
        event({"id": "c", "delta": {"role": "assistant", "content": " text", "id": "m"}}),
    )
    error = (event({"error": "the tool broke"}), "data: [DONE]\n\n")
    error_in_stream = BrokenStream

    def parameters(self) -> dict[str, Any]:
        return {}

    def body(self) -> dict[str, Any]:
        return {"messages": MESSAGES, "databricks_options": {"return_trace": True}, "stream": True}

    def call(self, word: str, number: int, text: str) -> Call:
        def check() -> None:
            assert len([sent for sent in self.sent() if word in str(sent.json)]) == 1

        request = ChatRequest((Message.of("user", f"the {word} call"),))
        return Call(request, self.context(), text, check)


class DatabricksResponsesRig(DatabricksAgentRig):
    """A ResponsesAgent."""

    name = "databricks-responses"
    task = "responses"
    served = ("agent/v1/responses", "responses_agent")
    beginning = (
        event({"type": "response.output_text.delta", "item_id": "m", "delta": "Some"}),
        event({"type": "response.output_text.delta", "item_id": "m", "delta": " text"}),
    )

    def body(self) -> dict[str, Any]:
        items = [{"type": "message", **message} for message in MESSAGES]
        return {"input": items, "databricks_options": {"return_trace": True}, "stream": True}

    def check_sent(self) -> None:
        super().check_sent()
        assert self.sent()[0].headers["x-mlflow-return-trace-id"] == "true"


class DatabricksLegacyRig(DatabricksAgentRig):
    """A chain of before the agent schemas."""

    name = "databricks-legacy"
    task = "legacy"
    served = (None, "old_chain")
    beginning = (chat_delta("Some"), chat_delta(" text"))

    def body(self) -> dict[str, Any]:
        return {"messages": MESSAGES, "stream": True}


RIGS = (
    DatabricksChatRig,
    DatabricksPrincipalRig,
    DatabricksUserRig,
    DatabricksAgentRig,
    DatabricksResponsesRig,
    DatabricksLegacyRig,
)
