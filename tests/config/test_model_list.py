"""`models: discover`: one list for all who ask, and turns with none but the models that are listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatlab.config.model_list import ModelList
from chatlab.config.models import BackendConfig, Prices
from chatlab.config.registry import Backends, Entry, backend_class
from chatlab.errors import BackendError, ConfigError, Unavailable
from chatlab.messages import Message
from chatlab.turns.turn import run_turn
from tests.servers.front import Front
from tests.web.pages import chunks, says

CHAT = "/v1/chat/completions"


@pytest.fixture
def front() -> Iterator[Front]:
    async def models(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": "qwen3:8b"}, {"id": "org/gemma"}]})

    with Front() as running:
        running.on("GET", "/v1/models", models)
        running.on("POST", CHAT, says(chunks(["fine"])))
        yield running


def local(front: Front, **more: Any) -> Backends:
    cls = backend_class("openai")
    options = cls.Options.model_validate(
        {"model": "tiny", "base_url": f"{front.url}/v1", "models": "discover", **more}
    )
    prices = Prices(input=1, output=1)
    config = BackendConfig(kind="openai", label="Local", prices=prices, system="Be brief.", options=options)
    return Backends({"local": config})


@pytest.fixture
async def backends(front: Front) -> AsyncIterator[Backends]:
    made = local(front)
    yield made
    await made.aclose()


async def said(entry: Entry) -> str:
    async with run_turn(entry, [Message.of("user", "hello")]) as turn:
        async for _ in turn.batches():
            pass
        return turn.answer.message.text


def listing(front: Front) -> int:
    return len([one for one in front.requests if one.path == "/v1/models"])


async def test_a_listed_model_answers_with_all_that_its_entry_says_but_the_prices(
    front: Front, backends: Backends
) -> None:
    entry = backends.served()["local:qwen3:8b"]
    assert (entry.name, entry.label) == ("local:qwen3:8b", "Local · qwen3:8b")
    assert (entry.system, entry.config.prices) == ("Be brief.", None)
    assert await said(entry) == "fine" and front.last.json["model"] == "qwen3:8b"
    assert await said(backends["local"]) == "fine" and front.last.json["model"] == "tiny"
    assert "local:org/gemma" in backends.served() and "local:" not in backends.served()
    assert listing(front) == 1


async def test_a_model_that_is_not_listed_is_refused_before_it_is_asked(
    front: Front, backends: Backends
) -> None:
    served = backends.served()
    unknown = "local: the upstream does not know the model forged; it has org/"
    with pytest.raises(ConfigError, match=unknown) as one:
        await said(served["local:forged"])  # nobody had asked for the list yet
    assert one.value.sentence.startswith("Local: the upstream does not know the model forged")
    assert "local:forged" not in served
    with pytest.raises(ConfigError, match="does not know the model forged"):
        served["local:forged"]
    assert [one.path for one in front.requests] == ["/v1/models"]


async def test_without_discover_there_are_no_other_models(front: Front) -> None:
    backends = local(front, models=None)
    assert "local:qwen3:8b" not in backends.served()
    with pytest.raises(ConfigError, match="'local:qwen3:8b' is not a backend of this server"):
        backends.served()["local:qwen3:8b"]
    assert front.requests == []


async def test_a_server_that_is_away_is_said_and_not_asked_again_at_once(
    front: Front, backends: Backends
) -> None:
    front.fail(503, {"error": {"message": "loading"}}, times=2)
    model_list = backends["local"].model_list
    assert model_list is not None
    for _ in range(2):
        with pytest.raises(BackendError, match=r"local: .*loading") as failed:
            await model_list.names()
        assert failed.value.sentence.startswith("Local: ")
    with pytest.raises(BackendError, match="loading"):
        await said(backends.served()["local:qwen3:8b"])
    assert listing(front) == 1


async def test_all_who_ask_meanwhile_wait_for_one_call_and_one_who_leaves_ends_it_for_none() -> None:
    calls, go_on = [], asyncio.Event()

    async def ask() -> tuple[str, ...]:
        calls.append(1)
        await go_on.wait()
        return ("a",)

    model_list = ModelList("local", "Local", ask)
    asking = [asyncio.create_task(model_list.names()) for _ in range(3)]
    while not calls:
        await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.wait(asking[:1])
    go_on.set()
    assert await asyncio.gather(*asking[1:]) == [("a",), ("a",)]
    assert len(calls) == 1


async def test_a_server_that_takes_too_long_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatlab.config.model_list._LONGEST_WAIT", 0.01)

    async def ask() -> tuple[str, ...]:
        await asyncio.Event().wait()
        return ()

    with pytest.raises(Unavailable, match=r"local: the server did not list its models within 0\.01 s"):
        await ModelList("local", "Local", ask).names()
