"""Backends of the kind `langchain`: of a source of one's own, and of a model by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backends.langchain import LangChainBackend, LangChainOptions
from tests.backends.langchain.calls import Load
from tests.servers.front import Front

MODEL = """
import os
import httpx2
from langchain_openai import ChatOpenAI

model = ChatOpenAI(
    model="table", base_url=os.environ["TEST_URL"] + "/v1", api_key="sk-test-object-key", max_retries=0,
    stream_usage=True, http_client=httpx2.Client(timeout=None),
    http_async_client=httpx2.AsyncClient(timeout=None, limits=httpx2.Limits(max_keepalive_connections=0)),
)
"""


@pytest.fixture
def load(front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """A backend of the object `thing` of this source; `model` is there already, and TEST_URL the server's."""
    monkeypatch.setenv("TEST_URL", front.url)

    def make(source: str, **options: Any) -> LangChainBackend:
        module = f"object_{uuid4().hex}"
        (tmp_path / f"{module}.py").write_text(MODEL + source)
        given = LangChainOptions.model_validate(
            {"object": f"{module}:thing", "python_path": tmp_path, **options}
        )
        assert LangChainBackend.not_ready(given) is None
        return LangChainBackend(given)

    return make


@pytest.fixture
async def by_name(front: Front) -> AsyncIterator[Load]:
    """A backend of the server's model by name."""
    made: list[LangChainBackend] = []

    def make(**options: Any) -> LangChainBackend:
        given = {"model": "openai:table", "base_url": f"{front.url}/v1", **options}
        made.append(LangChainBackend(LangChainOptions.model_validate(given)))
        return made[-1]

    yield make
    for backend in made:
        await backend.aclose()
