"""What is stored, as Parquet: all of it, once, whatever happens to a run."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from chatlab.compare.model import Lane, Vote
from chatlab.compare.session.events import LaneAdded, Opened, Voted, event_to_data
from chatlab.config.models import Storage as StorageConfig
from chatlab.conversations.storage import OpenStorage, open_storage
from chatlab.errors import StoreError
from chatlab.ids import ConversationId, LaneId, RoundId
from chatlab.messages import Finish, Notice, ReasoningPart, TextPart, Timing, Usage
from chatlab.store import StoredConversation, now
from chatlab.store.files import filesystem
from chatlab.transfer.parquet import export_parquet
from chatlab.transfer.parquet.tables import TABLES
from tests.store.values import finished, turn_in

DOCS = Path(__file__).parents[3] / "docs"
WRITTEN = "canary-9d3e"
OLD = datetime(2024, 2, 29, 23, 59, 59, 5, UTC)


class Breaking(MemoryFileSystem):
    """A cloud's storage that is lost after so many files, the last one of which was written or was not."""

    protocol = "breaking"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    left: ClassVar[int] = 0
    last_is_written: ClassVar[bool] = False

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        Breaking.left -= 1
        if Breaking.left >= 0 or self.last_is_written:
            super().pipe_file(path, value, mode, **kwargs)
        if Breaking.left < 0:
            raise OSError("the connection is lost\nRequestId: 4711\n<Error>")


fsspec.register_implementation("breaking", Breaking, clobber=True)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[OpenStorage]:
    config = StorageConfig(url=f"sqlite:{tmp_path}/chatlab.db", files=f"{tmp_path}/files")
    async with open_storage(config) as opened:
        assert opened is not None
        yield opened


async def filled(storage: OpenStorage) -> StoredConversation:
    """Return a chat, beside which there are others' chats and a comparison session with a vote."""
    store = storage.store
    chat = await store.create("ann")
    answered = finished(
        chat,
        f"{WRITTEN} \ud83d",
        WRITTEN,
        created=OLD,
        parameters={"temperature": 0.2},
        notices=(Notice("file_dropped", WRITTEN),),
        finish=Finish("stop", Usage(7, 2, cached=4), model="tiny-1"),
        timing=Timing(first_token=0.5, total=1.5),
        cost=0.25,
    )
    thinking = (ReasoningPart(f"hm {WRITTEN}"), TextPart("b"))
    failed = turn_in(chat, "x", parent=answered.id, status="failed", answer=thinking, error=WRITTEN)
    await store.save([answered, failed])
    await store.save([finished(await store.create("bob", title=WRITTEN), "hi", "ho")])
    session = await store.create_comparison("ann", title=WRITTEN)
    lane = await store.create("ann", comparison=session.id)
    sent = {"backend": "echo", "kind": "echo", "messages": [{"text": WRITTEN}], "dropped": [WRITTEN]}
    turn = finished(lane, "q", "a")
    await store.save([turn], receipts={turn.id: sent})
    seen = Lane(LaneId("l1"), "echo", "Echo")
    vote = Vote(RoundId("r1"), "overall", "l1", (LaneId("l1"),), "ann", now(), True, note=WRITTEN)
    events = (Opened(), LaneAdded(seen, ConversationId(lane.id)), Voted(vote))
    await store.append("ann", session.id, 0, [event_to_data(event) for event in events])
    return chat


def read(place: Path, table: str) -> list[dict[str, Any]]:
    files = f"{place}/{table}/**/*.parquet"
    found = duckdb.sql(f"FROM read_parquet('{files}', hive_partitioning = true)")
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


async def test_all_that_is_stored_is_there_and_nothing_twice(storage: OpenStorage, tmp_path: Path) -> None:
    chat, place = await filled(storage), tmp_path / "out"
    added = await export_parquet(storage.store, str(place))
    assert added == {
        "turns": 4,
        "timings": 4,
        "receipts": 1,
        "votes": 1,
        "conversations": 3,
        "comparisons": 1,
    }
    first, second = sorted((one for one in read(place, "turns") if one["owner"] == "ann"), key=by_time)[:2]
    assert first["date"].isoformat() == "2024-02-29" and first["created"] == OLD
    assert first["question"] == f"{WRITTEN} \ufffd" and first["answer"] == WRITTEN
    assert (first["model"], first["input_tokens"], first["cached_tokens"]) == ("tiny-1", 7, 4)
    assert (first["reasoning_tokens"], first["cost"], first["notices"]) == (None, 0.25, ["file_dropped"])
    assert json.loads(first["parameters"]) == {"temperature": 0.2}
    assert (second["parent"], second["status"], second["error"]) == (first["id"], "failed", WRITTEN)
    assert second["reasoning"] == f"hm {WRITTEN}"
    (timing,) = (one for one in read(place, "timings") if one["turn"] == first["id"])
    assert (timing["first_token"], timing["total"], timing["connected"]) == (0.5, 1.5, None)
    (vote,), (receipt,) = read(place, "votes"), read(place, "receipts")
    assert (vote["best_backend"], vote["shown_backends"], vote["blind"]) == ("echo", ["echo"], True)
    assert json.loads(receipt["messages"]) == [{"text": WRITTEN}]
    assert await export_parquet(storage.store, str(place)) == {}
    more = finished(chat, "more", "later")
    await storage.store.save([more])
    assert await export_parquet(storage.store, str(place)) == {"turns": 1, "timings": 1, "conversations": 1}
    assert len(read(place, "turns")) == 5


def by_time(row: dict[str, Any]) -> datetime:
    found: datetime = row["created"]
    return found


async def test_a_turn_is_there_once_it_has_ended_and_an_import_is_whenever_it_comes(
    storage: OpenStorage, tmp_path: Path
) -> None:
    store, place = storage.store, str(tmp_path / "out")
    chat = await store.create("ann")
    running = turn_in(chat, "slow")
    await store.save([running])
    assert await export_parquet(store, place) == {}
    await store.save([finished(chat, "slow", "done", id=running.id)])
    old = StoredConversation("c-old", "ann", "Old", OLD, OLD)
    await store.adopt(old, [finished(old, "then", "long ago", created=OLD)])
    assert await export_parquet(store, place) == {"turns": 2, "timings": 2, "conversations": 2}


async def test_a_number_that_no_column_has_room_for_is_unknown(storage: OpenStorage, tmp_path: Path) -> None:
    chat = await storage.store.create("ann")
    finish = Finish("stop", Usage(2**63, 2**63 - 1))
    await storage.store.save([finished(chat, "a", "b", finish=finish, timing=Timing(attempts=2**70))])
    await export_parquet(storage.store, str(tmp_path / "out"))
    (turn,), (timing,) = read(tmp_path / "out", "turns"), read(tmp_path / "out", "timings")
    assert (turn["input_tokens"], turn["output_tokens"], timing["attempts"]) == (None, 2**63 - 1, None)


async def test_two_runs_at_once_write_no_row_twice(storage: OpenStorage, tmp_path: Path) -> None:
    await filled(storage)
    runs = (export_parquet(storage.store, str(tmp_path / "out")) for _ in range(2))
    done = await asyncio.gather(*runs, return_exceptions=True)
    assert sorted(map(str, done))[0] == "--parquet: another run writes to that place: wait until it has ended"
    assert len(read(tmp_path / "out", "turns")) == 4
    assert await export_parquet(storage.store, str(tmp_path / "out")) == {}


@pytest.mark.parametrize("last_is_written", [False, True])
async def test_a_run_that_is_lost_is_gone_on_with_wherever_it_was(
    storage: OpenStorage, last_is_written: bool
) -> None:
    await filled(storage)
    Breaking.store.clear()
    Breaking.last_is_written, runs = last_is_written, 0
    while True:
        Breaking.left, runs = 1 if not last_is_written else 0, runs + 1
        try:
            await export_parquet(storage.store, "breaking://bucket/out")
            break
        except StoreError as exc:
            assert str(exc) == "--parquet: that place cannot be used: OSError: the connection is lost"
    rows = {table: list(stored(table)) for table in TABLES}
    assert runs > 6 and {table: len(found) for table, found in rows.items()} == {
        "turns": 4,
        "timings": 4,
        "receipts": 1,
        "votes": 1,
        "conversations": 3,
        "comparisons": 1,
    }
    keys = [row[TABLES["turns"].key[0]] for row in rows["turns"]]
    assert len(set(keys)) == len(keys)


def stored(table: str) -> Iterator[dict[str, Any]]:
    from pyarrow import parquet

    fs, base = filesystem("breaking://bucket/out")
    for path in fs.find(f"{base}/{table}"):
        with fs.open(path) as file:
            yield from parquet.ParquetFile(file).read().to_pylist()


async def test_content_can_be_left_out_and_then_is_nowhere(storage: OpenStorage, tmp_path: Path) -> None:
    await filled(storage)
    place = tmp_path / "out"
    await export_parquet(storage.store, str(place), content=False)
    for table, shape in TABLES.items():
        rows = read(place, table)
        assert set(rows[0]) == {"date", *(one.name for one in shape.columns if not one.content)}
        assert WRITTEN not in str(rows)
    with pytest.raises(StoreError, match="begun without content"):
        await export_parquet(storage.store, str(place))


async def test_what_is_exported_is_its_owners_alone(storage: OpenStorage, tmp_path: Path) -> None:
    await filled(storage)
    await export_parquet(storage.store, str(tmp_path / "out"))
    assert {oct(one.stat().st_mode & 0o077) for one in (tmp_path / "out").rglob("*")} == {"0o0"}


def test_a_place_that_cannot_be_used_is_said_in_a_sentence(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("backends: {echo: {kind: echo}}\n")
    (tmp_path / "taken").write_text("a file")
    run = [sys.executable, "-m", "chatlab"]
    subprocess.run([*run, "db", "upgrade", str(config)], check=True, capture_output=True)
    tried = [*run, "export", str(config), "--parquet", f"{tmp_path}/taken/out"]
    done = subprocess.run(tried, capture_output=True, text=True)
    assert done.returncode == 1
    said = "--parquet: that place cannot be used: NotADirectoryError: Not a directory"
    assert done.stderr == f"chatlab: {said}\n"


def test_the_documentation_has_every_column() -> None:
    told = (DOCS / "analytics.md").read_text("utf-8")
    assert [line for line in columns_as_documented() if line not in told] == []


def columns_as_documented() -> Iterator[str]:
    """Yield the lines of docs/analytics.md: `python -m tests.transfer.parquet.test_parquet` prints them."""
    for table, shape in TABLES.items():
        yield f"### `{table}`"
        for one in shape.columns:
            yield f"| `{one.name}` | {one.type}{', content' if one.content else ''} | {one.description} |"


async def test_the_notebook_runs(
    storage: OpenStorage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    await filled(storage)
    await export_parquet(storage.store, str(tmp_path / "analytics"))
    monkeypatch.chdir(tmp_path)
    notebook, names = json.loads((DOCS / "analytics.ipynb").read_text("utf-8")), {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert "echo" in capsys.readouterr().out


if __name__ == "__main__":
    print("\n".join(columns_as_documented()))
