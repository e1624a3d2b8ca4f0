"""A folder of Parquet files, here or in a cloud: what is in it, and how rows are added to it."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any, TypeAlias

from chatlab.errors import ChatlabError, StoreError
from chatlab.file_lock import lock
from chatlab.installing import how_to_install
from chatlab.secret import scrub
from chatlab.store.files import filesystem
from chatlab.text import well_formed
from chatlab.transfer.parquet.tables import TABLES, Row, TableColumns, TableName

Key: TypeAlias = tuple[Any, ...]

_STATE = "_chatlab.json"  # readers of Parquet skip what begins so
_DAY = re.compile(r"/date=(\d{4}-\d\d-\d\d)/[^/._][^/]*\.parquet$")
_AT_ONCE = 20_000  # rows in one file


class Dataset:
    """The tables below a URL, partitioned by day. Blocks; one at a time may write to a place, which a folder
    sees to. Close it.

    What was written is told by the files themselves, each of which appears whole or not at all: so a run that
    was killed is gone on with by the next, which writes no row twice. content: whether it has what people and
    models wrote; a place has it everywhere or nowhere. added: rows by table.
    """

    def __init__(self, url: str, *, content: bool) -> None:
        try:
            import pyarrow as arrow
            from pyarrow import parquet
        except ModuleNotFoundError as exc:
            raise StoreError(f"Parquet needs pyarrow: {how_to_install('parquet')}") from exc
        from fsspec.implementations.local import LocalFileSystem

        self._arrow, self._parquet = arrow, parquet
        self._fs, self._base = filesystem(url, "--parquet")
        self._local = isinstance(self._fs, LocalFileSystem)
        self._content = content
        self._keys: dict[tuple[TableName, str], set[Key]] = {}
        self.added: Counter[TableName] = Counter()
        self._alone = ExitStack()
        with self._explained(), self._alone:
            if self._local:
                self._have_alone()
            self._fs.invalidate_cache()
            self._agree()
            self._files = {name: self._listed(name) for name in TABLES}
            self._alone = self._alone.pop_all()

    def close(self) -> None:
        """Let another have the place."""
        self._alone.close()

    def _have_alone(self) -> None:
        _make(Path(self._base))
        handle = os.open(self._base, os.O_RDONLY)
        self._alone.callback(os.close, handle)
        try:
            lock(handle)
        except OSError as exc:
            raise StoreError("--parquet: another run writes to that place: wait until it has ended") from exc

    def keys(self, table: TableName) -> set[Key]:
        """Return the keys of all rows of a table."""
        with self._explained():
            return {key for day in list(self._files[table]) for key in self._known(table, day)}

    def add(self, table: TableName, rows: Sequence[Row]) -> None:
        """Add those rows to a table that are not there yet."""
        shape, days = TABLES[table], defaultdict[str, dict[Key, Row]](dict)
        with self._explained():
            for row in rows:
                day = row[shape.dated].astimezone(UTC).date().isoformat()
                key = tuple(row[name] for name in shape.key)
                if key not in self._known(table, day):
                    days[day][key] = row
            for day, new in sorted(days.items()):
                keys = list(new)
                for start in range(0, len(keys), _AT_ONCE):
                    self._write(table, day, [new[key] for key in keys[start : start + _AT_ONCE]])
                self._known(table, day).update(keys)
                self.added[table] += len(keys)

    def _agree(self) -> None:
        wanted = {"format": "chatlab-parquet", "version": 1, "content": self._content}
        place = f"{self._base}/{_STATE}"
        if not self._fs.exists(place):
            self._put(place, json.dumps(wanted).encode())
            return
        found = json.loads(self._fs.cat_file(place))
        if found != wanted:
            other = "with content" if found.get("content") else "without content"
            if found == {**wanted, "content": not self._content}:
                raise StoreError(f"--parquet: that place was begun {other}: go on so, or take another place")
            raise StoreError("--parquet: that place was begun by another version of chatlab: take another")

    def _listed(self, table: TableName) -> dict[str, list[str]]:
        days: dict[str, list[str]] = {}
        for path in self._fs.find(f"{self._base}/{table}"):
            if found := _DAY.search(path):
                days.setdefault(found[1], []).append(path)
        return days

    def _known(self, table: TableName, day: str) -> set[Key]:
        """Return the keys of a day's rows, which are read once."""
        known = self._keys.get((table, day))
        if known is None:
            known = self._keys[table, day] = set()
            names = list(TABLES[table].key)
            for path in self._files[table].get(day, ()):
                with self._fs.open(path) as file:
                    read = self._parquet.ParquetFile(file).read(columns=names)
                known.update(zip(*(read.column(name).to_pylist() for name in names), strict=True))
        return known

    def _write(self, table: TableName, day: str, rows: Sequence[Row]) -> None:
        shape = TABLES[table]
        made = self._arrow.Table.from_pylist([self._plain(row) for row in rows], self._schema(shape))
        content = io.BytesIO()
        self._parquet.write_table(made, content, compression="zstd")
        name = f"{secrets.token_hex(8)}.parquet"
        self._put(f"{self._base}/{table}/date={day}/{name}", content.getvalue())

    def _plain(self, row: Row) -> Mapping[str, Any]:
        """Return a row as Arrow takes it, whose text has no half characters; a number that is none, of an
        upstream or a file, is unknown.
        """

        def plain(value: Any) -> Any:
            if isinstance(value, list):
                return [plain(item) for item in value]
            if isinstance(value, int) and value.bit_length() > 63:
                return None
            return well_formed(value) if isinstance(value, str) else value

        return {name: plain(value) for name, value in row.items()}

    def _schema(self, shape: TableColumns) -> Any:
        arrow = self._arrow
        types = {
            "text": arrow.string(),
            "texts": arrow.list_(arrow.string()),
            "JSON": arrow.string(),
            "integer": arrow.int64(),
            "number": arrow.float64(),
            "time": arrow.timestamp("us", "UTC"),
            "boolean": arrow.bool_(),
        }
        return arrow.schema(
            [(one.name, types[one.type]) for one in shape.columns if self._content or not one.content]
        )

    def _put(self, path: str, content: bytes) -> None:
        """Write a file that appears whole, as an object of a cloud does anyway."""
        if not self._local:
            self._fs.pipe_file(path, content)
            return
        final = Path(path)
        _make(final.parent)
        beside = final.with_name(f".{final.name}.unfinished")
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(final)
        finally:
            beside.unlink(missing_ok=True)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ChatlabError:
            raise
        except Exception as exc:
            # Each cloud has exceptions of its own, whose text may hold the URL's secret.
            said = exc.strerror if isinstance(exc, OSError) and exc.strerror else scrub(str(exc))
            said = said.partition("\n")[0]
            raise StoreError(f"--parquet: that place cannot be used: {type(exc).__name__}: {said}") from exc


def _make(folder: Path) -> None:
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    for one in reversed(missing):  # `parents=True` would let others read all but the last
        one.mkdir(mode=0o700, exist_ok=True)
