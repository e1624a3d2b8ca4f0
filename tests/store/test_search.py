"""The search: what it finds, in which order, and what cannot break it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from chatlab.messages import TextPart
from chatlab.store import Store
from chatlab.store.sql import SqlStore
from tests.store.test_exact import exactly
from tests.store.values import finished, turn_in, with_file

ME = "owner-1"


async def titles(store: Store, wanted: str, **asked: int) -> list[str]:
    return [hit.conversation.title for hit in await store.search(ME, wanted, **asked)]


async def test_messages_answers_titles_and_file_names_are_found_by_the_beginnings_of_words(
    store: Store,
) -> None:
    chat = await store.create(ME, title="Holiday plans")
    turn = finished(chat, "Where is the Käsebrot?", "In a comparison of cheeses, naïvely.")
    await store.save([turn, with_file(chat, "ab")])
    for wanted in (
        "holi",
        "HOLIDAY",
        "plans hol",
        "kasebrot",
        "Käse",
        "compar",
        "naive chees where",
        "cat png",
    ):
        assert await titles(store, wanted) == ["Holiday plans"], wanted
    await store.save([finished(chat, "vitamin c", "")])
    assert await titles(store, "vitamin c") == ["Holiday plans"]
    for wanted in ("h", "vit c k", "oliday", "rison", "cheeses dogs", "holiday cheeses"):
        assert await titles(store, wanted) == [], wanted


async def test_a_hit_shows_the_turn_and_the_words_in_their_surroundings(store: Store) -> None:
    chat = await store.create(ME, title="Numbers")
    words = [f"word{number}" for number in range(500)]
    turn = finished(chat, "Count!", " ".join(words))
    await store.save([turn])
    [hit] = await store.search(ME, "word250 WORD251")
    assert (hit.conversation.id, hit.turn) == (chat.id, turn.id)
    assert "word249 \ue000word250\ue001 \ue000word251\ue001 word252" in hit.snippet
    assert hit.snippet.startswith("…")
    assert hit.snippet.endswith("…")
    assert len(hit.snippet) < 200
    [by_title] = await store.search(ME, "numb")
    assert (by_title.turn, by_title.snippet) == (None, "\ue000Numbers\ue001")


async def test_signs_of_our_own_in_a_text_mark_nothing(store: Store) -> None:
    chat = await store.create(ME, title="x")
    await store.save([finished(chat, "\ue000evil\ue001 cats", "")])
    [hit] = await store.search(ME, "cats")
    assert hit.snippet == "evil \ue000cats\ue001"


async def test_titles_come_first_then_the_newest_turn_and_each_chat_once(store: Store) -> None:
    for name in ("old", "middle", "new"):
        chat = await store.create(ME, title=name)
        await store.save([finished(chat, "about cats", f"cats {number}") for number in range(3)])
    await store.create(ME, title="cats")
    assert await titles(store, "cats") == ["cats", "new", "middle", "old"]
    assert await titles(store, "cats", limit=2) == ["cats", "new"]
    assert await titles(store, "cats", limit=0) == []


async def test_a_chat_with_many_hits_does_not_hide_the_others(store: Store) -> None:
    quiet, loud = await store.create(ME, title="quiet"), await store.create(ME, title="loud")
    await store.save([finished(quiet, "cats", "")])
    await store.save([finished(loud, "cats", str(number)) for number in range(450)])
    assert await titles(store, "cats") == ["loud", "quiet"]


async def test_a_running_answer_is_found_once_it_has_ended(store: Store) -> None:
    chat = await store.create(ME, title="x")
    turn = turn_in(chat, "question")
    await store.save([turn])
    await store.save([replace(turn, answer=(TextPart("halfway"),))])
    assert await titles(store, "question") == ["x"]
    assert await titles(store, "halfway") == []
    await store.save([replace(turn, answer=(TextPart("halfway there"),), status="stopped")])
    assert await titles(store, "question there") == ["x"]
    await store.save([replace(turn, answer=(TextPart("other"),), status="finished")])
    assert await titles(store, "halfway") == []
    assert await titles(store, "other") == ["x"]


async def test_a_title_is_found_by_what_it_is_now(store: Store) -> None:
    chat = await store.create(ME, title="Cats")
    await store.change(ME, chat.id, title="Dogs")
    assert (await titles(store, "cats"), await titles(store, "dogs")) == ([], ["Dogs"])
    unnamed = await store.create(ME)
    await store.save([turn_in(unnamed, "Horses")])
    hit = (await store.search(ME, "horses"))[0]
    assert hit.turn is None


async def test_what_is_purged_is_not_in_the_index_either(store: SqlStore) -> None:
    from sqlalchemy import Connection, text

    from chatlab.store import now

    chat = await store.create(ME, title="Cats")
    await store.save([finished(chat, "cats", "cats")])
    await store.delete(ME, chat.id)
    assert await titles(store, "cats") == []
    await store.purge(deleted_before=now())

    def left(connection: Connection, query: str) -> int:
        return connection.execute(text(query)).scalar_one()

    assert await store._database.read(left, "SELECT count(*) FROM documents") == 0
    if store._database.sqlite:
        found = "SELECT count(*) FROM documents_words WHERE documents_words MATCH 'cats'"
        assert await store._database.read(left, found) == 0


async def test_lanes_of_a_comparison_are_not_found_among_the_chats(store: Store) -> None:
    session = await store.create_comparison(ME)
    lane = await store.create(ME, title="cats", comparison=session.id)
    await store.save([finished(lane, "cats", "cats")])
    await store.change(ME, lane.id, title="cats again")
    assert await titles(store, "cats") == []


async def test_chinese_japanese_and_korean_are_found_in_the_middle_too(store: Store) -> None:
    chat = await store.create(ME, title="x")
    await store.save([finished(chat, "我喜欢吃苹果", "ネコが好きです 한국어")])
    for wanted in ("苹果", "喜欢", "ネコ", "국어"):
        assert await titles(store, wanted) == ["x"], wanted
    assert await titles(store, "梨") == []


async def test_very_long_texts_and_words_are_stored_and_found(store: Store) -> None:
    chat = await store.create(ME, title="x")
    many = " ".join(f"{number:x}ö" * 5 for number in range(60_000))
    await store.save([finished(chat, "long", many), finished(chat, "z" * 300_000, "𝒳" * 100_000)])
    assert await titles(store, "1f401f401f") == []  # no word, but the search is still there
    assert await titles(store, "long") == ["x"]
    assert await titles(store, "z" * 80) == ["x"]


TYPED = [
    *("", " ", "!!!", '"', "'", "''", '"cats', "cats*", "NEAR(cats dogs)", "cats AND", "OR", "NOT cats"),
    *("words:cats", "o:1", "t:", "^cats", "-cats", "cats & !dogs", "cats <-> dogs", "cats:*", "\\", "%"),
    *("😀", "\0", "\ud800cats", "cats\ud83d", "; DROP TABLE turns", "(", "{}", "cats " * 500, "ß½²"),
]


async def test_nothing_that_is_typed_breaks_the_search(store: Store) -> None:
    chat = await store.create(ME, title="x")
    await store.save([finished(chat, "cats and or not near dogs 😀 ½ ss", "")])
    for wanted in TYPED:
        await store.search(ME, wanted)
    assert await titles(store, "cats") == ["x"]


@exactly
@given(st.text(st.characters(exclude_categories=()), max_size=40))
async def test_whatever_was_written_is_found_by_its_own_text(store: Store, text: str) -> None:
    from chatlab.store._search import words_of

    chat = await store.create(ME, title=".")
    await store.save([finished(chat, text, "")])
    hits = await store.search(ME, text, limit=1000)
    assert (chat.id in {hit.conversation.id for hit in hits}) == bool(list(words_of(text)))
