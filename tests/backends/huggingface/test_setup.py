"""What a Hugging Face backend is configured with, whom its token goes to, providers, and probes."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from backends.huggingface import HuggingFaceBackend
from backends.huggingface.calls import prepare
from backends.huggingface.options import is_hugging_face
from chatlab.backend import CallContext, ChatRequest
from chatlab.config.registry import from_address
from chatlab.errors import AuthenticationFailed, BackendError, ModelNotFound, Unavailable
from chatlab.messages import Finish, Message
from tests.backends.rig import unused_port
from tests.folded import accumulate
from tests.servers.front import Front
from tests.servers.llama import LlamaServer
from tests.servers.tgi import TgiServer

HAS_CLIENT = importlib.util.find_spec("text_generation") is not None
Options = HuggingFaceBackend.Options
TEXT = {"endpoint": "http://localhost:1", "task": "text-generation", "template": "chatml"}
TOKEN = "hf_setup0123456789"
HELLO = ChatRequest((Message.of("user", "Hello?"),))


@pytest.fixture
def tgi(llama: LlamaServer) -> Iterator[TgiServer]:
    with TgiServer(llama) as server:
        yield server
        assert server.problems == []


@pytest.fixture
async def made() -> AsyncIterator[Any]:
    backends: list[HuggingFaceBackend] = []

    def make(**options: Any) -> HuggingFaceBackend:
        backends.append(HuggingFaceBackend(Options.model_validate(options)))
        return backends[-1]

    yield make
    for backend in backends:
        await backend.aclose()


# -- options


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give a model id, or the URL of an endpoint"),
        ({"model": "https://a.example", "endpoint": "https://b.example"}, "keep one of them"),
        ({"endpoint": "https://a.example", "provider": "groq"}, "provider is for a model id"),
        ({"endpoint": "https://a.example", "bill_to": "org"}, "bill_to is for providers"),
        ({"endpoint": "https://me:pa55word@a.example"}, "endpoint holds a password"),
        ({"model": "org/m", "scale_up_timeout": 3}, "scale_up_timeout is for an endpoint"),
        ({"endpoint": "a.example"}, "should match pattern"),
        ({"model": "org/m", "template": "chatml"}, "template is for task text-generation"),
        (
            {"model": "org/m", "client": "text-generation"},
            "client text-generation is for task text-generation",
        ),
        ({**TEXT, "template": None}, "needs a template"),
        ({**TEXT, "endpoint": "http://localhost:1/v1/"}, "leave /v1 out"),
        ({**TEXT, "images": True}, "images is for task chat"),
        ({**TEXT, "takes_system": False}, "takes_system is for task chat"),
        ({**TEXT, "template": "no-such"}, "there are starchat, chatml"),
        ({**TEXT, "template": {"jinja": "{% if %}"}}, "not a Jinja template"),
        ({**TEXT, "endpoint": None, "model": "org/m", "provider": "groq"}, "hf-inference only"),
        ({"model": "org/m", "token": "hf_literal"}, "by reference"),
    ],
)
def test_options_that_do_not_fit_together_are_refused_with_one_sentence(options: Any, says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        Options.model_validate({name: value for name, value in options.items() if value is not None})
    assert "hf_literal" not in str(caught.value)
    assert "pa55word" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "model", "endpoint"),
    [
        ("huggingface:org/model", "org/model", None),
        ("huggingface:http://localhost:8080/", None, "http://localhost:8080/"),
    ],
)
def test_an_address_is_a_model_id_or_the_url_of_an_endpoint(
    address: str, model: str | None, endpoint: str | None
) -> None:
    options = from_address(address).config.options
    assert isinstance(options, Options)
    assert (options.model, options.endpoint, options.task) == (model, endpoint, "chat")


def test_a_model_of_a_provider_is_ready_once_there_is_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(model="org/model")
    assert HuggingFaceBackend.not_ready(options) == "set HF_TOKEN"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert HuggingFaceBackend.not_ready(options) is None


def test_an_endpoint_needs_a_token_only_where_one_was_named() -> None:
    assert HuggingFaceBackend.not_ready(Options(endpoint="http://localhost:1")) is None
    named = Options.model_validate({"endpoint": "http://localhost:1", "token": {"env": "MY_TOKEN"}})
    assert HuggingFaceBackend.not_ready(named) == "set MY_TOKEN"


def test_the_client_that_is_not_installed_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "text_generation" else real(name)
    )
    options = Options.model_validate({**TEXT, "client": "text-generation"})
    assert HuggingFaceBackend.not_ready(options) == (
        "the huggingface backend needs text_generation: pip install -e '.[tgi]'"
    )


def test_a_template_file_that_is_not_there_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    options = Options.model_validate({**TEXT, "template": {"tokenizer_config": str(tmp_path / "no.json")}})
    assert "no.json" in (HuggingFaceBackend.not_ready(options) or "")
    assert HuggingFaceBackend.capabilities(options).parameters


async def test_the_template_of_a_tokenizer_config_makes_the_prompt_and_its_stops(
    made: Any, tgi: TgiServer, tmp_path: Path, llama: LlamaServer
) -> None:
    turns = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    template = "{{ bos_token }}" + turns + "<|assistant|>"
    config = {"chat_template": template, "bos_token": "<s>", "eos_token": "</s>"}
    path = tmp_path / "tokenizer_config.json"
    path.write_text(json.dumps(config))
    backend = made(**{**TEXT, "endpoint": tgi.url, "template": {"tokenizer_config": str(path)}})
    answer = accumulate([event async for event in backend.stream(HELLO, CallContext())])
    # The server puts the token of the beginning there itself.
    assert tgi.last.json["inputs"] == "<|user|>Hello?<|end|><|assistant|>"
    assert tgi.last.json["parameters"]["stop"] == ["</s>", "<|end|>"]
    assert answer.message.text == llama.text


def test_a_template_without_a_place_for_it_leaves_the_system_prompt_to_be_folded() -> None:
    takes = Options.model_validate({**TEXT, "template": "chatml"})
    refuses = Options.model_validate(
        {
            **TEXT,
            "template": {"jinja": "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"},
        }
    )
    assert HuggingFaceBackend.capabilities(Options(model="org/m", takes_system=False)).system is False
    assert HuggingFaceBackend.capabilities(takes).system is True
    assert HuggingFaceBackend.capabilities(refuses).system is False


def test_the_parameters_of_the_protocol_are_all_there_with_its_ranges() -> None:
    options = Options.model_validate(TEXT)
    parameters = {
        parameter.name: parameter for parameter in HuggingFaceBackend.capabilities(options).parameters
    }
    assert set(parameters) == {
        "temperature", "top_p", "top_k", "typical_p", "repetition_penalty", "frequency_penalty",
        "max_new_tokens", "truncate", "seed", "do_sample", "watermark", "best_of", "grammar", "stop",
    }  # fmt: skip
    for name, bad in [
        ("temperature", 0),
        ("top_p", 1.1),
        ("top_k", 0),
        ("frequency_penalty", -3),
        ("seed", 0),
    ]:
        assert parameters[name].problem(bad) is not None
    assert parameters["frequency_penalty"].problem(-1.5) is None


def test_images_are_taken_where_the_configuration_says_so() -> None:
    assert HuggingFaceBackend.capabilities(Options(model="org/m")).files == ()
    assert HuggingFaceBackend.capabilities(Options(model="org/m", images=True)).files == ("image/*",)
    assert HuggingFaceBackend.capabilities(Options.model_validate(TEXT)).files == ()


# -- whom a token is sent to


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://router.huggingface.co/v1", True),
        ("https://huggingface.co", True),
        ("https://x.us-east-1.aws.endpoints.huggingface.cloud", True),
        ("https://HuggingFace.co.", True),
        ("http://router.huggingface.co", False),  # anybody on the way could read it
        ("https://huggingface.co.evil.example", False),
        ("https://evilhuggingface.co", False),
        ("https://huggingface.co@evil.example", False),
        ("https://evil.example/huggingface.co", False),
        ("https://someone-space.hf.space", False),  # somebody else's program
        ("http://localhost:8080", False),
    ],
)
def test_hugging_face_is_told_from_who_only_looks_like_it(url: str, own: bool) -> None:
    assert is_hugging_face(url) is own


def test_the_default_token_is_for_hugging_face_alone() -> None:
    own = Options(endpoint="https://x.endpoints.huggingface.cloud")
    foreign = Options(endpoint="https://evil.example")
    assert own.credential is not None
    assert own.credential.env == "HF_TOKEN"
    assert foreign.credential is None


async def test_a_login_on_this_machine_is_not_sent_to_an_endpoint(
    made: Any, tgi: TgiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.utils._auth as auth

    monkeypatch.setattr(auth, "get_token", lambda: TOKEN)
    for module in (
        "huggingface_hub.inference._providers._common",
        "huggingface_hub.inference._providers.hf_inference",
    ):
        monkeypatch.setattr(f"{module}.get_token", lambda: TOKEN)
    backend = made(endpoint=tgi.url)
    [event async for event in backend.stream(HELLO, CallContext())]
    assert TOKEN not in str(tgi.last)


async def test_a_default_token_that_is_none_of_hugging_face_goes_to_no_provider(
    made: Any, hub: TgiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "some-other-key")
    with pytest.raises(AuthenticationFailed, match="begins with hf_"):
        [event async for event in made(model="org/model", provider="together").stream(HELLO, CallContext())]
    assert hub.requests == []


async def test_a_providers_own_key_is_not_shown_to_the_hub(
    made: Any, hub: TgiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "key-of-together")
    backend = made(model="org/model", provider="together", token={"env": "MY_TOKEN"})
    found = await backend.probe(CallContext())
    assert (found.model_known, found.identity) == (True, None)
    assert all("key-of-together" not in str(seen.headers) for seen in hub.requests)


# -- providers, with the Hub and a provider played by one server


@pytest.fixture
def hub(tgi: TgiServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[TgiServer]:
    """The Hub's own API, and the route on which its router passes a provider's chat on."""
    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.inference._providers import _common

    async def model(request: Request) -> Response:
        entry = {"status": "live", "task": "conversational", "providerId": "Name-There"}
        return JSONResponse(
            {
                "id": "org/model",
                "inferenceProviderMapping": {"together": entry, "cohere": {**entry, "status": "off"}},
            }
        )

    async def whoami(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return JSONResponse({"error": "Invalid username or password."}, 401)
        return JSONResponse({"name": "somebody", "type": "user"})

    tgi.on("GET", "/api/models/org/model", model)
    tgi.on("GET", "/api/whoami-v2", whoami)
    tgi.on("POST", "/together/v1/chat/completions", tgi._chat)
    monkeypatch.setattr(constants, "ENDPOINT", tgi.url)
    monkeypatch.setattr(constants, "INFERENCE_PROXY_TEMPLATE", tgi.url + "/{provider}")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    _common._fetch_inference_provider_mapping.cache_clear()
    yield tgi
    _common._fetch_inference_provider_mapping.cache_clear()
    close = getattr(huggingface_hub, "close_session", None) or huggingface_hub.utils.reset_sessions
    close()


async def test_a_provider_is_asked_by_the_name_it_has_for_the_model_and_billed_as_said(
    made: Any, hub: TgiServer, llama: LlamaServer
) -> None:
    backend = made(model="org/model", provider="together", bill_to="my-org")
    answer = accumulate([event async for event in backend.stream(HELLO, CallContext())])
    assert answer.message.text == llama.text
    assert hub.last.path == "/together/v1/chat/completions"
    assert hub.last.headers["authorization"] == f"Bearer {TOKEN}"
    assert hub.last.headers["x-hf-bill-to"] == "my-org"
    assert hub.last.json["model"] == "Name-There"
    assert hub.last.json["messages"] == [{"role": "user", "content": "Hello?"}]


async def test_without_a_provider_hugging_face_chooses_one(hub: TgiServer) -> None:
    call = await prepare(
        "org/model", lambda client: client.chat_completion([], stream=True), provider="auto", token=TOKEN
    )
    # hub 2 leaves the choice to the router; 0.36 takes the first provider that the Hub names.
    assert (call.url, call.body["model"]) in [
        ("https://router.huggingface.co/v1/chat/completions", "org/model"),
        (f"{hub.url}/together/v1/chat/completions", "Name-There"),
    ]
    assert call.headers["authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize("provider", ["groq", "no-such-provider"])
async def test_a_provider_that_does_not_serve_the_model_is_said(
    made: Any, hub: TgiServer, provider: str
) -> None:
    backend = made(model="org/model", provider=provider)
    with pytest.raises(ModelNotFound, match=provider):
        [event async for event in backend.stream(HELLO, CallContext())]


async def test_text_generation_of_a_model_goes_to_hugging_faces_own_provider(
    made: Any, hub: TgiServer, llama: LlamaServer
) -> None:
    async def generate(request: Request) -> Response:
        request.scope["path"] = "/"
        return await hub._generate(Request(request.scope, request.receive))

    hub.on("POST", "/hf-inference/models/org/model", generate)
    backend = made(model="org/model", task="text-generation", template="starchat")
    answer = accumulate([event async for event in backend.stream(HELLO, CallContext())])
    assert answer.message.text == llama.text
    assert hub.last.headers["authorization"] == f"Bearer {TOKEN}"


# -- probes


async def test_a_probe_of_an_endpoint_says_what_it_serves_and_generates_nothing(
    made: Any, tgi: TgiServer
) -> None:
    for url in (tgi.url, f"{tgi.url}/v1", f"{tgi.url}/v1/chat/completions"):
        found = await made(endpoint=url).probe(CallContext())
        assert (found.reachable, found.model_known, found.identity) == (True, True, None)
        assert "tests/table" in found.detail
    assert {seen.path for seen in tgi.requests} == {"/info"}


async def test_a_probe_of_another_server_lists_its_models(made: Any, front: Front) -> None:
    found = await made(endpoint=front.url).probe(CallContext())  # llama.cpp knows no /info
    assert (found.reachable, found.model_known) == (True, True)
    assert "table" in found.detail


async def test_a_probe_of_nobody_is_an_error(made: Any) -> None:
    backend = made(endpoint=f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(Unavailable):
        await backend.probe(CallContext())


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationFailed), (503, Unavailable)])
async def test_a_probe_that_is_refused_says_why(
    made: Any, tgi: TgiServer, status: int, kind: type[BackendError]
) -> None:
    tgi.fail(status, {"error": "no"})
    with pytest.raises(kind):
        await made(endpoint=tgi.url).probe(CallContext())


async def test_a_token_given_for_an_endpoint_is_not_shown_to_the_hub(
    made: Any, hub: TgiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "endpoint-token")
    found = await made(endpoint=hub.url, token={"env": "MY_TOKEN"}).probe(CallContext())
    assert found.identity is None
    assert [(seen.path, seen.headers["authorization"]) for seen in hub.requests] == [
        ("/info", "Bearer endpoint-token")
    ]


@pytest.mark.parametrize(
    ("options", "known", "says"),
    [
        ({"model": "org/model"}, True, "served by together"),
        ({"model": "org/model", "provider": "together"}, True, "served by together"),
        ({"model": "org/model", "provider": "cohere"}, False, "cohere does not serve org/model; together do"),
        ({"model": "org/missing"}, False, "the Hub knows no model org/missing"),
    ],
)
async def test_a_probe_of_a_model_asks_the_hub_and_says_as_whom(
    made: Any, hub: TgiServer, options: Any, known: bool, says: str
) -> None:
    found = await made(**options).probe(CallContext())
    assert (found.reachable, found.model_known, found.identity) == (True, known, "somebody")
    assert says in found.detail


async def test_a_probe_with_a_token_that_is_no_longer_good_is_an_error(
    made: Any, hub: TgiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_revoked0000")
    with pytest.raises(AuthenticationFailed):
        await made(model="org/model").probe(CallContext())


async def test_a_query_of_an_endpoint_stands_behind_the_route_of_each_call(made: Any, front: Front) -> None:
    backend = made(endpoint=f"{front.url}/v1?version=2&x=y", model="table")
    events = [event async for event in backend.stream(HELLO, CallContext())]
    assert isinstance(events[-1], Finish)
    assert (front.last.path, front.last.query) == ("/v1/chat/completions", "version=2&x=y")
    await backend.probe(CallContext())
    assert (front.last.path, front.last.query) == ("/v1/models", "version=2&x=y")


def test_a_bundle_that_does_not_reach_the_look_up_of_a_model_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789")
    options = HuggingFaceBackend.Options.model_validate({"model": "org/model", "ca_bundle": certifi.where()})
    assert str(HuggingFaceBackend.not_ready(options)).startswith("set SSL_CERT_FILE instead of ca_bundle")
