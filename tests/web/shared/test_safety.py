"""Model output is untrusted, and no route gives a file that is not the conversation's own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.responses import Response

from tests.servers.front import Front
from tests.web.pages import ChatPage, Served, chunks, says

CHAT = "/v1/chat/completions"


@pytest.fixture
def upstream() -> Iterator[Front]:
    with Front() as front:
        yield front


@pytest.fixture
def foreign() -> Iterator[Front]:
    """Another origin, which would notice being asked for anything."""

    async def picture(_: Any) -> Response:
        return Response(b"<svg xmlns='http://www.w3.org/2000/svg'/>", media_type="image/svg+xml")

    with Front() as front:
        front.on("GET", "/leak.svg", picture)
        yield front


def config(upstream: Front, ui: str = "") -> str:
    return (
        f"version: 1\nbackends:\n  tiny: {{kind: openai, model: tiny, base_url: '{upstream.url}/v1'}}\n{ui}\n"
    )


@pytest.mark.browser
def test_no_script_of_an_answer_runs(upstream: Front, open_page: Callable[..., ChatPage]) -> None:
    attacks = [
        "<script>window.owned = 1</script>",
        "<img src=x onerror='window.owned = 2'>",
        "<svg onload='window.owned = 3'></svg>",
        "<a href='javascript:window.owned=4'>click</a>",
        "[click](javascript:window.owned=5)",
        "<iframe srcdoc='<script>parent.owned=6</script>'></iframe>",
        "<details open ontoggle='window.owned=7'><summary>x</summary></details>",
        "done",
    ]
    upstream.on("POST", CHAT, says(chunks(["\n\n".join(attacks)])))
    page = open_page(config(upstream))
    page.ask("go")
    page.wait_text("done")
    for link in page.page.locator("#conversation a").all():
        link.click(force=True)
    assert page.page.evaluate("window.owned") is None


LEAKS = """\
![pixel]({url}/leak.svg?md)
<img src="{url}/leak.svg?img">
<video src="{url}/leak.svg?video" autoplay></video>
<div style="background:url({url}/leak.svg?css)">styled</div>
<style>body {{ background: url({url}/leak.svg?style) }}</style>
<link rel="stylesheet" href="{url}/leak.svg?link">
<iframe src="{url}/leak.svg?frame"></iframe>

[a link]({url}/leak.svg?click)

end of the answer
"""


@pytest.mark.browser
def test_an_answer_cannot_reach_a_foreign_host(
    upstream: Front, foreign: Front, open_page: Callable[..., ChatPage]
) -> None:
    upstream.on("POST", CHAT, says(chunks([LEAKS.format(url=foreign.url)])))
    page = open_page(config(upstream))
    page.ask("go")
    page.wait_text("end of the answer")
    link = page.page.locator("#conversation a", has_text="a link")
    link.click()
    link.click(button="middle")
    assert link.get_attribute("href") is None
    assert foreign.url in (link.get_attribute("title") or "")
    page.ask("another turn, by which anything pending would have been asked for")
    assert len(page.page.context.pages) == 1
    assert [seen.path for seen in foreign.requests] == []


@pytest.mark.browser
def test_an_allowed_host_is_shown_and_can_be_opened(
    upstream: Front, foreign: Front, open_page: Callable[..., ChatPage]
) -> None:
    host = foreign.url.removeprefix("http://")
    upstream.on(
        "POST",
        CHAT,
        says(chunks([f"![p]({foreign.url}/leak.svg)\n\n[a link]({foreign.url}/leak.svg)\n\nend"])),
    )
    page = open_page(config(upstream, f"ui: {{allowed_hosts: ['{host}']}}"))
    page.ask("go")
    page.page.wait_for_function("[...document.querySelectorAll('#conversation img')].some(i => i.complete)")
    assert foreign.requests[0].path == "/leak.svg"
    assert page.page.locator("#conversation a", has_text="a link").get_attribute("href") is not None


# -- files


@contextmanager
def launched(config_file: Path, folder: Path) -> Iterator[str]:
    """app.py as `python app.py` runs it."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "CHATLAB_CONFIG": str(config_file), "GRADIO_SERVER_PORT": str(port)}
    app = Path(__file__).resolve().parents[3] / "app.py"
    process = subprocess.Popen(
        [sys.executable, app], cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 110
    try:
        while True:
            try:
                httpx2.get(url)
                break
            except httpx2.TransportError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def at_url(how: str, config_file: Path) -> Iterator[str]:
    """The page "launched" by app.py in the configuration's folder, or "mounted" in an app of this process."""
    if how == "launched":
        with launched(config_file, config_file.parent) as url:
            yield url
        return
    served = Served(config_file)
    try:
        yield served.url
    finally:
        served.stop()


@pytest.fixture(params=["launched", "mounted"])
def served_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    file = tmp_path / "files.yaml"
    file.write_text("version: 1\nbackends:\n  echo: {kind: echo}\n")
    (tmp_path / "beside.txt").write_text("lies in the working folder")
    with at_url(request.param, file) as url:
        yield url


def test_no_route_gives_a_file_of_the_server(served_url: str, tmp_path: Path) -> None:
    """A forged upload: a client posts a path as if it were an upload, then asks for it."""
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret " + secrets.token_hex(8))
    wanted = ["/etc/passwd", str(secret), str(tmp_path / "beside.txt"), str(tmp_path / "files.yaml")]
    with httpx2.Client(base_url=served_url, timeout=30) as client:
        config = client.get("/config").json()
        for path in wanted:
            forged = {
                "path": path,
                "meta": {"_type": "gradio.FileData"},
                "orig_name": "x",
                "mime_type": "text/plain",
            }
            content = [{"type": "file", "file": forged, "alt_text": None}]
            shown = [{"role": "user", "metadata": None, "options": None, "content": content}]
            for dependency in config["dependencies"]:
                values = []
                for component_id in dependency["inputs"]:
                    component = next(c for c in config["components"] if c["id"] == component_id)
                    values.append(
                        {
                            "chatbot": shown,
                            "multimodaltextbox": {"text": "read it", "files": [forged]},
                            "file": forged,
                        }.get(component["type"], component["props"].get("value"))
                    )
                body = {"data": values, "fn_index": dependency["id"], "session_hash": "forger"}
                reply = client.post("/gradio_api/run/predict", json=body)
                _holds_nothing(reply.text, path)
            for route in (f"/gradio_api/file={path}", f"/file={path}", f"/gradio_api/file/{path}"):
                _holds_nothing(client.get(route).text, path)
        assert client.get("/").headers["content-security-policy"].startswith("default-src 'self'")


def _holds_nothing(text: str, path: str) -> None:
    content = Path(path).read_text()
    assert content.strip()[:20] not in text
    # Nor a copy of it in the cache, under whatever name.
    for word in text.replace('"', " ").split():
        if word.startswith(("/tmp", "/var")) and word != path and Path(word).is_file():
            assert Path(word).read_text(errors="replace") != content


def test_the_page_carries_no_secret(serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-value-1")
    served = serve("version: 1\nbackends:\n  gpt: {kind: openai, model: m}\n")
    config = httpx2.get(f"{served.url}/config").json()
    assert "very-secret" not in json.dumps(config) + httpx2.get(served.url).text
