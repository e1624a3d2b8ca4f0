"""A server that speaks the text-generation-inference (TGI) protocol, held to that server's own OpenAPI file.

Every request and everything it answers is checked against tests/data/tgi-openapi.json (3.3.6-dev0);
`problems` holds what did not fit. What it writes comes from a real llama.cpp, so no answer is canned. How it
behaves beyond the description follows TGI's router (router/src/server.rs, validation.rs, infer/mod.rs):
failures of a stream are events of a response with status 200; on the chat route they all are
`{"error": {"message", "http_status_code": 422}}`; a stop sequence ends the answer when the text ends with it,
and is part of it.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from tests.servers.front import Front
from tests.servers.llama import LlamaServer
from tests.servers.tgi_schema import problems_of

VERSION = "3.3.6-dev0"
_STATUS = {"generation": 424, "overloaded": 429, "validation": 422}


class Failure(Exception):
    """What the server says instead of an answer, or in the middle of one."""

    def __init__(self, error: str, error_type: str) -> None:
        super().__init__(error)
        self.error_type = error_type


def validation(sentence: str) -> Failure:
    """A request that the server refuses."""
    return Failure(f"Input validation error: {sentence}", "validation")


@dataclass(slots=True)
class _Run:
    """One answer while it is written."""

    prompt: list[int]
    parameters: Mapping[str, Any]
    count: int = 0
    text: str = ""
    tokens: list[dict[str, Any]] = field(default_factory=list)


class TgiServer(Front):
    """The server. A context manager, with everything a `Front` has.

    delay: seconds before each event. problems: requests and answers that do not fit the description; a test
    asserts that there are none.
    """

    max_stop_sequences = 4
    max_best_of = 2

    def __init__(self, llama: LlamaServer, *, max_total_tokens: int = 2048, delay: float = 0.0) -> None:
        super().__init__(None, delay=delay)
        self.llama = llama
        self.max_total_tokens = max_total_tokens
        self.problems: list[str] = []
        self._planned: list[tuple[int, Failure | Callable[[], Exception]]] = []
        self._routes_of_tgi()

    def break_after(self, tokens: int, failure: Failure | Callable[[], Exception]) -> None:
        """The next answer fails after so many tokens: with an event that says so, or as `front.drop` does."""
        self._planned.append((tokens, failure))

    def forget(self) -> None:
        """Drops what was recorded and what was planned, and keeps serving."""
        super().forget()
        self._planned.clear()
        self._routes_of_tgi()

    def _routes_of_tgi(self) -> None:
        self.on("POST", "/", self._generate)
        self.on("POST", "/generate_stream", self._generate)
        self.on("POST", "/v1/chat/completions", self._chat)
        self.on("GET", "/info", self._info)
        self.on("GET", "/health", self._health)
        self.on("GET", "/v1/models", self._models)

    def _checked(self, name: str, value: Any) -> Any:
        self.problems.extend(problems_of(name, value))
        return value

    # -- routes

    async def _info(self, _: Request) -> Response:
        info = {
            "model_id": "tests/table",
            "model_sha": None,
            "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": 128,
            "max_best_of": self.max_best_of,
            "max_stop_sequences": self.max_stop_sequences,
            "max_input_tokens": self.max_total_tokens - 1,
            "max_total_tokens": self.max_total_tokens,
            "validation_workers": 2,
            "max_client_batch_size": 4,
            "router": "text-generation-router",
            "version": VERSION,
            "sha": None,
            "docker_label": None,
        }
        return JSONResponse(self._checked("Info", info))

    async def _health(self, _: Request) -> Response:
        return Response()

    async def _models(self, _: Request) -> Response:
        model = {"id": "tests/table", "object": "model", "created": 0, "owned_by": "tests/table"}
        return JSONResponse({"object": "list", "data": [self._checked("ModelInfo", model)]})

    async def _generate(self, request: Request) -> Response:
        body = await request.json()
        compatible = request.url.path == "/"
        problems = problems_of(
            "CompatGenerateRequest" if compatible else "GenerateRequest", body, strict=True
        )
        if problems:
            self.problems.extend(problems)
            return PlainTextResponse(f"Failed to deserialize the JSON body: {problems}", 422)
        parameters = {
            name: value for name, value in (body.get("parameters") or {}).items() if value is not None
        }
        if compatible and not body.get("stream"):
            return await self._whole(body["inputs"], parameters)
        return _Events(self._stream(body["inputs"], parameters), self.delay)

    async def _chat(self, request: Request) -> Response:
        body = await request.json()
        problems = problems_of("ChatRequest", body, strict=True)
        if problems:
            self.problems.extend(problems)
            return PlainTextResponse(f"Failed to deserialize the JSON body: {problems}", 422)
        if not body.get("stream"):
            raise NotImplementedError("this server only streams a chat")
        return _Events(self._chat_stream(body), self.delay)

    # -- text generation

    async def _stream(self, inputs: str, parameters: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        try:
            if parameters.get("best_of", 1) != 1:
                raise validation("`best_of` != 1 is not supported when streaming tokens")
            if parameters.get("decoder_input_details"):
                raise validation("`decoder_input_details` == true is not supported when streaming tokens")
            run = await self._validated(inputs, parameters)
            async with aclosing(self._tokens(run)) as tokens:
                async for token, reason in tokens:
                    chunk = {
                        "index": run.count,
                        "token": token,
                        "generated_text": run.text if reason else None,
                        "details": self._details(run, reason)
                        if reason and parameters.get("details", True)
                        else None,
                    }
                    yield _event(self._checked("StreamResponse", chunk))
        except Failure as failure:
            said = {"error": str(failure), "error_type": failure.error_type}
            yield _event(self._checked("ErrorResponse", said))

    async def _whole(self, inputs: str, parameters: Mapping[str, Any]) -> Response:
        try:
            run = await self._validated(inputs, parameters)
            ended = None
            async with aclosing(self._tokens(run)) as tokens:
                async for token, reason in tokens:
                    run.tokens.append(token)
                    ended = reason
        except Failure as failure:
            said = {"error": str(failure), "error_type": failure.error_type}
            return JSONResponse(self._checked("ErrorResponse", said), _STATUS.get(failure.error_type, 500))
        details = {
            "finish_reason": ended,
            "generated_tokens": run.count,
            "seed": parameters.get("seed"),
            "prefill": [],
            "tokens": run.tokens,
        }
        answer = {
            "generated_text": run.text,
            **({"details": details} if parameters.get("details", True) else {}),
        }
        return JSONResponse([self._checked("GenerateResponse", answer)])

    @staticmethod
    def _details(run: _Run, reason: str) -> dict[str, Any]:
        return {
            "finish_reason": reason,
            "generated_tokens": run.count,
            "seed": run.parameters.get("seed"),
            "input_length": len(run.prompt),
        }

    async def _validated(self, inputs: str, parameters: Mapping[str, Any]) -> _Run:
        """What TGI checks (router/src/validation.rs), in its words."""
        given = parameters.get
        best_of = given("best_of", 1)
        if best_of > self.max_best_of:
            raise validation(f"`best_of` must be > 0 and <= {self.max_best_of}. Given: {best_of}")
        sampled = given("do_sample") or any(
            name in parameters for name in ("temperature", "top_k", "top_p", "typical_p")
        )
        if best_of > 1 and not sampled:
            raise validation("you must use sampling when `best_of` is > 1")
        if best_of > 1 and "seed" in parameters:
            raise validation("`seed` must not be set when `best_of` > 1")
        for name in ("top_p", "typical_p"):
            if name in parameters and not 0 < parameters[name] < 1:
                raise validation(f"`{name}` must be > 0.0 and < 1.0")
        if not -2 <= given("frequency_penalty", 0) <= 2:
            raise validation("`frequency_penalty` must be >= -2.0 and <= 2.0")
        if given("max_new_tokens") == 0:
            raise validation("`max_new_tokens` must be strictly positive")
        if len(given("stop", [])) > self.max_stop_sequences:
            many = len(parameters["stop"])
            raise validation(f"`stop` supports up to {self.max_stop_sequences} stop sequences. Given: {many}")
        if not inputs:
            raise validation("`inputs` cannot be empty")
        prompt = await self._tokenized(inputs)
        if "truncate" in parameters:
            prompt = prompt[-parameters["truncate"] :]
        new = given("max_new_tokens", min(1024, self.max_total_tokens - len(prompt)))
        if len(prompt) + new > self.max_total_tokens:
            raise validation(
                f"`inputs` tokens + `max_new_tokens` must be <= {self.max_total_tokens}. "
                f"Given: {len(prompt)} `inputs` tokens and {new} `max_new_tokens`"
            )
        return _Run(prompt, {**parameters, "max_new_tokens": new})

    async def _tokens(self, run: _Run) -> AsyncGenerator[tuple[dict[str, Any], str | None], None]:
        """Every token with, for the last one, why it is the last."""
        parameters = run.parameters
        breaks = self._planned.pop(0) if self._planned else None
        sampled = any(
            parameters.get(name) for name in ("do_sample", "temperature", "top_k", "top_p", "typical_p")
        )
        body: dict[str, Any] = {
            "prompt": run.prompt,
            "stream": True,
            "return_tokens": True,
            "n_probs": 1,
            "n_predict": parameters["max_new_tokens"],
            "temperature": parameters.get("temperature", 1.0) if sampled else 0.0,
            "cache_prompt": False,
        }
        renamed = {"repetition_penalty": "repeat_penalty"}
        for name in ("top_p", "top_k", "typical_p", "seed", "frequency_penalty", "repetition_penalty"):
            if name in parameters:
                body[renamed.get(name, name)] = parameters[name]
        grammar = parameters.get("grammar")
        if grammar is not None:
            if grammar["type"] == "regex":
                raise validation("grammar is not supported")
            schema = grammar["value"] if grammar["type"] == "json" else grammar["value"]["schema"]
            body["json_schema"] = json.loads(schema) if isinstance(schema, str) else schema
        stops = [re.compile(f"{re.escape(stop)}$") for stop in parameters.get("stop", [])]
        async with aclosing(self._upstream("/completion", body)) as events:
            async for event in events:
                for number in event["tokens"]:
                    if breaks is not None and run.count == breaks[0]:
                        raise breaks[1] if isinstance(breaks[1], Failure) else breaks[1]()
                    token = await self._token(number, event)
                    run.count += 1
                    run.text += "" if token["special"] else token["text"]
                    reason = None
                    if run.count >= parameters["max_new_tokens"]:
                        reason = "length"
                    elif number == 2:
                        reason = "eos_token"
                    elif any(stop.search(run.text) for stop in stops):
                        reason = "stop_sequence"
                    yield token, reason
                    if reason:
                        return
        raise Failure("Incomplete generation stream", "incomplete_generation_stream")

    async def _token(self, number: int, event: Mapping[str, Any]) -> dict[str, Any]:
        text, special = event["content"], False
        if not text:  # a control token, which llama.cpp does not show
            async with self._http() as http:
                reply = await http.post(f"{self.llama.url}/detokenize", json={"tokens": [number]})
            text, special = reply.json()["content"], True
        chances = event.get("completion_probabilities") or [{}]
        return {"id": number, "text": text, "logprob": chances[0].get("logprob", 0.0), "special": special}

    async def _tokenized(self, text: str) -> list[int]:
        async with self._http() as http:
            reply = await http.post(
                f"{self.llama.url}/tokenize",
                json={"content": text, "add_special": True, "parse_special": True},
            )
        tokens = reply.json()["tokens"]
        assert isinstance(tokens, list)
        return tokens

    # -- chat

    async def _chat_stream(self, body: Mapping[str, Any]) -> AsyncGenerator[str, None]:
        breaks = self._planned.pop(0) if self._planned else None
        kept = (
            "messages",
            "max_tokens",
            "temperature",
            "top_p",
            "seed",
            "frequency_penalty",
            "presence_penalty",
        )
        asked = {name: body[name] for name in kept if body.get(name) is not None}
        asked |= {"stream": True, "stream_options": {"include_usage": True}, "cache_prompt": False}
        common = {
            "id": "",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": "tests/table",
        }
        common["system_fingerprint"] = f"{VERSION}-native"
        stops = [re.compile(f"{re.escape(stop)}$") for stop in body.get("stop") or []]
        text, count = "", 0
        try:
            if not 0 < body.get("top_p", 0.5) < 1:
                raise validation("`top_p` must be > 0.0 and < 1.0")
            prompt = len(await self._tokenized(json.dumps(body["messages"])))
            if prompt >= self.max_total_tokens:
                raise validation(
                    f"`inputs` must have less than {self.max_total_tokens} tokens. Given: {prompt}"
                )
            async with aclosing(self._upstream("/v1/chat/completions", asked)) as events:
                async for event in events:
                    choice = event["choices"][0] if event["choices"] else None
                    if choice is None:
                        break
                    piece, reason = choice["delta"].get("content") or "", choice["finish_reason"]
                    if not piece and not reason:
                        continue
                    if breaks is not None and count == breaks[0]:
                        raise breaks[1] if isinstance(breaks[1], Failure) else breaks[1]()
                    count += 1
                    text += piece
                    if any(stop.search(text) for stop in stops):
                        reason = "stop"
                    delta = {"role": "assistant", "content": piece}
                    yield self._chat_chunk(common, [_choice(delta, reason)], None)
                    if reason:
                        break
            if (body.get("stream_options") or {}).get("include_usage"):
                usage = {"prompt_tokens": prompt, "completion_tokens": count, "total_tokens": prompt + count}
                yield self._chat_chunk(common, [], usage)
        except Failure as failure:
            yield _event({"error": {"message": str(failure), "http_status_code": 422}})
        yield "data:[DONE]\n\n"

    def _chat_chunk(self, common: Mapping[str, Any], choices: list[Any], usage: Any) -> str:
        return _event(self._checked("ChatCompletionChunk", {**common, "choices": choices, "usage": usage}))

    # -- llama.cpp behind it

    @staticmethod
    def _http() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(timeout=None, trust_env=False)

    async def _upstream(self, path: str, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        async with self._http() as http, http.stream("POST", f"{self.llama.url}{path}", json=body) as reply:
            if reply.status_code != 200:
                said = (await reply.aread()).decode()
                raise Failure(f"Request failed during generation: {said}", "generation")
            buffer = b""
            async for piece in reply.aiter_raw():
                *events, buffer = (buffer + piece).split(b"\n\n")
                for event in events:
                    payload = event.removeprefix(b"data: ")
                    if payload == b"[DONE]":
                        return
                    yield json.loads(payload)


def _choice(delta: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}


def _event(value: Any) -> str:
    return f"data:{json.dumps(value, ensure_ascii=False)}\n\n"


class _Events(Response):
    """Server-sent events. Unlike Starlette's own, it closes its source when the client has gone."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str, None], delay: float) -> None:
        super().__init__(b"")
        self.delay = delay
        del self.headers["content-length"]
        self.events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with aclosing(self.events) as events:
            async for event in events:
                await asyncio.sleep(self.delay)  # llama.cpp is so fast that nothing else had a turn otherwise
                await send({"type": "http.response.body", "body": event.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
