"""A message that is refused leaves nothing behind."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.web.chat.test_page import PNG
from tests.web.conversations.test_routes import Browser
from tests.web.pages import Served
from tests.web.shared.test_uploads import upload


def asked(browser: Browser, content: bytes, shown: list[Any]) -> str:
    (path,) = upload(browser, "dot.png", content)
    file = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "dot.png"}
    given = {"multimodaltextbox": {"text": "look", "files": [file]}, "chatbot": shown}
    return browser.fire(browser.event("_submit_fn"), given, None)


def test_a_file_is_not_stored_whose_message_is_refused(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve("backends: {echo: {kind: echo}}")

    def stored() -> list[Path]:
        return [file for file in (tmp_path / ".chatlab").rglob("*") if len(file.name) == 64]

    with closing((browser := Browser.at(served.url, "mypage")).client):
        named = re.search(r"turn:\w+:", asked(browser, PNG, []))
        assert named is not None
        (first,) = stored()
        first.unlink()
        shown = [{"role": "assistant", "content": [], "metadata": {"title": "Echo", "id": named[0]}}]
        assert "attach it again" in asked(browser, PNG + b"another", shown)
        assert stored() == []
