"""The rigs of the kind `huggingface`: chat, and text generation through either client, at a TGI endpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from chatlab.errors import BackendError, Unavailable
from chatlab.messages import Message
from tests.backends.rig import Call, ChatRequest, Fault, FrontRig
from tests.servers.llama import ENDLESS, SECOND, LlamaServer
from tests.servers.tgi import TgiServer

# A dialogue template such as StarChat's, with the tokens after which the tiny model gives its other answers.
TEMPLATE = f"""\
{{% for m in messages %}}<|{{{{ m.role }}}}|>
{{{{ m.content }}}}<|end|>
{{% endfor %}}{{% set last = messages[-1].content %}}\
{{% if '{ENDLESS}' in last %}}<|answer {ENDLESS}|>\
{{% elif '{SECOND}' in last %}}<|answer {SECOND}|>\
{{% else %}}<|assistant|>{{% endif %}}"""


def event(value: Mapping[str, Any]) -> str:
    """One server-sent event as TGI writes them."""
    return f"data:{json.dumps(value)}\n\n"


def chat_delta(text: str) -> str:
    """A chunk of TGI's chat route."""
    choice = {
        "index": 0,
        "delta": {"role": "assistant", "content": text},
        "logprobs": None,
        "finish_reason": None,
    }
    return event({"id": "", "created": 1, "model": "m", "system_fingerprint": "f", "choices": [choice]})


def token(index: int, text: str) -> str:
    """A chunk of TGI's text generation."""
    one = {"id": index, "text": text, "logprob": -0.1, "special": False}
    return event({"index": index, "token": one, "generated_text": None, "details": None})


class HuggingFaceChatRig(FrontRig):
    """Chat Completions at an endpoint."""

    kind = "huggingface"
    name = "huggingface-chat"
    path = "/v1/chat/completions"
    beginning = (chat_delta("Some"), chat_delta(" text"))
    # TGI says 422 of every failure of a chat that is being streamed.
    error = (
        event(
            {"error": {"message": "Request failed during generation: out of memory", "http_status_code": 422}}
        ),
        "data:[DONE]\n\n",
    )
    error_in_stream: type[BackendError] = Unavailable
    secrets = ("hf_conformance0123456789abcdef",)
    front: TgiServer

    def __init__(self, llama: LlamaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(llama, tmp_path, monkeypatch)
        monkeypatch.setenv("RIG_KEY", self.secrets[0])
        self.front._socket.close()  # of the front that is replaced; bound, though never started
        self.front = TgiServer(llama, max_total_tokens=4096)
        self.url = self.front.url

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        assert self.front.problems == []

    def options(self) -> dict[str, Any]:
        return {"endpoint": self.url, "token": {"env": "RIG_KEY"}, "extra_body": {"logprobs": False}}

    def parameters(self) -> dict[str, Any]:
        return {
            "temperature": 0.5,
            "top_p": 0.9,
            "max_tokens": 200,
            "seed": 5,
            "frequency_penalty": -0.25,
            "presence_penalty": 0.25,
            "stop": ["§§"],
        }

    def error_body(self, fault: Fault) -> Mapping[str, Any] | str:
        return {"error": f"upstream says {fault} {' '.join(self.secrets)}", "error_type": fault}

    def arrange(self, fault: Fault) -> None:
        if fault == "context_too_long":
            self.front.max_total_tokens = 16
        else:
            super().arrange(fault)

    def check_sent(self) -> None:
        (sent,) = self.sent()
        assert sent.method == "POST"
        assert sent.query == ""
        assert sent.headers["authorization"] == f"Bearer {self.secrets[0]}"
        assert sent.headers["content-type"] == "application/json"
        assert sent.json == self.body()

    def body(self) -> dict[str, Any]:
        """The whole JSON that is to go out."""
        return {
            "model": "dummy",  # what huggingface_hub calls the model of an endpoint
            "messages": [{"role": m.role, "content": m.text} for m in self.request().messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "logprobs": False,
            **self.parameters(),
        }


class HuggingFaceTextRig(HuggingFaceChatRig):
    """Text generation through huggingface_hub."""

    name = "huggingface-text"
    path = "/"
    beginning = (token(1, "Some"), token(2, " text"))
    error = (event({"error": "Request failed during generation: out of memory", "error_type": "generation"}),)
    client: ClassVar[str] = "hub"

    def options(self) -> dict[str, Any]:
        return {
            "endpoint": self.url,
            "token": {"env": "RIG_KEY"},
            "task": "text-generation",
            "client": self.client,
            "template": {"jinja": TEMPLATE},
            "stop": ["<|end|>"],
        }

    def parameters(self) -> dict[str, Any]:
        return {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 50,
            "typical_p": 0.95,
            "repetition_penalty": 1.01,
            "frequency_penalty": 0.01,
            "max_new_tokens": 200,
            "truncate": 3000,
            "seed": 5,
            "do_sample": True,
            "watermark": True,
            "stop": ["§§"],
        }

    def body(self) -> dict[str, Any]:
        return {
            "inputs": (
                "<|system|>\nAnswer\n  exactly.<|end|>\n<|user|>\nGrüße 👋\n\n\tand  spaces<|end|>\n"
                "<|assistant|>\n An earlier answer. <|end|>\n<|user|>\nAnd now?<|end|>\n<|assistant|>"
            ),
            "parameters": {**self.parameters(), "stop": ["§§", "<|end|>"], "details": True},
            "stream": True,
        }

    def call(self, word: str, number: int, text: str) -> Call:
        def check() -> None:
            (mine,) = [sent.json for sent in self.sent() if f"the {word} call" in sent.json["inputs"]]
            assert mine["parameters"]["seed"] == number

        messages = (Message.of("user", f"the {word} call"),)
        return Call(ChatRequest(messages, {"seed": number}), self.context(), text, check)


class HuggingFaceClientRig(HuggingFaceTextRig):
    """Text generation through the text-generation client, which says what was not set, too."""

    name = "huggingface-text-generation"
    client = "text-generation"
    needs = ("text_generation",)

    def body(self) -> dict[str, Any]:
        body = super().body()
        unset = {"best_of": None, "grammar": None, "top_n_tokens": None}
        off = {"decoder_input_details": False, "return_full_text": False}
        return {**body, "parameters": {**body["parameters"], **unset, **off}}


RIGS = (HuggingFaceChatRig, HuggingFaceTextRig, HuggingFaceClientRig)
