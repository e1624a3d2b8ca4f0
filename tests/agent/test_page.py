"""A call that a person has to approve, as they see it on the chat page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.data_of_workspace import DataOfWorkspace
from tests.servers.llama import TOOL
from tests.web.browser import browser as browser
from tests.web.conftest import open_page as open_page
from tests.web.conftest import serve as serve
from tests.web.conftest import warm as warm
from tests.web.pages import ChatPage

pytestmark = pytest.mark.browser

ASK = f"use the {TOOL}"
CONFIG = "backends:\n  agent: {kind: langchain, label: Agent, object: 'chatlab.agent:graph'}\nstorage: none\n"


def test_a_person_approves_one_call_and_refuses_the_next(
    data: DataOfWorkspace,
    project: Callable[..., Path],
    open_page: Callable[..., ChatPage],
    llama: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHATLAB_AGENT", str(project("search if approved")))
    page = open_page(CONFIG)

    for reply, titles in (
        (
            "approve",
            ["Note: ran search_documents as the service", "Result of search_documents", "Sources (1)"],
        ),
        ("not for this", ["Error of search_documents"]),
    ):
        page.ask(ASK)
        assert page.answers[-1].startswith('May search_documents run with {"query": "The ')
        searches = [call.what for call in data.calls].count("search")
        asked = page.titles
        assert (
            "Note: the graph stopped to ask: may search_documents run?; say it in the next message" in asked
        )
        page.ask(reply)
        assert page.answers[-1].startswith(llama.text.partition(",")[0].replace("  ", " "))
        *told, figures = page.titles[len(asked) :]
        assert told == titles and "total" in figures
        ran = [call.what for call in data.calls].count("search") - searches
        assert ran == (1 if reply == "approve" else 0)
    page.page.get_by_text("Error of search_documents").click()
    page.wait_text("The person refused this call: not for this")
