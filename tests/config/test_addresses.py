"""Backends by address: remembered as long as they are used, not for ever."""

from __future__ import annotations

import pytest

from chatlab.config.models import BackendConfig
from chatlab.config.registry import Backends, backend_class
from chatlab.errors import ConfigError
from chatlab.messages import Message
from chatlab.turns.turn import run_turn


async def test_addresses_are_forgotten_and_closed_but_not_while_they_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-nothing")
    backends = Backends({}, most=3)
    used = backends["echo:"]
    async with run_turn(used, [Message.of("user", "hello")]) as turn:
        for number in range(10):
            forgotten = backends[f"openai:model-{number}"]
            forgotten.backend()
        assert backends["echo:"] is used
        async for _ in turn.batches():
            pass
    for number in range(10, 20):
        assert backends[f"openai:model-{number}"] is backends[f"openai:model-{number}"]
    assert backends["openai:model-9"] is not forgotten
    await backends.aclose()
    assert not forgotten.made, "it was closed when it was forgotten"


def test_what_visitors_may_use_is_what_the_configuration_names() -> None:
    echo = backend_class("echo")
    backends = Backends({"mine": BackendConfig(kind="echo", options=echo.Options())})
    served = backends.served(["echo:"])
    assert [*served] == ["mine", "echo:"] and served["mine"] is backends["mine"]
    assert served["echo:"].name == "echo:" and "openai:gpt-5-mini" not in served
    with pytest.raises(ConfigError, match="'openai:gpt-5-mini' is not a backend of this server"):
        served["openai:gpt-5-mini"]
