"""What is patched once a process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import gradio.processing_utils
import gradio_client.utils
import httpx2
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


async def test_a_page_that_gradio_has_people_sign_in_to_has_its_own_styles_and_scripts(
    tmp_path: Path,
) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("backends: {a: {kind: echo}}\nstorage: none\n")
    page = Page(chatlab.load(file))
    page.auth = [("ann", "open")]
    transport = httpx2.ASGITransport(app=App.create_app(page))
    async with httpx2.AsyncClient(transport=transport, base_url="http://chatlab") as http:
        signed_in = await http.post("/login", data={"username": "ann", "password": "open"})
        http.cookies = signed_in.cookies
        config = (await http.get("/config")).json()
    assert page.scripts in config["head"] and page.styles in config["head"]


async def test_files_are_looked_for_in_what_can_have_them_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[Any] = []
    traverse = gradio_client.utils.async_traverse

    async def noted(data: Any, *args: Any) -> Any:
        searched.append(data)
        return await traverse(data, *args)

    monkeypatch.setattr(gradio_client.utils, "async_traverse", noted)
    box = gr.Textbox(render=False)
    for value in ("a text", 3, 0.5, True, None, {"a": ["b"]}):
        assert await gradio.processing_utils.async_move_files_to_cache(value, box) == value
    assert searched[0] == {"a": ["b"]}
