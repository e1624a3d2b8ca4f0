"""What is patched once a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gradio.routes import App

import chatlab
from chatlab.web.chat.page import Page


async def test_of_a_page_that_is_put_together_gradio_makes_one_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[App] = []
    init = App.__init__

    def noted(app: App, *args: Any, **kwargs: Any) -> None:
        made.append(app)
        init(app, *args, **kwargs)

    monkeypatch.setattr(App, "__init__", noted)
    file = tmp_path / "c.yaml"
    file.write_text("backends: {a: {kind: echo}}\nstorage: none\n")
    page = Page(chatlab.load(file))
    assert made == [page.app]
