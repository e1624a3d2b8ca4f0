"""What is exported or shared to be read is in the language of the page."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatlab.compare.session.events import Opened
from chatlab.compare.session.session import ComparisonSession
from chatlab.config.models import Storage as StorageConfig
from chatlab.conversations.storage import OpenStorage, open_storage
from chatlab.transfer import Format, export, shared_html
from chatlab.words import words_of
from tests.compare.session.scripted import scripted
from tests.transfer.test_transfer import everything
from tests.words.other_language import left_in_english, other_words, readable, texts_in


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[OpenStorage]:
    async with open_storage(
        StorageConfig(url=f"sqlite:{tmp_path}/db", files=f"{tmp_path}/files", sharing=True)
    ) as storage:
        assert storage is not None
        await everything(storage)
        for blind in (False, True):
            session = await ComparisonSession.create(
                scripted("a", "b"),
                ["a", "b"],
                owner="ann",
                opened=Opened(blind=blind),
                title="Which?",
                store=storage.store,
            )
            asked = await session.ask("Why", repeats=2)
            await session.settled()
            await session.edit(asked, "Why then")
            await session.settled()
            await session.aclose()
        later = await storage.store.create_comparison("ann", title="")
        await storage.store.append("ann", later.id, 0, [{"type": "danced"}])
        yield storage


async def written(here: OpenStorage, form: Format) -> str:
    words = other_words()
    pieces = export(here.store, here.files, "ann", output_format=form, words=words)
    return "".join([piece async for piece in pieces])


@pytest.mark.parametrize("form", ["html", "markdown"])
async def test_no_word_of_an_export_stays_in_english(here: OpenStorage, form: Format) -> None:
    lines = (await written(here, "jsonl")).splitlines()
    names = ("temperature", "stop", "None")
    given = [text for line in lines for text in texts_in(json.loads(line), *names)]
    shown = await written(here, form)
    shown = readable(shown) if form == "html" else re.sub(r"```\w*", "", shown)
    left = left_in_english(shown) - left_in_english(" ".join(given))
    assert left - {"kB", "ms", "UTC", "None"} == set()


async def test_a_shared_conversation_is_in_the_language_of_the_page(here: OpenStorage) -> None:
    link = await here.store.share("ann", conversation="c1")
    page = await shared_html(here.store, here.files, link.token, words=words_of("de"))
    assert '<html lang="de">' in page and "erstes Token 250 ms" in page and "Werkzeug: look" in page
    assert "once more" in page
