"""The kind `openai`, against llama.cpp and, for faults, llmock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from llmock.pytest_plugin import LLMock
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from backends.openai import OpenAIBackend, OpenAIOptions
from chatlab.backend import CallContext, ChatRequest, Probe
from chatlab.config.registry import from_address
from chatlab.errors import (
    AuthenticationFailed,
    BackendError,
    BrokenStream,
    ContextTooLong,
    InvalidRequest,
    ModelNotFound,
    NotReady,
    RateLimited,
    Unavailable,
)
from chatlab.messages import (
    Accumulator,
    FilePart,
    Finish,
    Message,
    ReasoningPart,
    TextDelta,
    TextPart,
    ToolCall,
    Usage,
)
from chatlab.upstream import bodies
from tests import conftest
from tests.backends.rig_openai import delta, event
from tests.folded import accumulate
from tests.servers.front import Front
from tests.servers.llama import ENDLESS, THINKING, TOOL, LlamaServer

CHAT = "/v1/chat/completions"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
)

Make = Callable[..., OpenAIBackend]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes backends that are closed when the test ends."""
    made: list[OpenAIBackend] = []

    def build(**options: Any) -> OpenAIBackend:
        made.append(OpenAIBackend(OpenAIOptions.model_validate({"model": "table", **options})))
        return made[-1]

    yield build
    for backend in made:
        await backend.aclose()


def ask(text: str, **parameters: Any) -> ChatRequest:
    return ChatRequest((Message.of("user", text),), parameters)


async def answer(backend: OpenAIBackend, request: ChatRequest) -> Accumulator:
    return accumulate([event async for event in backend.stream(request, CallContext())])


async def failure(backend: OpenAIBackend, request: ChatRequest | None = None) -> BackendError:
    with pytest.raises(BackendError) as caught:
        await answer(backend, request or ask("hello"))
    return caught.value


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "why"),
        [
            ({}, "model is missing"),
            ({"model": "m", "api_key": "sk-literal-secret"}, "by reference"),
            ({"model": "m", "base_url": "127.0.0.1:8080/v1"}, "begins with http"),
            ({"model": "m", "base_url": "https://me:pw@example.org/v1"}, "holds no password"),
            ({"model": "m", "extra_body": {"stream": False}}, "chatlab's own"),
            ({"model": "m", "modle": "x"}, "Extra inputs"),
            ({"azure": {"endpoint": "x.openai.azure.com", "deployment": "d"}}, "begins with https://"),
            ({"azure": {"endpoint": "https://x", "deployment": "d"}, "base_url": "http://x"}, "exclude"),
        ],
    )
    def test_a_mistake_is_said_without_its_value(self, options: dict[str, Any], why: str) -> None:
        with pytest.raises(ValidationError) as caught:
            OpenAIOptions.model_validate(options)
        assert why in str(caught.value)
        assert "sk-literal-secret" not in str(caught.value)
        assert "pw" not in str(caught.value)

    @pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "api_key", "Cookie", "X-Auth-Token"])
    def test_a_header_that_holds_a_secret_is_given_by_reference(self, name: str) -> None:
        with pytest.raises(ValidationError, match=f"{name} is given by reference") as caught:
            OpenAIOptions.model_validate({"model": "m", "extra_headers": {name: "shapeless-0123"}})
        assert "shapeless" not in str(caught.value)
        OpenAIOptions.model_validate({"model": "m", "extra_headers": {name: {"env": "GATEWAY_KEY"}}})
        OpenAIOptions.model_validate({"model": "m", "extra_headers": {"X-Team": "blue", "X-Keyboard": "de"}})

    def test_an_address_needs_only_a_model_and_says_which_variable_is_missing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        entry = from_address("openai:gpt-5-mini")
        assert entry.not_ready == "set OPENAI_API_KEY"
        monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
        assert entry.not_ready is None

    def test_azure_has_a_variable_of_its_own(self) -> None:
        options = OpenAIOptions.model_validate({"azure": {"endpoint": "https://x", "deployment": "d"}})
        assert OpenAIBackend.not_ready(options) == "set AZURE_OPENAI_API_KEY"

    def test_another_server_needs_no_key(self) -> None:
        options = OpenAIOptions(model="m", base_url="http://127.0.0.1:1/v1")
        assert OpenAIBackend.not_ready(options) is None

    def test_what_is_known_of_openai_is_not_assumed_of_others(self) -> None:
        own = OpenAIBackend.capabilities(OpenAIOptions(model="m"))
        other = OpenAIBackend.capabilities(OpenAIOptions(model="m", base_url="http://127.0.0.1:1/v1"))
        said = OpenAIBackend.capabilities(
            OpenAIOptions(
                model="m",
                base_url="http://127.0.0.1:1/v1",
                images=True,
                files=True,
                audio=True,
                reasoning=True,
            )
        )
        assert {"image/png", "application/pdf"} <= set(own.files)
        assert other.files == ()
        assert {"image/png", "application/pdf", "audio/wav"} <= set(said.files)
        assert "reasoning_effort" in {parameter.name for parameter in own.parameters}
        assert "reasoning_effort" not in {parameter.name for parameter in other.parameters}
        assert "reasoning_effort" in {parameter.name for parameter in said.parameters}
        assert "top_k" not in {parameter.name for parameter in own.parameters}

    def test_responses_has_no_parameters_that_only_chat_has(self) -> None:
        names = {
            p.name for p in OpenAIBackend.capabilities(OpenAIOptions(model="m", api="responses")).parameters
        }
        assert "max_tokens" in names
        assert not {"seed", "stop", "presence_penalty"} & names


class TestKeys:
    async def test_no_key_and_no_account_goes_to_another_server(
        self, front: Front, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
            monkeypatch.setenv(name, "sk-meant-for-openai-alone")
        monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway: sk-meant-for-openai-alone")
        backend = make(base_url=f"{front.url}/v1")
        await answer(backend, ask("hello"))
        await backend.probe(CallContext())
        assert len(front.requests) == 2
        for sent in front.requests:
            assert "authorization" not in sent.headers
            assert "sk-meant-for-openai-alone" not in str(sent.headers)

    async def test_an_account_that_is_named_is_sent(self, front: Front, make: Make) -> None:
        await answer(make(base_url=f"{front.url}/v1", organization="org-1", project="proj-2"), ask("hello"))
        sent = front.last.headers
        assert (sent["openai-organization"], sent["openai-project"]) == ("org-1", "proj-2")
        assert sent["user-agent"].startswith("chatlab/")

    async def test_a_variable_cannot_send_the_key_elsewhere(
        self, front: Front, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
        monkeypatch.setenv("OPENAI_BASE_URL", f"{front.url}/v1")
        with pytest.raises(conftest.NetworkRefused, match=r"api\.openai\.com"):
            await answer(make(), ask("hello"))
        conftest._refused.clear()
        assert front.requests == []

    async def test_a_key_that_was_changed_is_the_one_sent(
        self, front: Front, make: Make, tmp_path: Path
    ) -> None:
        path = tmp_path / "key"
        path.write_text("first-key\n")
        backend = make(base_url=f"{front.url}/v1", api_key={"file": str(path)})
        await answer(backend, ask("hello"))
        path.write_text("second-key\n")
        await answer(backend, ask("hello"))
        sent = [request.headers["authorization"] for request in front.requests]
        assert sent == ["Bearer first-key", "Bearer second-key"]

    async def test_a_key_that_is_gone_is_said_before_anything_is_sent(
        self, front: Front, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOME_KEY", "sk-0123456789")
        backend = make(base_url=f"{front.url}/v1", api_key={"env": "SOME_KEY"})
        monkeypatch.delenv("SOME_KEY")
        with pytest.raises(NotReady, match="set SOME_KEY"):
            await answer(backend, ask("hello"))
        assert front.requests == []

    async def test_a_key_is_not_carried_along_a_redirect(
        self, front: Front, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOME_KEY", "sk-0123456789")
        with Front() as elsewhere:
            front.fail(307, "", {"location": f"{elsewhere.url}/v1/chat/completions"})
            error = await failure(make(base_url=f"{front.url}/v1", api_key={"env": "SOME_KEY"}))
            assert elsewhere.requests == []
        assert type(error) is ModelNotFound
        assert "redirects to" in str(error)


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("2024-06-01", "max_tokens"),
        ("2024-08-01-preview", "max_tokens"),
        ("2024-10-21", "max_completion_tokens"),
        ("preview", "max_completion_tokens"),
        (None, "max_completion_tokens"),
    ],
)
async def test_old_versions_of_azure_get_the_old_name_of_the_limit(
    front: Front, make: Make, monkeypatch: pytest.MonkeyPatch, version: str | None, name: str
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-key-0123")
    chunks = [delta("Hello"), event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})]
    front.stream("/openai/v1/chat/completions", chunks)
    front.stream("/openai/deployments/my-gpt/chat/completions", chunks)
    azure = {"endpoint": front.url, "deployment": "my-gpt", "api_version": version}
    await answer(make(model=None, azure=azure), ask("hi", max_tokens=9))
    assert {key: value for key, value in front.last.json.items() if "max_" in key} == {name: 9}


class TestAzure:
    @pytest.fixture
    def azure(self, front: Front, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-key-0123")
        chunks = [delta("Hello"), event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})]
        front.stream("/openai/v1/chat/completions", chunks)
        front.stream("/openai/deployments/my-gpt/chat/completions", chunks)
        done = event({"type": "response.completed", "response": {"output": []}})
        front.stream("/openai/v1/responses", [done])
        front.stream("/openai/responses", [done])
        return {"endpoint": front.url, "deployment": "my-gpt"}

    async def test_the_v1_api(self, front: Front, make: Make, azure: dict[str, str]) -> None:
        await answer(make(model=None, azure=azure), ask("hi", max_tokens=9, temperature=0.5))
        assert (front.last.path, front.last.query) == ("/openai/v1/chat/completions", "")
        assert front.last.headers["api-key"] == "azure-key-0123"
        assert "authorization" not in front.last.headers
        assert front.last.json == {
            "model": "my-gpt",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.5,
            "max_completion_tokens": 9,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

    async def test_a_dated_version(self, front: Front, make: Make, azure: dict[str, str]) -> None:
        backend = make(model=None, azure={**azure, "api_version": "2024-10-21"})
        await answer(backend, ask("hi"))
        assert front.last.path == "/openai/deployments/my-gpt/chat/completions"
        assert front.last.query == "api-version=2024-10-21"
        assert front.last.headers["api-key"] == "azure-key-0123"

    @pytest.mark.parametrize(
        ("version", "path", "query"),
        [
            (None, "/openai/v1/responses", ""),
            ("2025-03-01-preview", "/openai/responses", "api-version=2025-03-01-preview"),
        ],
    )
    async def test_responses(
        self, front: Front, make: Make, azure: dict[str, str], version: str | None, path: str, query: str
    ) -> None:
        await answer(make(model=None, api="responses", azure={**azure, "api_version": version}), ask("hi"))
        assert (front.last.path, front.last.query) == (path, query)
        assert front.last.json["model"] == "my-gpt"

    async def test_a_probe_knows_that_it_is_there_but_no_deployments(
        self, front: Front, make: Make, azure: dict[str, str]
    ) -> None:
        async def models(_: Request) -> Response:
            return JSONResponse({"data": [{"id": "gpt-5"}]})

        front.on("GET", "/openai/models", models).on("GET", "/openai/v1/models", models)
        for version in (None, "2024-10-21"):
            backend = make(model=None, azure={**azure, "api_version": version})
            assert await backend.probe(CallContext()) == Probe(reachable=True)
        assert [request.path for request in front.requests] == ["/openai/v1/models", "/openai/models"]
        assert front.last.headers["api-key"] == "azure-key-0123"
        assert front.last.query == "api-version=2024-10-21"


class TestFiles:
    message = Message(
        "user",
        (
            TextPart("What is this?"),
            FilePart("image/png", "dot.png", data=PNG),
            FilePart("application/pdf", "a.pdf", data=b"%PDF-1.4"),
        ),
    )

    async def test_images_and_files_go_out_in_chat_completions(self, front: Front, make: Make) -> None:
        front.stream(CHAT, [event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})])
        await answer(make(base_url=f"{front.url}/v1"), ChatRequest((self.message,)))
        text, image, file = front.last.json["messages"][0]["content"]
        assert text == {"type": "text", "text": "What is this?"}
        assert image["type"] == "image_url"
        assert image["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")
        assert file == {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQ="},
        }

    async def test_images_and_files_go_out_in_responses(self, front: Front, make: Make) -> None:
        front.stream("/v1/responses", [event({"type": "response.completed", "response": {"output": []}})])
        await answer(make(base_url=f"{front.url}/v1", api="responses"), ChatRequest((self.message,)))
        text, image, file = front.last.json["input"][0]["content"]
        assert text == {"type": "input_text", "text": "What is this?"}
        assert image["type"] == "input_image"
        assert image["image_url"].startswith("data:image/png;base64,iVBORw0KGgo")
        assert file == {
            "type": "input_file",
            "filename": "a.pdf",
            "file_data": "data:application/pdf;base64,JVBERi0xLjQ=",
        }


@pytest.mark.parametrize("api", ["chat", "responses"])
class TestLlama:
    """What a real server answers, by both protocols."""

    async def test_usage_is_what_the_server_counted(self, llama: LlamaServer, make: Make, api: str) -> None:
        backend = make(base_url=llama.base_url, api=api, extra_body={"cache_prompt": False})
        given = await answer(backend, ask("hello", max_tokens=7))
        assert given.finish is not None
        # llama.cpp calls a response that was cut off "completed".
        assert given.finish.reason == ("length" if api == "chat" else "stop")
        assert given.finish.model == "table"
        assert given.finish.usage == Usage(input=9, output=7, cached=0)
        assert llama.text.startswith(given.message.text)

    async def test_a_thought_is_reasoning(self, llama: LlamaServer, make: Make, api: str) -> None:
        given = await answer(make(base_url=llama.base_url, api=api), ask(THINKING))
        assert given.message.parts == (ReasoningPart(llama.thought), TextPart(llama.text))

    async def test_a_thought_in_tags_is_split_off_or_left(
        self, llama: LlamaServer, make: Make, api: str
    ) -> None:
        raw = {"base_url": llama.base_url, "api": api, "extra_body": {"reasoning_format": "none"}}
        left = await answer(make(**raw), ask(THINKING))
        split = await answer(make(**raw, think_tags="split"), ask(THINKING))
        assert left.message.parts == (TextPart(f"<think>{llama.thought}</think>{llama.text}"),)
        assert split.message.parts == (ReasoningPart(llama.thought), TextPart(llama.text))

    async def test_a_tool_is_called_with_valid_arguments(
        self, llama: LlamaServer, make: Make, api: str
    ) -> None:
        function = {"name": "weather", "description": "The weather.", "parameters": SCHEMA}
        tool = (
            {"type": "function", "function": function} if api == "chat" else {"type": "function", **function}
        )
        request = ask(f"use the {TOOL}", tools=[tool], max_tokens=300)
        given = await answer(make(base_url=llama.base_url, api=api), request)
        (call,) = given.message.parts
        assert isinstance(call, ToolCall)
        assert call.name == "weather"
        assert call.id
        assert llama.text.startswith(json.loads(call.arguments)["city"])
        assert given.finish is not None
        assert given.finish.reason == "tool_calls"

    async def test_a_conversation_that_is_too_long_is_said_to_be(
        self, llama: LlamaServer, make: Make, api: str
    ) -> None:
        error = await failure(make(base_url=llama.base_url, api=api), ask("x" * (llama.slot_context + 1)))
        assert type(error) is ContextTooLong
        assert error.status == 400
        assert error.advice == "start a new conversation or shorten this one"

    async def test_leaving_stops_the_generation_itself(
        self, llama: LlamaServer, make: Make, api: str
    ) -> None:
        stream = make(base_url=llama.base_url, api=api).stream(ask(ENDLESS), CallContext())
        async with httpx2.AsyncClient() as client:

            async def busy() -> bool:
                slots = (await client.get(f"{llama.url}/slots")).json()
                return any(slot["is_processing"] for slot in slots)

            async for item in stream:
                if isinstance(item, TextDelta):
                    break
            assert await busy()
            await stream.aclose()  # type: ignore[attr-defined]
            async with asyncio.timeout(5):
                while await busy():
                    await asyncio.sleep(0.01)


async def test_an_answer_fits_a_json_schema(llama: LlamaServer, make: Make) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    given = await answer(make(base_url=llama.base_url), ask("hello", response_format=form, max_tokens=300))
    assert list(json.loads(given.message.text)) == ["city"]


class TestTraps:
    """What the SDK lets pass for success."""

    async def streamed(self, front: Front, make: Make, *pieces: str) -> Accumulator:
        front.stream(CHAT, pieces)
        return await answer(make(base_url=f"{front.url}/v1"), ask("hello"))

    async def test_a_stream_without_done_but_with_a_finish_reason_is_whole(
        self, front: Front, make: Make
    ) -> None:
        end = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        given = await self.streamed(front, make, delta("Yes"), end)
        assert given.message.text == "Yes"
        assert given.finish == Finish("stop", Usage(), "m")

    async def test_the_last_chunk_counts_even_without_its_empty_line(self, front: Front, make: Make) -> None:
        end = event({"choices": [{"index": 0, "delta": {"content": "!"}, "finish_reason": "stop"}]})
        given = await self.streamed(front, make, delta("Yes"), end.rstrip("\n"))
        assert given.message.text == "Yes!"

    @pytest.mark.parametrize(
        "pieces",
        [
            (),
            ("data: [DONE]\n\n",),
            (delta("a"),),
            (delta("a"), 'data: {"choices": [{"index": 0, "del'),
            (": keep-alive\n\n",),
        ],
    )
    async def test_an_answer_without_an_end_is_broken(
        self, front: Front, make: Make, pieces: tuple[str, ...]
    ) -> None:
        with pytest.raises(BrokenStream):
            await self.streamed(front, make, *pieces)

    @pytest.mark.parametrize(
        "chunk",
        [
            {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "later"},
            {"type": "error", "error": {"type": "overloaded_error", "message": "later"}},
            {"error": {"code": 503, "message": "later"}},
        ],
    )
    async def test_an_error_among_the_chunks_is_raised(
        self, front: Front, make: Make, chunk: dict[str, Any]
    ) -> None:
        with pytest.raises(Unavailable, match="later") as caught:
            await self.streamed(front, make, delta("a"), event(chunk), delta("b"))
        assert caught.value.status == 503

    async def test_a_web_page_with_status_200_is_no_answer(self, front: Front, make: Make) -> None:
        page = "<!doctype html><title>Sign in</title>"
        front.fail(200, page, {"content-type": "text/html"})
        error = await failure(make(base_url=f"{front.url}/v1"))
        assert type(error) is BrokenStream
        assert "a web page: Sign in" in str(error)
        front.fail(200, page, {"content-type": "text/event-stream"})
        assert "web page" in str(await failure(make(base_url=f"{front.url}/v1")))

    async def test_an_error_with_status_200_is_an_error(self, front: Front, make: Make) -> None:
        front.fail(200, {"error": {"code": "rate_limit_exceeded", "message": "later"}})
        assert type(await failure(make(base_url=f"{front.url}/v1"))) is RateLimited

    @pytest.mark.parametrize("goes_on", [True, False])
    async def test_an_error_whose_body_does_not_end_is_an_error_soon(
        self, front: Front, make: Make, monkeypatch: pytest.MonkeyPatch, goes_on: bool
    ) -> None:
        monkeypatch.setattr(bodies, "_ERROR_SECONDS", 10.0 if goes_on else 0.1)

        async def pieces() -> AsyncIterator[bytes]:
            yield b"the disk is full "
            while goes_on:
                yield b"x" * 2**16
                await asyncio.sleep(0)
            await asyncio.Event().wait()

        async def handler(_: Request) -> Response:
            return StreamingResponse(pieces(), 507)

        front.on("POST", "/v1/chat/completions", handler)
        async with asyncio.timeout(20):
            error = await failure(make(base_url=f"{front.url}/v1"))
        assert (type(error), error.status) == (Unavailable, 507)
        assert "the disk is full" in str(error)
        assert await asyncio.to_thread(front.last.closed.wait, 10)

    async def test_an_answer_that_came_whole_is_taken_and_said_to_be(self, front: Front, make: Make) -> None:
        message = {"role": "assistant", "content": "Yes"}
        front.fail(200, {"model": "m", "choices": [{"message": message, "finish_reason": "stop"}]})
        given = await answer(make(base_url=f"{front.url}/v1"), ask("hello"))
        assert given.message.text == "Yes"
        assert [notice.kind for notice in given.notices] == ["not_streamed"]

    async def test_a_server_that_refuses_stream_options_is_asked_without_them(
        self, front: Front, make: Make
    ) -> None:
        refusal = {"error": {"message": "Unrecognized request argument: stream_options"}}
        front.fail(400, refusal)
        backend = make(base_url=f"{front.url}/v1")
        first = await answer(backend, ask("hello"))
        second = await answer(backend, ask("hello"))
        assert first.message == second.message
        assert ["stream_options" in request.json for request in front.requests] == [True, False, False]
        front.fail(400, refusal, times=2)
        assert type(await failure(backend)) is InvalidRequest
        assert len(front.requests) == 4

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda detail: {"detail": detail},
            lambda detail: {
                "object": "error",
                "message": {"detail": detail},
                "type": "invalid_request_error",
            },
            lambda detail: {"error": {"message": detail}},
        ],
        ids=["fastapi", "mistral", "nested"],
    )
    async def test_a_422_that_names_an_option_of_ours_is_understood_in_every_shape(
        self, front: Front, make: Make, wrap: Callable[[Any], Any]
    ) -> None:
        loc = ["body", "stream_options", "include_usage"]
        front.fail(
            422, wrap([{"type": "extra_forbidden", "loc": loc, "msg": "Extra inputs are not permitted"}])
        )
        backend = make(base_url=f"{front.url}/v1")
        given = await answer(backend, ask("hello"))
        assert [notice.detail for notice in given.notices] == [
            "the server refuses stream_options, asked again without it: token counts may be missing"
        ]
        assert (await answer(backend, ask("hello"))).notices == []  # said once
        assert ["stream_options" in request.json for request in front.requests] == [True, False, False]

    async def test_a_refusal_of_something_else_that_repeats_the_request_leaves_nothing_out(
        self, front: Front, make: Make
    ) -> None:
        sent = {"stream_options": {"include_usage": True}, "temperature": 9}
        detail = [{"loc": ["body", "temperature"], "msg": "Input should be at most 2", "input": sent}]
        front.fail(422, {"detail": detail})
        backend = make(base_url=f"{front.url}/v1")
        assert "body.temperature: Input should be at most 2" in str(await failure(backend))
        assert len(front.requests) == 1

    async def test_what_was_answered_is_not_asked_again(self, front: Front, make: Make) -> None:
        refusal = {"error": {"message": "stream_options is not supported", "code": 400}}
        front.stream(CHAT, [delta("Hello"), event(refusal)])
        assert (await failure(make(base_url=f"{front.url}/v1"))).status == 400
        assert len(front.requests) == 1

    async def test_a_server_that_cannot_stream_is_asked_for_the_whole_answer(
        self, front: Front, make: Make
    ) -> None:
        front.fail(400, {"error": {"message": "stream is not supported by this model", "param": "stream"}})
        message = {"role": "assistant", "content": "Yes"}
        front.fail(200, {"model": "m", "choices": [{"message": message, "finish_reason": "stop"}]})
        given = await answer(make(base_url=f"{front.url}/v1"), ask("hello"))
        assert given.message.text == "Yes"
        assert [request.json["stream"] for request in front.requests] == [True, False]

    @pytest.mark.parametrize(
        "sentence",
        [
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens: Extra inputs are not permitted",
        ],
    )
    async def test_a_limit_goes_by_its_other_name_where_the_first_is_refused(
        self, front: Front, make: Make, sentence: str
    ) -> None:
        front.fail(400, {"error": {"message": sentence, "param": "max_tokens"}})
        backend = make(base_url=f"{front.url}/v1")
        given = await answer(backend, ask("hello", max_tokens=200))
        assert given.notices == []
        assert [request.json.get("max_tokens") for request in front.requests] == [200, None]
        assert front.last.json["max_completion_tokens"] == 200

    async def test_a_limit_that_is_too_high_stays_refused(self, front: Front, make: Make) -> None:
        front.fail(400, {"error": {"message": "max_tokens is too large: 200. At most 100 are supported."}})
        error = await failure(make(base_url=f"{front.url}/v1"), ask("hello", max_tokens=200))
        assert "max_tokens is too large" in str(error)
        assert len(front.requests) == 1

    async def test_a_query_of_the_base_url_stands_behind_the_route_of_each_call(
        self, front: Front, make: Make
    ) -> None:
        backend = make(base_url=f"{front.url}/v1?api-version=2024-10-21&x=ab")
        await answer(backend, ask("hello"))
        assert (front.last.path, front.last.query) == (
            "/v1/chat/completions",
            "api-version=2024-10-21&x=ab",
        )
        await backend.probe(CallContext())
        assert (front.last.path, front.last.query) == ("/v1/models", "api-version=2024-10-21&x=ab")

    @pytest.mark.parametrize("route", ["/chat/completions", "/responses/", "/chat/completions?x=ab"])
    async def test_a_route_at_the_end_of_the_base_url_is_not_doubled(
        self, front: Front, make: Make, route: str
    ) -> None:
        backend = make(base_url=f"{front.url}/v1{route}")
        await answer(backend, ask("hello"))
        assert (front.last.path, front.last.query) == ("/v1/chat/completions", route.partition("?")[2])
        await backend.probe(CallContext())
        assert front.last.path == "/v1/models"

    async def test_nothing_is_tried_twice(self, front: Front, make: Make) -> None:
        front.fail(503, {"error": {"message": "later"}}, {"retry-after": "0.01"}, times=3)
        error = await failure(make(base_url=f"{front.url}/v1"))
        assert (error.retryable, error.retry_after) == (True, 0.01)
        assert len(front.requests) == 1

    async def test_turns_share_a_connection(self, front: Front, make: Make) -> None:
        backend = make(base_url=f"{front.url}/v1")
        for _ in range(3):
            await answer(backend, ask("hello"))
        assert len({request.port for request in front.requests}) == 1


class TestProbe:
    async def test_a_model_is_known_or_not(self, llama: LlamaServer, make: Make) -> None:
        known = await make(base_url=llama.base_url).probe(CallContext())
        unknown = await make(base_url=llama.base_url, model="other").probe(CallContext())
        assert known == Probe(reachable=True, model_known=True)
        assert (unknown.reachable, unknown.model_known) == (True, False)
        assert unknown.detail == f"the upstream does not know the model other; it has {llama.model}"

    async def test_a_server_without_a_list_is_reachable_all_the_same(self, front: Front, make: Make) -> None:
        front.fail(404, "no")
        found = await make(base_url=f"{front.url}/v1").probe(CallContext())
        assert (found.reachable, found.model_known) == (True, None)

    async def test_a_refused_key_is_raised(self, front: Front, make: Make) -> None:
        front.fail(401, {"error": {"message": "no"}})
        with pytest.raises(AuthenticationFailed):
            await make(base_url=f"{front.url}/v1").probe(CallContext())

    async def test_a_page_that_is_no_list_is_raised(self, front: Front, make: Make) -> None:
        front.fail(200, "<html>", {"content-type": "text/html"})
        with pytest.raises(BrokenStream):
            await make(base_url=f"{front.url}/v1").probe(CallContext())


class TestLlmock:
    """A second server of the protocol, with faults of its own making."""

    @pytest.fixture
    def backend(self, llmock: LLMock, make: Make) -> OpenAIBackend:
        return make(
            base_url=llmock.base_url("openai"), api_key={"env": "OPENAI_API_KEY"}, model="gpt-4o-mini"
        )

    async def test_an_answer(self, llmock: LLMock, backend: OpenAIBackend) -> None:
        llmock.reply("An answer of seven or so words.")
        given = await answer(backend, ask("hello", seed=3))
        assert given.message.text == "An answer of seven or so words."
        assert given.finish is not None
        assert given.finish.usage.output

    async def test_a_tool_call(self, llmock: LLMock, backend: OpenAIBackend) -> None:
        llmock.call_tool("weather", {"city": "Paris"})
        function = {"name": "weather", "parameters": SCHEMA}
        given = await answer(backend, ask("hello", tools=[{"type": "function", "function": function}]))
        (call,) = (part for part in given.message.parts if isinstance(part, ToolCall))
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Paris"})

    async def test_a_rate_limit(self, llmock: LLMock, backend: OpenAIBackend) -> None:
        llmock.rate_limit(retry_after=2)
        error = await failure(backend)
        assert (type(error), error.status, error.retry_after) == (RateLimited, 429, 2.0)

    async def test_an_outage(self, llmock: LLMock, backend: OpenAIBackend) -> None:
        llmock.outage()
        error = await failure(backend)
        assert (type(error), error.status, error.retryable) == (Unavailable, 503, True)
        assert len(llmock.requests) == 1

    async def test_a_context_overflow(self, llmock: LLMock, backend: OpenAIBackend) -> None:
        llmock.context_overflow()
        assert type(await failure(backend)) is ContextTooLong

    @pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
    async def test_a_broken_stream(self, llmock: LLMock, backend: OpenAIBackend, fault: str) -> None:
        llmock.reply("An answer of seven or so words.")
        getattr(llmock, fault)(after_chunks=2)
        assert type(await failure(backend)) is BrokenStream
