"""The rigs of the kind `openai`: llama.cpp speaks both protocols itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from chatlab.errors import Unavailable
from tests.backends.rig import FrontRig
from tests.servers.llama import LlamaServer

MESSAGES = [
    {"role": "system", "content": "Answer\n  exactly."},
    {"role": "user", "content": "Grüße 👋\n\n\tand  spaces"},
    {"role": "assistant", "content": " An earlier answer. "},
    {"role": "user", "content": "And now?"},
]


def event(chunk: object) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(chunk)}\n\n"


def delta(text: str) -> str:
    """A chunk of Chat Completions that carries this text."""
    return event({"model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


class OpenAIChatRig(FrontRig):
    """Chat Completions."""

    kind = "openai"
    name = "openai-chat"
    api = "chat"
    path = "/v1/chat/completions"
    beginning: ClassVar[tuple[str, ...]] = (delta("Some"), delta(" text"))
    error = (event({"error": {"message": "the GPU is on fire", "code": "server_error"}}),)
    error_in_stream = Unavailable
    secrets = ("sk-conformance-0123456789abcdef", "plain spoken team token")

    def __init__(self, llama: LlamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(llama, tmp_path, monkeypatch)
        monkeypatch.setenv("RIG_KEY", self.secrets[0])
        self.token_file = tmp_path / "token"
        self.token_file.write_text(self.secrets[1] + "\n")

    def options(self) -> dict[str, Any]:
        return {
            "model": "table",
            "base_url": f"{self.url}/v1",
            "api_key": {"env": "RIG_KEY"},
            "api": self.api,
            "organization": "org-1",
            "extra_headers": {"X-Team": {"file": str(self.token_file)}, "X-Plain": "yes"},
            "extra_body": {"cache_prompt": False},
        }

    def parameters(self) -> dict[str, Any]:
        return {
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 200,
            "stop": ["§§"],
            "seed": 5,
            "presence_penalty": 0.25,
            "frequency_penalty": -0.25,
            "response_format": {"type": "text"},
            "top_k": 30,
            "min_p": 0.125,
            "repetition_penalty": 1.0,
        }

    def check_sent(self) -> None:
        (sent,) = self.sent()
        assert sent.method == "POST"
        assert sent.query == ""
        assert sent.headers["authorization"] == f"Bearer {self.secrets[0]}"
        assert sent.headers["x-team"] == self.secrets[1]
        assert sent.headers["x-plain"] == "yes"
        assert sent.headers["openai-organization"] == "org-1"
        assert "openai-project" not in sent.headers
        assert sent.headers["content-type"] == "application/json"
        assert sent.json == self.body()

    def body(self) -> dict[str, Any]:
        """The whole JSON that is to go out."""
        return {
            "model": "table",
            "messages": MESSAGES,
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": False,
            **self.parameters(),
        }


class OpenAIResponsesRig(OpenAIChatRig):
    """The Responses API."""

    name = "openai-responses"
    api = "responses"
    path = "/v1/responses"
    beginning = (
        event({"type": "response.created", "response": {"id": "r", "model": "m", "status": "in_progress"}}),
        event({"type": "response.output_text.delta", "delta": "Some"}),
        event({"type": "response.output_text.delta", "delta": " text"}),
    )
    error = (event({"type": "error", "code": "server_error", "message": "the GPU is on fire"}),)
    distinct = "top_p"

    def parameters(self) -> dict[str, Any]:
        return {"temperature": 0.5, "top_p": 0.9, "max_tokens": 200}

    def body(self) -> dict[str, Any]:
        return {
            "model": "table",
            "input": [{"type": "message", **message} for message in MESSAGES],
            "stream": True,
            "store": False,
            "cache_prompt": False,
            "temperature": 0.5,
            "top_p": 0.9,
            "max_output_tokens": 200,
        }


RIGS = (OpenAIChatRig, OpenAIResponsesRig)
