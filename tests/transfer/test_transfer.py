"""Conversations out of the store and into another: without loss, without harm, and all or nothing."""

from __future__ import annotations

import io
import json
import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatlab.config.models import Storage as StorageConfig
from chatlab.conversations.storage import OpenStorage, open_storage
from chatlab.messages import (
    Citation,
    FilePart,
    Finish,
    Message,
    Notice,
    ReasoningPart,
    TextPart,
    Timing,
    ToolCall,
    ToolResult,
    Trace,
    Usage,
)
from chatlab.store import NotStored, StoredConversation, StoredTurn, new_id, now
from chatlab.transfer import Format, ImportResult, export, import_file, shared_html
from chatlab.words import ENGLISH
from tests.render.test_markdown import safe

PNG = bytes.fromhex("89504e470d0a1a0a") + b"rest of a picture"
WHEN = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[OpenStorage]:
    async with open_storage(
        StorageConfig(url=f"sqlite:{tmp_path}/a/db", files=f"{tmp_path}/a/files")
    ) as storage:
        assert storage is not None
        yield storage


@pytest.fixture
async def there(tmp_path: Path) -> AsyncIterator[OpenStorage]:
    async with open_storage(
        StorageConfig(url=f"sqlite:{tmp_path}/b/db", files=f"{tmp_path}/b/files")
    ) as storage:
        assert storage is not None
        yield storage


def turn(id: str, parent: str | None = None, **fields: Any) -> StoredTurn:
    values: dict[str, Any] = {
        "user": Message.of("user", f"ask {id}"),
        "answer": (TextPart(f"answer {id}"),),
        "status": "finished",
        "created": WHEN + timedelta(seconds=int(id[-1], 36)),
    }
    values |= fields
    return StoredTurn(id, "ann", "c1", parent, backend="gpt", kind="openai", label="GPT", **values)


def chat(**fields: Any) -> StoredConversation:
    return StoredConversation(
        **{"id": "c1", "owner": "ann", "title": "Cats & dogs", "created": WHEN, "updated": WHEN, **fields}
    )


async def everything(storage: OpenStorage) -> None:
    """A conversation with one of each thing that a turn can have, and one with nothing at all."""
    picture = await storage.files.put(PNG)
    rich = turn(
        "t2",
        "t1",
        user=Message(
            "user",
            (
                FilePart("image/png", "cat.png", url=f"sha256:{picture}"),
                FilePart("application/pdf", url="https://example.org/a.pdf"),
                TextPart("  what\n\tis it? \ud83d half \U0001f600"),
            ),
        ),
        answer=(
            ReasoningPart("hm <b>"),
            ToolCall("k", "look", '{"at": "cat"}'),
            ToolResult("k", "fur", "look", True),
            TextPart("**A cat** <script>alert(1)</script>"),
            FilePart("image/png", "copy.png", url=f"sha256:{picture}"),
        ),
        parameters={"temperature": 0.5, "stop": ["a", None]},
        system="Be <brief>.",
        sent={"temperature": 0.5},
        notices=(Notice("retried", "once more"),),
        citations=(Citation("Book", "https://example.org/b", "p. 3"),),
        traces=(Trace("tr", "https://example.org/t"),),
        finish=Finish("stop", Usage(10, 20, None, 5), "gpt-5"),
        timing=Timing(first_token=0.25, total=1.5, tokens_per_second=16.0, attempts=2),
        tool_seconds={"k": 0.1},
        cost=0.0125,
        asked_by="ann@example.org",
        asked_as="the service",
        copied_from="t0",
    )
    failed = turn("t3", "t1", answer=(), status="failed", error="the endpoint is busy: try again")
    stopped = turn("t4", "t2", answer=(TextPart("so f"),), status="stopped")
    await storage.store.adopt(
        chat(pinned=True, head="t2", updated=WHEN + timedelta(days=1)), [turn("t1"), rich, failed, stopped]
    )
    await storage.store.adopt(chat(id="c2", title=""), [])


async def text(
    storage: OpenStorage, owner: str = "ann", id: str | None = None, format: Format = "jsonl"
) -> str:
    return "".join(
        [piece async for piece in export(storage.store, storage.files, owner, id, output_format=format)]
    )


async def taken(storage: OpenStorage, content: str | bytes, owner: str = "ann") -> ImportResult:
    data = content.encode() if isinstance(content, str) else content
    return await import_file(storage.store, storage.files, owner, io.BytesIO(data), "f.jsonl")


async def test_an_export_that_is_imported_and_exported_again_is_the_same_to_the_byte(
    here: OpenStorage, there: OpenStorage
) -> None:
    await everything(here)
    written = await text(here)
    done = await taken(there, written)
    assert (done.conversations, done.turns, done.problems, done.noticed) == (2, 4, [], 1)
    assert await text(there) == written
    before, after = await here.store.turns("ann", "c1"), await there.store.turns("ann", "c1")
    assert before == after
    assert await here.store.recent("ann") == await there.store.recent("ann")
    picture = before[1].user.parts[0]
    assert isinstance(picture, FilePart) and picture.url is not None
    assert (await there.files.path(picture.url.removeprefix("sha256:"))).read_bytes() == PNG
    assert [hit.turn for hit in await there.store.search("ann", "a cat")] == ["t2"]


TEXTS = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(TEXTS, TEXTS, st.integers(0, 5)), min_size=1, max_size=6))
async def test_any_text_in_any_tree_comes_back(
    here: OpenStorage, there: OpenStorage, asked: list[tuple[str, str, int]]
) -> None:
    chosen = new_id()
    turns: list[StoredTurn] = []
    for said, answered, parent in asked:
        before = turns[parent % len(turns)].id if turns and parent else None
        turns.append(
            StoredTurn(
                new_id(),
                chosen,
                chosen,
                before,
                now(),
                Message("user", (TextPart(said),)),
                "b",
                "k",
                "l",
                system=answered,
                parameters={said: answered},
                status="finished",
                answer=(TextPart(answered), ReasoningPart(said)),
            )
        )
    await here.store.adopt(StoredConversation(chosen, chosen, "t", WHEN, WHEN), turns)
    written = await text(here, chosen)
    assert (await taken(there, written, chosen)).problems == []
    assert await text(there, chosen) == written


async def test_two_halves_of_a_character_that_met_are_exported_as_the_character(
    here: OpenStorage, there: OpenStorage
) -> None:
    await here.store.adopt(chat(), [turn("t1", answer=(TextPart("\ud83d\ude00 \ude00"),))])
    written = await text(here)
    assert "\U0001f600 \ufffd" in written
    assert (await taken(there, written)).problems == []
    assert await text(there) == written


async def test_every_line_is_json_and_an_attachment_is_written_once(here: OpenStorage) -> None:
    await everything(here)
    lines = [json.loads(line) for line in (await text(here)).splitlines()]
    assert lines[0] == {"format": "chatlab-conversations", "version": 1}
    kinds = [line.get("type") for line in lines[1:]]
    assert kinds == ["conversation", "turn", "file", "turn", "turn", "turn", "conversation"]


async def test_one_conversation_is_exported_and_nobody_elses(here: OpenStorage) -> None:
    await everything(here)
    assert len((await text(here, id="c2")).splitlines()) == 2
    with pytest.raises(NotStored):
        await text(here, "bob", "c1")
    assert len((await text(here, "bob")).splitlines()) == 1


async def test_what_is_running_is_exported_as_interrupted(here: OpenStorage) -> None:
    await here.store.create("ann", conversation_id="c1")
    await here.store.save([turn("t1", status="running")])
    assert '"status":"interrupted"' in await text(here)


async def test_importing_again_changes_nothing(here: OpenStorage) -> None:
    await everything(here)
    written = await text(here)
    done = await taken(here, written)
    assert (done.conversations, done.already) == (0, 2)
    assert await text(here) == written


async def test_ids_that_somebody_else_has_are_replaced(here: OpenStorage) -> None:
    await everything(here)
    before = await text(here)
    done = await taken(here, before, "bob")
    assert (done.conversations, done.problems) == (2, [])
    assert await text(here) == before
    listed = await here.store.recent("bob")
    assert {kept.id for kept in listed.conversations}.isdisjoint({"c1", "c2"})
    copy = next(kept for kept in listed.conversations if kept.title)
    turns = await here.store.turns("bob", copy.id)
    assert [kept.user for kept in turns] == [kept.user for kept in await here.store.turns("ann", "c1")]
    assert copy.head == turns[1].id and turns[3].parent == turns[1].id and turns[1].parent == turns[0].id


async def test_a_damaged_conversation_is_named_by_its_line_and_the_others_are_imported(
    here: OpenStorage, there: OpenStorage
) -> None:
    await everything(here)
    lines = (await text(here)).splitlines(keepends=True)
    lines[4] = lines[4][: len(lines[4]) // 2] + "\n"
    done = await taken(there, "".join(lines))
    assert (done.conversations, len(done.problems)) == (1, 1)
    assert str(done.problems[0]).startswith("f.jsonl:5 (Cats & dogs): is not JSON")
    with pytest.raises(NotStored):
        await there.store.get("ann", "c1")
    assert (await there.store.get("ann", "c2")).id == "c2"


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (2, {"parent": "nowhere"}, "a turn follows one that is not there"),
        (2, {"parent": "t2"}, "circle"),
        (2, {"id": "t2"}, "the same id"),
        (2, {"id": "a\u0000b"}, "id should be at most"),
        (2, {"status": "running"}, "status should be"),
        (2, {"created": "yesterday"}, "created should be a time"),
        (2, {"created": "2026-01-01T00:00:00"}, "time zone"),
        (2, {"created": "0001-01-01T00:00:00+14:00"}, "created should be a time"),
        (1, {"updated": "9999-12-31T23:59:59-12:00"}, "updated should be a time"),
        (
            2,
            {"finish": {"reason": "stop", "usage": {"input": 2**70}}},
            "the number 118059162071741130",
        ),
        (2, {"cost": math.inf}, "Infinity is no JSON"),
        (2, {"user": {"role": "system", "parts": []}}, "role user"),
        (2, {"answer": [{"type": "file", "media_type": "x", "url": "file:///etc/passwd"}]}, "url should be"),
        (2, {"answer": [{"type": "nonsense"}]}, "unknown type"),
        (2, {"cost": "much"}, "cost should be a number"),
        (2, {"type": "tur"}, "type should be"),
        (3, {"sha256": "0" * 64}, "sha256"),
        (3, {"data": "?"}, "base64"),
        (1, {"head": "nowhere"}, "head"),
        (1, {"title": 5}, "title is missing or of another type"),
    ],
)
async def test_what_is_wrong_is_said_and_nothing_of_the_conversation_is_kept(
    here: OpenStorage, there: OpenStorage, number: int, change: dict[str, Any], said: str
) -> None:
    await everything(here)
    lines = [json.loads(line) for line in (await text(here, id="c1")).splitlines()]
    lines[number] |= change
    done = await taken(there, "\n".join(map(json.dumps, lines)))
    assert done.conversations == 0 and done.problems
    assert said in done.problems[0].sentence
    assert (await there.store.recent("ann")).conversations == ()


async def test_a_hash_that_came_without_its_content_is_no_right_to_somebody_elses_file(
    here: OpenStorage,
) -> None:
    await everything(here)
    lines = [line for line in (await text(here)).splitlines() if not line.startswith('{"type":"file"')]
    done = await taken(here, "\n".join(lines), "bob")
    copy = next(kept for kept in (await here.store.recent("bob")).conversations if kept.title)
    stolen = (await here.store.turns("bob", copy.id))[1]
    assert done.noticed == 1
    assert not [part for part in stolen.user.parts if isinstance(part, FilePart) and part.name == "cat.png"]
    assert Notice("file_dropped", "cat.png was not in the file") in stolen.notices


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04...", "ZIP archive"),
        (b"hello", "is not JSON"),
        (b'{"format": "chatlab-conversations", "version": 2}', "of version 1"),
        (b'{"a": 1}', "is no conversation"),
        (b"[1]", "is no conversation"),
        (b"3", "is no conversation"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"messages": [{"role": "nobody"}]}', "expected a role"),
        (b'{"messages": []}', "has no messages"),
        (b'{"format": "chatlab-conversations", "version": 1}\n{"type": "turn"}', "before the conversation"),
    ],
)
async def test_what_is_no_conversation_is_said_in_a_sentence(
    here: OpenStorage, content: bytes, said: str
) -> None:
    done = await taken(here, content)
    assert done.conversations == 0
    assert said in str(done.problems[0]) and str(done.problems[0]).startswith("f.jsonl")


async def test_openai_messages_become_turns(here: OpenStorage) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [_call("k", "look")]},
        {"role": "tool", "tool_call_id": "k", "content": "fur"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "and?"},
    ]
    assert (await taken(here, json.dumps(messages, indent=1))).problems == []
    (kept,) = (await here.store.recent("ann")).conversations
    first, second = await here.store.turns("ann", kept.id)
    assert (kept.title, kept.head) == ("hi", second.id)
    assert (first.system, first.user.text, first.status) == ("Be kind.", "hi", "finished")
    assert [type(part) for part in first.answer] == [ToolCall, ToolResult, TextPart]
    assert (second.parent, second.status, second.answer) == (first.id, "interrupted", ())


def _call(id: str, name: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}}


async def test_lines_of_openai_messages_are_a_conversation_each_and_pictures_are_kept(
    here: OpenStorage,
) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    lines = [
        {"messages": [{"role": "user", "content": [picture]}, {"role": "assistant", "content": "a"}]},
        {"messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "user", "content": "b"}], "model": "m", "title": "B"},
    ]
    done = await taken(here, "\n".join(map(json.dumps, lines)))
    assert (done.conversations, len(done.problems)) == (2, 1)
    assert done.problems[0].where == "f.jsonl:2"
    titles = {kept.title: kept.id for kept in (await here.store.recent("ann")).conversations}
    (shown,) = await here.store.turns("ann", next(id for title, id in titles.items() if title != "B"))
    part = shown.user.parts[0]
    assert isinstance(part, FilePart) and part.url is not None and part.url.startswith("sha256:")


async def test_html_is_one_document_that_loads_nothing_and_shows_the_chosen_branch_first(
    here: OpenStorage,
) -> None:
    await everything(here)
    made = await text(here, id="c1", format="html")
    assert made.count("<html") == 1 and "<script" not in made and "alert(1)" in made
    assert "<title>Cats &amp; dogs</title>" in made
    assert made.index("ask t1") < made.index("A cat") < made.index("Another version") < made.index("ask t3")
    body = made[made.index("<article>") : made.index("</body>")]
    for shown in (
        "data:image/png;base64,",
        "<summary>Thought</summary>",
        "Tool: look",
        "Error of look",
        "once more",
        "Be &lt;brief",
    ):
        assert shown in body
    for shown in ("first token 250 ms", "20 out", "cost 0.0125", "the endpoint is busy", "Stopped."):
        assert shown in body
    assert "ann@example.org" not in made
    _harmless(body)
    assert (await text(here, format="html")).count("<article>") == 2


async def test_attempts_are_one_line_of_html_with_why_each_failed_behind_it(here: OpenStorage) -> None:
    await here.store.adopt(chat(), [])
    why = [f"bench: down <{n}>" for n in (1, 2)]
    said = [
        Notice("retried", ENGLISH("notice.retried", detail=one, attempt=n + 2, attempts=4, seconds=1))
        for n, one in enumerate(why)
    ]
    await here.store.save([turn("t9", notices=tuple(said))])
    made = await text(here, id="c1", format="html")
    assert made.count("attempt 3 of 4, after a failure</summary>") == 1
    _, _, behind = made.partition("after a failure</summary><pre>")
    assert all(one.replace("<", "&lt;").replace(">", "&gt;") in behind for one in why)
    assert "attempt 2 of 4, after a failure" not in made


def _harmless(body: str) -> None:
    for more in (
        "<article>",
        "<header>",
        "<section>",
        "<details>",
        '<details class="branch">',
        "<summary>",
        "<div>",
    ):
        body = body.replace(more, "<p>")
    for name in ("user", "who", "faint", "trouble", "figures"):
        body = body.replace(f' class="{name}"', "")
    safe(body.replace("<div>", "<p>").replace("<section>", "<p>"))


async def test_markdown_reads_as_the_conversation_went(here: OpenStorage) -> None:
    await everything(here)
    made = await text(here, id="c1", format="markdown")
    assert made.startswith("# Cats & dogs\n") and made.index("ask t1") < made.index("**A cat**")
    assert "## GPT" in made and "[cat.png, image/png]" in made and "1 turn of another version" in made


async def test_a_conversation_of_more_turns_than_python_recurses_is_a_document(here: OpenStorage) -> None:
    ids = [f"d{number:04}" for number in range(1200)]
    turns = [
        turn(id, ids[number - 1] if number else None, created=WHEN + timedelta(seconds=number))
        for number, id in enumerate(ids)
    ]
    await here.store.adopt(chat(head=ids[-1]), turns)
    assert (await text(here, format="html")).count("<section>") == 1200


async def test_a_shared_conversation_is_shown_without_owner_settings_or_other_versions(
    here: OpenStorage,
) -> None:
    await everything(here)
    token = (await here.store.share("ann", conversation="c1")).token
    made = await shared_html(here.store, here.files, token)
    assert "A cat" in made and "data:image/png;base64," in made and "<script" not in made
    for hidden in ("ann", "Be &lt;brief", "ask t3", "temperature"):
        assert hidden not in made
    await here.store.revoke("ann", conversation="c1")
    with pytest.raises(NotStored):
        await shared_html(here.store, here.files, token)


async def test_what_is_to_be_read_has_no_credentials_and_what_is_to_come_back_has_everything(
    here: OpenStorage,
) -> None:
    key = "ghp_AbCdEf0123456789AbCdEf0123456789AbCd"
    said = turn(
        "t1",
        user=Message.of("user", f"my key is {key}"),
        answer=(
            ToolCall("1", "look", json.dumps({"token": key})),
            ToolResult("1", f"as {key}"),
            TextPart(f"You wrote ghp\\_{key[4:]} and ghp<b>_</b>{key[4:]}"),
        ),
        notices=(Notice("other", f"sent with {key}"),),
        system=f"Use {key}",
    )
    await here.store.adopt(chat(title=f"About {key}", head="t1"), [said])
    token = (await here.store.share("ann", conversation="c1")).token
    for made in (
        await text(here, id="c1", format="markdown"),
        await text(here, id="c1", format="html"),
        await shared_html(here.store, here.files, token),
    ):
        assert "my key is ***" in made and "AbCdEf" not in made
    assert (await text(here, id="c1")).count(key) == 6


async def test_an_import_that_the_store_refuses_leaves_nothing(here: OpenStorage) -> None:
    await everything(here)
    with pytest.raises(Exception, match="id"):
        await here.store.adopt(chat(id="c9", owner="bob"), [_of_bob("n1"), _of_bob("t1")])
    assert (await here.store.recent("bob")).conversations == ()
    assert [(one.owner, one.conversations, one.turns) for one in await here.store.owners()] == [("ann", 2, 4)]


def _of_bob(id: str) -> StoredTurn:
    return StoredTurn(id, "bob", "c9", None, WHEN, Message.of("user", "x"), "b", "k", "l", status="finished")


async def test_every_key_of_the_format_is_documented(here: OpenStorage) -> None:
    await everything(here)
    documented = (Path(__file__).resolve().parents[2] / "docs/export-format.md").read_text("utf-8")
    for line in (await text(here)).splitlines()[1:]:
        for key in json.loads(line).keys() - {"type"}:
            assert f"`{key}`" in documented, key
