"""Comparison sessions out of a store and into another: whole, exact, and open on the page again."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from chatlab.compare.model_json import receipt_to_json
from chatlab.compare.session.events import Opened
from chatlab.compare.session.reduce import reduce_log
from chatlab.compare.session.session import ComparisonSession
from chatlab.messages import FilePart, Message, TextPart
from chatlab.store import Conflict, NotStored, Store, StoredComparison, StoredTurn, WholeComparison, new_id
from chatlab.store.files import Files
from chatlab.store.sql import SqlStore, open_store
from chatlab.transfer import Format, ImportResult, export, import_file
from tests.compare.session.scripted import script, scripted
from tests.store.values import finished

PICTURE = b"not really a picture"


@dataclass
class Place:
    store: Store
    files: Files


@pytest.fixture
def here(store: SqlStore, tmp_path: Path) -> Place:
    return Place(store, Files("files", tmp_path / "here"))


@pytest.fixture
async def there(url: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """Another store, in the same kind of database."""
    other = f"sqlite:{tmp_path}/there/chatlab.db"
    if not url.startswith("sqlite"):
        other = request.getfixturevalue("postgres_of_this_version").new()
    opened = await open_store(other)
    yield Place(opened, Files("files", tmp_path / "there"))
    await opened.aclose()


async def rich(place: Place, owner: str = "ann") -> str:
    """A session in which about everything happened; its id."""
    backends = scripted("a", "b", "c")
    script(backends, "c").fail = "middle"
    session = await ComparisonSession.create(
        backends,
        list(backends),
        owner=owner,
        title="Which?",
        store=place.store,
        files=place.files,
    )
    picture = FilePart("image/png", "sky.png", data=PICTURE)
    first = await session.ask(Message("user", (picture, TextPart("Why \ud83d? \0"))))
    await session.settled()
    a, b, c = (lane.id for lane in session.state.lanes)
    await session.vote(first, a, voter="browser-1", note="clear")
    await session.vote(first, "tie", voter="browser-1")
    await session.retry(first, lanes=[c])
    await session.settled()
    await session.swap(b, "b", keep_history=True)
    await session.ask("And then?", repeats=2)
    await session.settled()
    await session.set_mode("shared")
    await session.pick(session.state.heads[a] or "")
    await session.edit(session.state.visible[-1].id, "And before?")
    await session.settled()
    await session.remove_lane(c)
    conversation = session.state.conversations[a]
    receipt = next(iter(session.receipts(first).values()))
    id = session.id
    await session.aclose()
    # One with keys that JSON has no word for, of a turn that no entry names.
    lane = await place.store.get(owner, conversation)
    extra = finished(lane, "logit bias", "yes")
    await place.store.save([extra])
    sent = {**receipt_to_json(receipt), "parameters": {"logit_bias": {50256: -1.5}}}
    await place.store.save_receipt(owner, extra.id, sent)
    return id


async def text(place: Place, owner: str = "ann", **chosen: Any) -> str:
    format: Format = chosen.pop("format", "jsonl")
    pieces = export(place.store, place.files, owner, output_format=format, **chosen)
    return "".join([piece async for piece in pieces])


async def taken(place: Place, written: str, owner: str = "ann") -> ImportResult:
    return await import_file(place.store, place.files, owner, io.BytesIO(written.encode()), "f.jsonl")


async def all_of(
    store: Store, owner: str, id: str
) -> tuple[StoredComparison, Any, list[Any], dict[str, StoredTurn], Mapping[str, Any]]:
    lanes = list(await store.lanes(owner, id))
    turns = {turn.id: turn for lane in lanes for turn in await store.turns(owner, lane.id)}
    return (
        await store.comparison(owner, id),
        await store.log(owner, id),
        lanes,
        turns,
        await store.receipts(owner, list(turns)),
    )


async def test_a_session_comes_back_whole_and_its_second_export_is_the_same_to_the_byte(
    here: Place, there: Place
) -> None:
    id = await rich(here)
    empty = await here.store.create_comparison("ann", title="")
    await here.store.create("ann", conversation_id="chat")
    written = await text(here)
    done = await taken(there, written)
    assert (done.problems, done.comparisons, done.conversations, done.already) == ([], 2, 1, 0)
    assert await all_of(there.store, "ann", id) == await all_of(here.store, "ann", id)
    assert await all_of(there.store, "ann", empty.id) == await all_of(here.store, "ann", empty.id)
    _, log, _, turns, receipts = await all_of(there.store, "ann", id)
    assert reduce_log(log) == reduce_log(await here.store.log("ann", id))
    assert len(turns) == done.turns and receipts.keys() < turns.keys()
    assert any(key == 50256 for one in receipts.values() for key in one["parameters"].get("logit_bias", ()))
    assert await text(there) == written
    assert await text(there, comparison=id) == await text(here, comparison=id)
    assert [kept.id for kept in (await there.store.recent("ann")).conversations] == ["chat"]
    assert (await there.store.search("ann", "before")) == await here.store.search("ann", "before")


async def test_an_imported_session_is_gone_on_with_by_its_new_owner(here: Place) -> None:
    id = await rich(here)
    before = await all_of(here.store, "ann", id)
    done = await taken(here, await text(here), "bob")
    assert (done.problems, done.comparisons) == ([], 1)
    assert await all_of(here.store, "ann", id) == before
    ((copy,), _) = await here.store.comparisons("bob")
    assert copy.id != id and (copy.title, copy.created) == ("Which?", before[0].created)
    _, log, lanes, turns, receipts = await all_of(here.store, "bob", copy.id)
    assert {lane.id for lane in lanes}.isdisjoint(lane.id for lane in before[2])
    assert not turns.keys() & before[3].keys()
    theirs, mine = reduce_log(before[1]), reduce_log(log)
    assert (mine.lanes, mine.removed) == (theirs.lanes, theirs.removed)
    assert [replace(vote, answers=()) for vote in mine.votes] == [
        replace(vote, answers=()) for vote in theirs.votes
    ]
    assert all(vote.answers and set(vote.answers) <= set(mine.positions) for vote in mine.votes)
    for old, new in zip(theirs.positions.values(), mine.positions.values(), strict=True):
        was, now = before[3][old.turn], turns[new.turn]
        assert (now.user, now.answer, now.created) == (was.user, was.answer, was.created)
        assert new.parent == now.parent
        assert (now.copied_from is None) == (was.copied_from is None)
        assert now.copied_from is None or now.copied_from in turns
        assert receipts.get(new.turn) == before[4].get(old.turn)
    assert not set(mine.positions) & set(theirs.positions)
    told = json.dumps([entry.data for entry in log])
    assert not [id for id in (*before[3], *(lane.id for lane in before[2])) if id in told]
    backends = scripted("a", "b", "c")
    session = await ComparisonSession.open(backends, copy.id, owner="bob", store=here.store, files=here.files)
    assert session.state == mine
    await session.set_mode("own")
    await session.ask("Once more")
    await session.settled()
    history = script(backends, "a").requests[-1].messages
    assert [message.text for message in history][-1] == "Once more"
    assert history[0].text == "Why \ufffd? \ufffd", "what no text can have is replaced where it is sent"
    attached = history[0].parts[0]
    assert isinstance(attached, FilePart) and attached.read() == PICTURE
    assert session.mismatches(session.state.visible[-1].id) == ()
    await session.aclose()


async def test_a_session_that_is_there_stays_as_it_is(here: Place) -> None:
    id = await rich(here)
    written = await text(here)
    await here.store.retitle_comparison("ann", id, "Renamed since")
    done = await taken(here, written)
    assert (done.comparisons, done.already, done.problems) == (0, 1, [])
    assert (await here.store.comparison("ann", id)).title == "Renamed since"
    assert len((await here.store.comparisons("ann"))[0]) == 1


async def test_of_a_file_that_is_cut_short_anywhere_no_session_is_half_there(
    here: Place, there: Place
) -> None:
    await rich(here)
    lines = (await text(here)).splitlines(keepends=True)
    for number in range(2, len(lines)):
        for cut in ("".join(lines[:number]), "".join(lines[:number]) + lines[number][:-20]):
            done = await taken(there, cut)
            assert (done.comparisons, len(done.problems)) == (0, 1), number
            said = str(done.problems[0])
            assert said.startswith("f.jsonl:") and "(Which?)" in said and "cut short" in said
    assert await there.store.comparisons("ann") == ([], None)
    assert list(await there.store.owners()) == []


def entry(line: dict[str, Any], kind: str) -> bool:
    return line.get("type") == "entry" and line["data"]["type"] == kind


@pytest.mark.parametrize(
    ("which", "change", "said"),
    [
        (lambda line: line.get("seq") == 2, {"seq": 3}, "entry 2 of its log is missing"),
        (lambda line: line.get("seq") == 2, {"at": "soon"}, "at should be a time"),
        (lambda line: line.get("seq") == 2, {"data": 5}, "data is missing"),
        (lambda line: line.get("seq") == 2, {"data": {"type": "danced"}}, "which this version of chatlab"),
        (lambda line: line.get("seq") == 2, {"data": {"type": "asked"}}, "cannot be read: "),
        (
            lambda line: line.get("seq") == 1,
            {"data": {"type": "reordered", "lanes": ["x"]}},
            "cannot be follow",
        ),
        (lambda line: line.get("seq") == 1, {"data": {"type": "picked", "turn": "x"}}, "cannot be followed"),
        (lambda line: entry(line, "retried"), "circle", "a turn of its log follows one that is not there"),
        (lambda line: entry(line, "asked"), "local", "a file's url should be"),
        (lambda line: line.get("type") == "lane", {"id": "other"}, "a lane of its log is not there"),
        (lambda line: line.get("type") == "lane", {"head": "other"}, "its head is not one of its turns"),
        (lambda line: line.get("type") == "lane", {"type": "conversaton"}, "type should be entry, lane"),
        (lambda line: line.get("type") == "turn", {"parent": "nowhere"}, "follows one that is not there"),
        (lambda line: line.get("type") == "turn", {"id": "a\0b"}, "id should be at most"),
        (lambda line: line.get("type") == "receipt", {"turn": "nowhere"}, "a receipt belongs to one turn"),
        (lambda line: line.get("type") == "receipt", {"data": {"messages": 5}}, "a receipt has a list"),
        (lambda line: line.get("type") == "file", {"data": "?"}, "base64"),
    ],
)
async def test_of_a_damaged_session_one_sentence_says_what_is_wrong_and_the_rest_is_imported(
    here: Place, there: Place, which: Any, change: Any, said: str
) -> None:
    await rich(here)
    await here.store.create("ann", conversation_id="chat")
    lines = [json.loads(line) for line in (await text(here)).splitlines()]
    damaged = next(line for line in lines if which(line))
    if change == "circle":
        damaged["data"]["positions"][0]["parent"] = damaged["data"]["positions"][0]["turn"]
    elif change == "local":
        damaged["data"]["user"]["parts"][0]["url"] = "file:///etc/passwd"
    else:
        damaged |= change
    done = await taken(there, "\n".join(map(json.dumps, lines)))
    assert (done.comparisons, done.conversations, len(done.problems)) == (0, 1, 1), done.problems
    assert said in done.problems[0].sentence and "(Which?)" in done.problems[0].where
    assert await there.store.comparisons("ann") == ([], None)


async def test_a_hash_in_a_log_that_came_without_its_content_is_no_right_to_somebody_elses_file(
    here: Place,
) -> None:
    await rich(here)
    lines = [line for line in (await text(here)).splitlines() if not line.startswith('{"type":"file"')]
    done = await taken(here, "\n".join(lines), "bob")
    assert done.problems == [] and done.noticed
    ((copy,), _) = await here.store.comparisons("bob")
    _, log, _, turns, _ = await all_of(here.store, "bob", copy.id)
    asked = [round.user for round in reduce_log(log).rounds.values()] + [turn.user for turn in turns.values()]
    assert not [part for message in asked for part in message.parts if isinstance(part, FilePart)]


async def test_an_id_that_is_taken_leaves_nothing_of_a_session(here: Place) -> None:
    id = await rich(here)
    whole = await all_of(here.store, "ann", id)
    session, log, lanes, turns, _ = whole
    for clash in ("session", "lane", "turn"):
        about = session if clash == "session" else replace(session, id=new_id())
        mine = [] if clash == "session" else [replace(lane, comparison=about.id) for lane in lanes]
        asked: list[StoredTurn] = []
        if clash == "turn":
            mine = [replace(lane, id=new_id()) for lane in mine]
            moved = {old.id: new.id for old, new in zip(lanes, mine, strict=True)}
            asked = [replace(turn, conversation=moved[turn.conversation]) for turn in turns.values()]
        with pytest.raises(Conflict):
            await here.store.adopt_comparison(WholeComparison(about, log, mine, asked, {}))
    assert await here.store.comparisons("ann") == ([session], None)
    assert await all_of(here.store, "ann", id) == whole


async def test_what_was_deleted_and_is_not_gone_for_good_comes_back_under_new_ids(here: Place) -> None:
    id = await rich(here)
    written = await text(here)
    await here.store.delete_comparison("ann", id)
    done = await taken(here, written)
    assert (done.comparisons, done.problems) == (1, [])
    ((copy,), _) = await here.store.comparisons("ann")
    assert copy.id != id
    await here.store.restore_comparison("ann", id)
    assert len((await here.store.comparisons("ann"))[0]) == 2


async def test_a_blind_session_is_told_to_no_page_before_its_names_are(here: Place, there: Place) -> None:
    id = await blind(here)
    chat = await here.store.create("ann", conversation_id="chat")
    for format in ("jsonl", "markdown", "html"):
        shown = await text(here, format=format, hidden=False)
        assert "says" not in shown and "scripted" not in shown and "lane" not in shown
        assert "names are still hidden" in shown and "Guess" in shown
    done = await taken(there, await text(here, hidden=False))
    assert (done.comparisons, done.conversations) == (0, 1)
    (problem,) = done.problems
    assert str(problem).startswith("f.jsonl:2 (Guess): is not in this export: its names are still hidden")
    assert (await taken(there, await text(here))).comparisons == 1
    assert reduce_log(await there.store.log("ann", id)).hidden
    assert (await there.store.get("ann", chat.id)).id == "chat"


async def blind(place: Place) -> str:
    session = await ComparisonSession.create(
        scripted("a", "b"),
        ["a", "b"],
        owner="ann",
        opened=Opened(blind=True),
        title="Guess",
        store=place.store,
    )
    await session.ask("Who?")
    await session.settled()
    await session.aclose()
    return session.id


async def test_markdown_and_html_show_each_message_and_the_answers_by_lane(here: Place) -> None:
    id = await rich(here)
    await here.store.create("ann", title="A chat")
    for format in ("markdown", "html"):
        one, both = await text(here, format=format, comparison=id), await text(here, format=format)
        assert "A chat" not in one and both.index("A chat") < both.index("Comparison of a, b (2).")
        assert "Comparison of a, b (2)." in one and "taken back since are not shown: 1." in one
        order = [one.index(what) for what in ("Why", "a says 1", "b says 1", "And before?")]
        assert order == sorted(order)
        assert "And then?" not in one and "told to fail" in one and "<script" not in one
    assert "<title>Which?</title>" in await text(here, format="html", comparison=id)
    with pytest.raises(NotStored):
        await text(here, owner="bob", comparison=id)


async def test_a_log_of_a_later_version_is_exported_and_in_what_is_read_said(here: Place) -> None:
    session = await here.store.create_comparison("ann", title="Later")
    await here.store.append("ann", session.id, 0, [{"type": "danced"}])
    assert '"danced"' in await text(here)
    assert "Cannot be shown: its log cannot be followed" in await text(here, format="markdown")
    assert "is not in this export" not in await text(here)
    assert '"left_out"' in await text(here, hidden=False)
