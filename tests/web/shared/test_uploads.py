"""An upload is its uploader's alone, and so is what a page runs: over HTTP, launched and mounted alike."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gradio.route_utils import delete_files_created_by_app

import chatlab
from chatlab.errors import UnsupportedContent
from chatlab.messages import FilePart, Message
from chatlab.web.chat.page import Page
from chatlab.web.shared.uploads import UploadOwners
from tests.web.chat.test_page import PNG
from tests.web.conversations.test_routes import Browser
from tests.web.shared.test_safety import at_url

CONFIG = """\
version: 1
backends: {echo: {kind: echo}, slow: {kind: echo, rate: 20}}
ui: {examples: [{text: look, files: [own.txt]}]}
"""


@pytest.fixture(scope="module", params=["launched", "mounted"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("uploads")
    file = folder / "config.yaml"
    # Of the mounted one, nothing is kept: what is attached to its messages stays where Gradio put it.
    nothing = "storage: none\n" if request.param == "mounted" else ""
    file.write_text(CONFIG + nothing, "utf-8")
    (folder / "own.txt").write_text("the page's own")
    with at_url(request.param, file) as url:
        yield url


@pytest.fixture
def mine(url: str) -> Iterator[Browser]:
    browser = Browser.at(url, f"mine{time.monotonic_ns()}")
    yield browser
    browser.client.close()


@pytest.fixture
def other(url: str) -> Iterator[Browser]:
    browser = Browser.at(url, f"other{time.monotonic_ns()}")
    yield browser
    browser.client.close()


def upload(browser: Browser, name: str, content: bytes, count: int = 1) -> list[str]:
    files = [("files", (f"{n}-{name}" if n else name, content)) for n in range(count)]
    paths: list[str] = browser.client.post("/gradio_api/upload", files=files).json()
    return paths


def routes(path: str) -> list[str]:
    return [f"/gradio_api/file={path}", f"/gradio_api/file/{path}", f"/gradio_api/file={path}?x=/file={path}"]


def ask(browser: Browser, text: str, path: str) -> str:
    """Sends a message with an uploaded file, as a page does."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": Path(path).name}
    message = {"multimodaltextbox": {"text": text, "files": [file]}}
    return browser.fire(browser.event("_submit_fn"), message, None)


def test_an_upload_is_read_by_its_uploader_alone(url: str, mine: Browser, other: Browser) -> None:
    content = os.urandom(8).hex().encode() * 9
    for path in upload(mine, "secret.txt", content, count=2):
        for route in routes(path):
            for _ in ("before it is sent", "and again"):
                assert mine.client.get(route).content == content
            refused = other.client.get(route)
            assert refused.status_code == 404 and content not in refused.content
            assert content not in httpx2.get(f"{url}{route}").content
            assert other.client.head(route).status_code == 404
        folder, name = path.rsplit("/", 1)
        assert other.client.get(f"/gradio_api/file={folder}/../{folder[-64:]}/{name}").status_code == 404
    (again,) = upload(other, "secret.txt", content)  # who has the content may have it
    assert other.client.get(f"/gradio_api/file={again}").content == content
    assert mine.client.get(f"/gradio_api/file={again}").content == content


def test_nobody_elses_upload_is_taken_into_a_message(mine: Browser, other: Browser) -> None:
    (path,) = upload(mine, "dot.png", PNG + os.urandom(8))
    assert "That file was not uploaded here" in ask(other, "what is it?", path)
    answer = ask(mine, "what is it?", path)
    assert "dot.png (image/png)" in answer


def test_what_the_page_itself_shows_is_for_everybody(mine: Browser, other: Browser) -> None:
    (chatbot,) = (one for one in mine.components.values() if one["type"] == "chatbot")
    (example,) = chatbot["props"]["examples"]
    address = example["files"][0]["path"]
    for browser in (mine, other):
        assert browser.client.get(f"/gradio_api/file={address}").text == "the page's own"
    assert "own.txt (text/plain)" in ask(other, "look", address)


def test_what_a_page_runs_is_ended_by_its_owner_alone(mine: Browser, other: Browser) -> None:
    text = {"multimodaltextbox": {"text": "word " * 20, "files": []}, "dropdown": "slow"}
    event = mine.event("_submit_fn")
    body = {
        "data": [mine.value(component_id, text) for component_id in event["inputs"]],
        "fn_index": event["id"],
        "session_hash": mine.hash,
    }
    joined = mine.client.post("/gradio_api/queue/join", json=body).json()
    named = {"session_hash": mine.hash, "fn_index": event["id"], "event_id": joined["event_id"]}
    with mine.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": mine.hash}) as stream:
        lines = stream.iter_lines()
        _until(lines, "process_generating")
        for route in ("cancel", "reset", "reset/"):
            refused = other.client.post(f"/gradio_api/{route}", json=named)
            assert (refused.status_code, refused.text) == (
                403,
                "This page is somebody else's: open one of your own",
            )
        _until(lines, "process_generating")
        assert mine.client.post("/gradio_api/cancel", json=named).json() == {"success": True}
        assert _until(lines, "process_completed")["output"] == {}
    assert mine.client.post("/gradio_api/reset", json=named).json() == {"success": True}
    assert other.client.post("/gradio_api/cancel", content=b"nonsense").status_code == 422


def _until(lines: Iterator[str], kind: str) -> Any:
    for line in lines:
        if line.startswith("data:") and (message := json.loads(line[5:]))["msg"] == kind:
            return message
    raise AssertionError(f"no {kind} came")


def test_a_path_that_nobody_uploaded_is_not_read_into_a_message(tmp_path: Path) -> None:
    """Even past Gradio's own checks, the chat reads nothing that was not uploaded."""
    uploads = UploadOwners(tmp_path)
    uploads.add(tmp_path / "theirs", "them")
    for path in (Path("/etc/passwd"), tmp_path / "theirs", tmp_path / "nobodys"):
        with pytest.raises(UnsupportedContent, match="not uploaded here"):
            uploads.check(Message("user", (FilePart("text/plain", path=path),)), "me")


async def test_uploads_are_removed_after_a_day_and_what_the_page_shows_is_not(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG, "utf-8")
    (tmp_path / "own.txt").write_text("the page's own " + os.urandom(8).hex())
    page = Page(chatlab.load(file))
    frequency, age = page.delete_cache
    assert frequency <= age == 86_400
    uploaded, lent = tmp_path / "uploaded", tmp_path / "lent"
    for path in (uploaded, lent):
        path.write_bytes(b"x")
    page.upload_file_set.add(str(uploaded))  # as Gradio does
    page.uploads.lend(lent, "me")
    own = [Path(one) for one in page.chat.chatbot.keep_in_cache]
    assert own and all(path.exists() for path in own)
    delete_files_created_by_app(page, None)
    assert not uploaded.exists() and not lent.exists()
    assert all(path.exists() for path in own)
