"""The Hugging Face backend against a server held to TGI's own description, written by a real llama.cpp."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from backends.huggingface import HuggingFaceBackend
from chatlab.backend import CallContext, ChatRequest, Mark, current_call
from chatlab.errors import BrokenStream, InvalidRequest, Unavailable
from chatlab.messages import (
    Accumulator,
    Finish,
    Message,
    ReasoningPart,
    StreamEvent,
    TextDelta,
    TextPart,
    ToolCall,
    ToolResult,
    Usage,
)
from tests.folded import accumulate
from tests.servers.front import Front
from tests.servers.llama import LlamaServer
from tests.servers.tgi import TgiServer

HAS_CLIENT = importlib.util.find_spec("text_generation") is not None
needs_client = pytest.mark.skipif(not HAS_CLIENT, reason="needs the tgi extra")
CHAT: dict[str, Any] = {}
HUB: dict[str, Any] = {"task": "text-generation", "template": "starchat"}
CLIENT: dict[str, Any] = {**HUB, "client": "text-generation"}
TEXT = [pytest.param(HUB, id="hub"), pytest.param(CLIENT, id="client", marks=needs_client)]
ALL = [pytest.param(CHAT, id="chat"), *TEXT]

HELLO = (Message.of("system", "Be brief."), Message.of("user", "Hello?"))
# Answers for ever when asked to: the token after which the tiny model never ends, instead of the usual one.
ENDLESS_TEMPLATE = {"jinja": "{{ messages[-1].content }}…"}
FOREVER = (Message.of("user", "forever"),)


@pytest.fixture
def tgi(llama: LlamaServer) -> Iterator[TgiServer]:
    with TgiServer(llama) as server:
        yield server
        assert server.problems == []


@pytest.fixture
async def make(tgi: TgiServer) -> AsyncIterator[Any]:
    made: list[HuggingFaceBackend] = []

    def backend(**options: Any) -> HuggingFaceBackend:
        options = {"endpoint": tgi.url, **options}
        made.append(HuggingFaceBackend(HuggingFaceBackend.Options.model_validate(options)))
        return made[-1]

    yield backend
    for one in made:
        await one.aclose()


async def events_of(
    backend: HuggingFaceBackend,
    messages: tuple[Message, ...] = HELLO,
    ctx: CallContext | None = None,
    **parameters: Any,
) -> list[StreamEvent]:
    ctx = ctx or CallContext()
    current_call.set(ctx)
    return [event async for event in backend.stream(ChatRequest(messages, parameters), ctx)]


async def answer_of(backend: HuggingFaceBackend, *args: Any, **parameters: Any) -> Accumulator:
    return accumulate(await events_of(backend, *args, **parameters))


def kinds(answer: Accumulator) -> list[str]:
    return [notice.kind for notice in answer.notices]


# -- answers


@pytest.mark.parametrize("options", ALL)
async def test_an_answer_comes_token_by_token_and_is_exactly_what_the_model_wrote(
    options: Any, make: Any, llama: LlamaServer
) -> None:
    events = await events_of(make(**options))
    deltas = [event.text for event in events if isinstance(event, TextDelta)]
    assert "".join(deltas) == llama.text
    assert len(deltas) > 20
    assert [type(event) for event in events].count(Finish) == 1
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.reason == "stop"


@pytest.mark.parametrize("options", ALL)
async def test_an_answer_at_its_token_limit_ends_by_length_with_the_counts_of_the_server(
    options: Any, make: Any, llama: LlamaServer, tgi: TgiServer
) -> None:
    limit = "max_tokens" if options is CHAT else "max_new_tokens"
    answer = await answer_of(make(**options), **{limit: 3})
    assert answer.finish is not None
    assert answer.finish.reason == "length"
    assert answer.message.text
    assert llama.text.startswith(answer.message.text)
    if options != CHAT:
        prompt = await tgi._tokenized(tgi.last.json["inputs"])
        assert answer.finish.usage == Usage(input=len(prompt), output=3)
    else:
        assert answer.finish.usage.output is not None
        assert answer.finish.usage.input is not None


async def test_a_chat_names_the_model_that_answered(make: Any) -> None:
    answer = await answer_of(make())
    assert answer.finish is not None
    assert answer.finish.model == "tests/table"


# -- requests


async def test_a_chat_request_has_these_fields_and_no_others(make: Any, tgi: TgiServer) -> None:
    await events_of(
        make(stop=["never"]),
        temperature=0.5,
        top_p=0.9,
        max_tokens=7,
        seed=3,
        frequency_penalty=0.25,
        presence_penalty=-0.5,
    )
    assert (tgi.last.method, tgi.last.path) == ("POST", "/v1/chat/completions")
    assert tgi.last.json == {
        "model": "dummy",  # what huggingface_hub calls the model of an endpoint
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "stop": ["never"],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 3,
        "frequency_penalty": 0.25,
        "presence_penalty": -0.5,
    }


async def test_a_chat_request_can_carry_a_model_name_and_fields_of_its_own(make: Any, tgi: TgiServer) -> None:
    await events_of(make(model="org/model", extra_body={"logprobs": False}))
    assert tgi.last.json["model"] == "org/model"
    assert tgi.last.json["logprobs"] is False


PARAMETERS = {
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 40,
    "typical_p": 0.95,
    "repetition_penalty": 1.1,
    "frequency_penalty": 0.2,
    "max_new_tokens": 5,
    "truncate": 1000,
    "seed": 11,
    "do_sample": True,
    "watermark": True,
}
PROMPT = "<|system|>\nBe brief.<|end|>\n<|user|>\nHello?<|end|>\n<|assistant|>\n"


async def test_a_text_generation_request_of_hub_has_what_was_set_and_nothing_else(
    make: Any, tgi: TgiServer
) -> None:
    await events_of(make(**HUB), **PARAMETERS, stop=["zzz"])
    assert (tgi.last.method, tgi.last.path) == ("POST", "/")
    assert tgi.last.json == {
        "inputs": PROMPT,
        "parameters": {**PARAMETERS, "stop": ["zzz", "<|end|>"], "details": True},
        "stream": True,
    }


@needs_client
async def test_a_text_generation_request_of_the_client_says_the_same(make: Any, tgi: TgiServer) -> None:
    await events_of(make(**CLIENT), **PARAMETERS, stop=["zzz"])
    sent = tgi.last.json
    assert (tgi.last.method, tgi.last.path) == ("POST", "/")
    assert (sent["inputs"], sent["stream"]) == (PROMPT, True)
    given = {name: value for name, value in sent["parameters"].items() if value is not None}
    assert given == {
        **PARAMETERS,
        "stop": ["zzz", "<|end|>"],
        "details": True,
        "decoder_input_details": False,
        "return_full_text": False,
    }


@pytest.mark.parametrize("options", TEXT)
async def test_answers_are_not_cut_at_the_clients_twenty_tokens(
    options: Any, make: Any, tgi: TgiServer
) -> None:
    await events_of(make(**options))
    assert tgi.last.json["parameters"]["max_new_tokens"] == 1024


@pytest.mark.parametrize("options", TEXT)
async def test_a_probability_of_one_which_means_nothing_is_left_out_since_tgi_refuses_it(
    options: Any, make: Any, tgi: TgiServer
) -> None:
    await events_of(make(**options), top_p=1, typical_p=1.0)
    assert tgi.last.json["parameters"].get("top_p") is None
    assert tgi.last.json["parameters"].get("typical_p") is None


@pytest.mark.parametrize("kind", ["json", "json_schema"])
@pytest.mark.parametrize("options", TEXT)
async def test_a_grammar_shapes_the_answer(options: Any, kind: str, make: Any, tgi: TgiServer) -> None:
    schema = {"type": "object", "properties": {"ok": {"const": 1}}, "required": ["ok"]}
    value = schema if kind == "json" else {"name": "answer", "schema": schema}
    answer = await answer_of(make(**options), grammar={"type": kind, "value": value}, max_new_tokens=60)
    assert answer.message.text.lstrip().startswith("{")
    assert tgi.last.json["parameters"]["grammar"]["type"] == ("json" if options == CLIENT else kind)


@pytest.mark.parametrize("options", TEXT)
async def test_best_of_comes_whole_and_says_so(
    options: Any, make: Any, tgi: TgiServer, llama: LlamaServer
) -> None:
    answer = await answer_of(make(**options), best_of=2, temperature=0.01)
    assert tgi.last.json["parameters"]["best_of"] == 2
    assert tgi.last.json["stream"] is False
    assert answer.message.text == llama.text
    assert kinds(answer) == ["not_streamed"]
    assert answer.finish is not None
    assert answer.finish.usage.output is not None


@pytest.mark.parametrize("options", TEXT)
async def test_best_of_one_is_what_always_happens_and_streams(
    options: Any, make: Any, tgi: TgiServer
) -> None:
    answer = await answer_of(make(**options), best_of=1)
    assert tgi.last.json["stream"] is True
    assert kinds(answer) == []


async def test_a_prompt_that_was_truncated_is_said_to_be(make: Any) -> None:
    cut = await answer_of(make(**HUB), truncate=5)
    whole = await answer_of(make(**HUB), truncate=1000)
    assert (kinds(cut), kinds(whole)) == (["history_truncated"], [])
    assert cut.finish is not None
    assert cut.finish.usage.input == 5


async def test_control_markers_in_what_a_person_wrote_are_pointed_out(make: Any) -> None:
    answer = await answer_of(make(**HUB), (Message.of("user", "What is <|end|>?"),))
    assert [notice.detail for notice in answer.notices] == [
        "the conversation contains <|end|>, which this model takes as control"
    ]


async def test_tool_calls_of_earlier_answers_are_left_out_of_a_text_prompt_with_a_notice(
    make: Any, tgi: TgiServer
) -> None:
    used = Message("assistant", (ToolCall("1", "look", "{}"), ToolResult("1", "found")))
    answer = await answer_of(make(**HUB), (Message.of("user", "Look!"), used, *HELLO[1:]))
    assert kinds(answer) == ["other"]
    assert "found" not in tgi.last.json["inputs"]


# -- stop sequences and special tokens


def a_stop_over_three_tokens(text: str) -> str:
    start = text.index(" before noon")
    return text[start : start + len(" before noon,\n\n")]


@pytest.mark.parametrize("options", ALL)
async def test_a_stop_sequence_spread_over_tokens_never_shows(
    options: Any, make: Any, llama: LlamaServer
) -> None:
    stop = a_stop_over_three_tokens(llama.text)
    answer = await answer_of(make(**options), stop=[stop])
    assert answer.message.text == llama.text.partition(stop)[0]
    assert answer.finish is not None
    assert answer.finish.reason == "stop"


@pytest.mark.parametrize("options", ALL)
async def test_the_beginning_of_a_stop_sequence_that_does_not_come_is_shown_after_all(
    options: Any, make: Any, llama: LlamaServer
) -> None:
    middle = llama.text[: llama.text.index(" noon")][-4:] + "§"
    end = llama.text[-6:] + "§"
    answer = await answer_of(make(**options, stop=[middle, end]))
    assert answer.message.text == llama.text


@pytest.mark.parametrize("options", TEXT)
async def test_a_stop_sequence_that_the_server_overlooks_ends_the_answer_and_the_call(
    options: Any, make: Any, tgi: TgiServer
) -> None:
    # " never" is a token of the endless answer; TGI looks for stop sequences at the end of a token only.
    backend = make(**{**options, "template": ENDLESS_TEMPLATE}, stop=[" neve"])
    answer = await answer_of(backend, FOREVER)
    assert answer.message.text.endswith("a story that")
    assert answer.finish is not None
    assert answer.finish.reason == "stop"
    assert answer.finish.usage.input is None
    assert await asyncio.to_thread(tgi.last.closed.wait, 5)


@pytest.mark.parametrize("options", TEXT)
async def test_stop_sequences_beyond_the_four_a_server_takes_hold_all_the_same(
    options: Any, make: Any, tgi: TgiServer, llama: LlamaServer
) -> None:
    stop = a_stop_over_three_tokens(llama.text)
    answer = await answer_of(make(**options, stop=["§1", "§2", "§3", "§4", stop]))
    assert tgi.last.json["parameters"]["stop"] == ["§1", "§2", "§3", "§4"]
    assert answer.message.text == llama.text.partition(stop)[0]


@pytest.mark.parametrize("options", TEXT)
async def test_special_tokens_are_skipped_though_no_stop_sequence_names_them(
    options: Any, make: Any, tgi: TgiServer, llama: LlamaServer
) -> None:
    answer = await answer_of(make(**{**options, "template": {"jinja": "{{ messages[-1].content }}"}}))
    assert not tgi.last.json["parameters"].get("stop")
    assert answer.message.text == llama.text  # its last token is <|end|>, special


@pytest.mark.parametrize("options", ALL)
async def test_reasoning_between_tags_is_told_from_the_answer(
    options: Any, make: Any, llama: LlamaServer, front: Front
) -> None:
    if options is CHAT:  # llama.cpp would split it off itself, TGI does not
        pieces = ["<thi", "nk>First", " this.</thin", "k>\n\nAnd", " that."]
        chunks = [{"model": "m", "choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
        chunks.append({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        front.stream("/v1/chat/completions", [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks])
        answer = await answer_of(make(endpoint=front.url, think_tags="split"))
        assert answer.message.parts == (ReasoningPart("First this."), TextPart("And that."))
    else:
        thinks = {"jinja": "{{ messages[-1].content }}<|answer think|>"}
        answer = await answer_of(make(**{**options, "template": thinks}, think_tags="split"))
        assert answer.message.parts == (ReasoningPart(llama.thought), TextPart(llama.text))


# -- credentials


@pytest.mark.parametrize("options", ALL)
async def test_a_token_of_the_environment_is_not_sent_to_a_foreign_endpoint(
    options: Any, make: Any, tgi: TgiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_environment_token")
    await events_of(make(**options))
    assert "authorization" not in tgi.last.headers
    assert b"hf_environment_token" not in tgi.last.body


@pytest.mark.parametrize("options", ALL)
async def test_a_token_given_for_the_endpoint_is_sent_to_it(
    options: Any, make: Any, tgi: TgiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_environment_token")
    monkeypatch.setenv("ENDPOINT_TOKEN", "a-token-of-this-endpoint")
    backend = make(**options, token={"env": "ENDPOINT_TOKEN"}, scale_up_timeout=300)
    await events_of(backend)
    assert tgi.last.headers["x-scale-up-timeout"] == "300"
    assert tgi.last.headers["authorization"] == "Bearer a-token-of-this-endpoint"
    assert "a-token-of-this-endpoint" not in repr(backend) + repr(backend.options)


@pytest.mark.parametrize("options", ALL)
async def test_credentials_and_connection_are_marked(options: Any, make: Any) -> None:
    marks: list[Mark] = []
    await events_of(make(**options), HELLO, CallContext(mark=marks.append))
    assert marks == ["credentials", "connected"]


# -- leaving


@pytest.mark.parametrize("options", ALL)
async def test_an_answer_read_to_its_end_leaves_nothing_to_be_closed(
    options: Any, make: Any, tgi: TgiServer
) -> None:
    await events_of(make(**options))
    assert await asyncio.to_thread(tgi.last.answered.wait, 5)
    assert not tgi.last.closed.is_set()


@pytest.mark.parametrize("options", ALL)
async def test_calls_at_once_do_not_wait_for_each_other(options: Any, make: Any, llama: LlamaServer) -> None:
    backend = make(**options)
    answers = await asyncio.gather(*(answer_of(backend) for _ in range(4)))
    assert [answer.message.text for answer in answers] == [llama.text] * 4


# -- timeouts


@pytest.mark.parametrize("options", ALL)
async def test_a_connection_that_is_not_accepted_ends_at_the_connect_timeout(options: Any, make: Any) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        backend = make(**options, endpoint=f"http://127.0.0.1:{full.getsockname()[1]}")
        started = time.perf_counter()
        with pytest.raises(Unavailable) as caught:
            await events_of(backend, HELLO, CallContext(connect_timeout=0.3))
        assert caught.value.retryable
        assert 0.2 < time.perf_counter() - started < 3
        for one in waiting:
            one.close()


@pytest.mark.parametrize("options", ALL)
async def test_the_connect_timeout_does_not_bound_the_answer(options: Any, make: Any, tgi: TgiServer) -> None:
    async def slow(request: Request) -> Response:
        await asyncio.sleep(0.6)  # longer than the connection may take, and that is the point
        return await (tgi._chat if request.url.path.endswith("completions") else tgi._generate)(request)

    tgi.on("POST", "/", slow).on("POST", "/v1/chat/completions", slow)
    answer = await answer_of(make(**options), HELLO, CallContext(connect_timeout=0.3))
    assert answer.finish is not None


@needs_client
async def test_the_clients_ten_seconds_for_a_whole_answer_are_lifted(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import aiohttp

    seen: list[Any] = []
    real = aiohttp.ClientSession.__init__

    def watched(self: Any, *args: Any, **kwargs: Any) -> None:
        seen.append(kwargs["timeout"])
        real(self, *args, **kwargs)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", watched)
    await events_of(make(**CLIENT), HELLO, CallContext(connect_timeout=7))
    assert seen == [aiohttp.ClientTimeout(total=None, connect=7, sock_connect=None, sock_read=None)]


# -- other servers


async def test_a_chat_endpoint_that_answers_whole_is_understood_and_said_to_have(
    make: Any, front: Front
) -> None:
    async def whole(_: Request) -> Response:
        message = {"role": "assistant", "content": "All at once."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse(
            {"choices": [choice], "model": "m", "usage": {"prompt_tokens": 2, "completion_tokens": 3}}
        )

    front.on("POST", "/v1/chat/completions", whole)
    answer = await answer_of(make(endpoint=front.url))
    assert answer.message.text == "All at once."
    assert kinds(answer) == ["not_streamed"]
    assert answer.finish == Finish("stop", Usage(2, 3), "m")


async def test_a_line_separator_within_a_token_does_not_break_the_stream(make: Any, front: Front) -> None:
    # serde_json, which TGI writes with, leaves U+2028 as it is, and Python would end a line there.
    token = {"id": 1, "text": "a\u2028b\x0cc", "logprob": 0, "special": False}
    details = {"finish_reason": "eos_token", "generated_tokens": 1, "input_length": 1, "seed": None}
    chunk = {"index": 1, "token": token, "generated_text": "a", "details": details}
    front.stream("/", [f"data:{json.dumps(chunk, ensure_ascii=False)}\n\n"])
    answer = await answer_of(make(**HUB, endpoint=front.url))
    assert answer.message.text == "a\u2028b\x0cc"


async def test_an_endpoint_that_speaks_another_protocol_is_told_from_an_answer(
    make: Any, front: Front
) -> None:
    front.stream("/", ['data: {"choices": [{"text": "x"}]}\n\n'])
    with pytest.raises(BrokenStream, match="does not speak the text generation protocol"):
        await events_of(make(**HUB, endpoint=front.url))


@needs_client
@pytest.mark.parametrize(
    "parameters", [{"frequency_penalty": -0.5}, {"grammar": {"type": "other", "value": "x"}}]
)
async def test_what_the_client_refuses_by_itself_is_a_request_error(make: Any, parameters: Any) -> None:
    with pytest.raises(InvalidRequest):
        await events_of(make(**CLIENT), **parameters)


# -- imports


def test_options_and_capabilities_need_no_client_library() -> None:
    code = (
        "import sys; from backends.huggingface import HuggingFaceBackend as B\n"
        "o = B.Options(endpoint='http://localhost:1', task='text-generation', template='chatml')\n"
        "assert B.capabilities(o).parameters and B.not_ready(o) is None\n"
        "loaded = {'huggingface_hub', 'text_generation', 'aiohttp', 'httpx', 'httpx2'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
