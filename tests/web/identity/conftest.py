from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.oidc import SECRET, Oidc
from tests.web.pages import Served

CONFIG = "version: 1\nbackends: {echo: {kind: echo, label: Echo}, other: {kind: echo}}\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Oidc]:
    os.environ["CHATLAB_TEST_CLIENT"] = SECRET
    with Oidc() as provider:
        yield provider
    del os.environ["CHATLAB_TEST_CLIENT"]


@pytest.fixture
def provider(running: Oidc) -> Oidc:
    """The provider, honest again."""
    fresh = Oidc(front=running.front)
    running.front.requests.clear()
    return fresh


@pytest.fixture(scope="module")
def served(running: Oidc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page behind that provider."""
    file = tmp_path_factory.mktemp("behind") / "config.yaml"
    limits = "limits: {sign_ins_a_minute: {address: null}}\n"
    file.write_text(CONFIG + limits + running.config(), "utf-8")
    page = Served(file)
    yield page
    page.stop()


@pytest.fixture
def url(served: Served) -> str:
    return served.url


@pytest.fixture(scope="module")
def folder(served: Served) -> Path:
    """Where the page stores everything."""
    assert served.lab.config is not None and served.lab.config.storage is not None
    return Path(str(served.lab.config.storage.url).removeprefix("sqlite:")).parent
