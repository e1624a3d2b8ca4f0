"""What a page asks its server for until it is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from chatlab.web.chat.gradio_patches.assets import PageAssets
from tests.web.pages import Served, expect

CONFIG = """\
version: 1
backends: {first: {kind: echo}, second: {kind: echo}}
"""


@pytest.mark.parametrize(
    ("path", "last", "own", "most"),
    [("/", ".chatlab-chosen", 18, 110), ("/compare", "main h2", 30, 30)],
)
def test_a_page_names_all_that_it_loads_at_its_beginning_and_asks_for_none_of_it_again(
    browser: Any, serve: Callable[..., Served], path: str, last: str, own: int, most: int
) -> None:
    url = serve(CONFIG).url
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.goto(url + path)
    expect(page.locator(last)).to_be_visible()
    expect(page.locator("#conversations .chatlab-conversations > *").first).to_be_attached()
    files = [one for one in asked if re.match(r"/(assets|-/static)/|/theme\.css", one)]
    named = {
        urlsplit(str(httpx2.URL(url + path).join(one))).path
        for one in re.findall(r'(?:href|src)="([^"]+)"(?! disabled)', httpx2.get(url + path).text)
    }
    assert set(files) - named == set()
    assert len(files) == len(set(files)) <= most
    assert len([one for one in files if one.startswith("/-/")]) <= own

    page.goto(url + path)
    expect(page.locator(last)).to_be_visible()
    sent = page.evaluate(
        "() => performance.getEntriesByType('resource').filter((one) => one.transferSize > 0)"
        ".map((one) => one.name)"
    )
    # What stands for the player of streams is another app's file by its address.
    assert [one for one in sent if re.search(r"/(assets/(?!hls)|-/static/)", one)] == []
    context.close()


def test_a_page_loads_what_its_components_need_and_no_others() -> None:
    few, more = (PageAssets(types).head for types in (["textbox"], ["textbox", "multimodaltextbox"]))
    assert len(re.findall("modulepreload", few)) > 10
    assert len(re.findall("modulepreload", few)) < len(re.findall("modulepreload", more))
    assert PageAssets(["of another version"]).head

    late = PageAssets(["textbox"], late=["multimodaltextbox"]).head  # asked for, and compiled once it is used
    assert re.findall('"modulepreload" href="([^"]+)', late) == re.findall(
        '"modulepreload" href="([^"]+)', few
    )
    assert len(re.findall('as="script"', late)) == len(re.findall("modulepreload", more)) - len(
        re.findall("modulepreload", few)
    )
