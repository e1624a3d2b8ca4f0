"""The prompts of a run in a file, one a line, of which one at a time is in memory."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np

from chatlab.compare.batch.item import Item
from chatlab.compare.batch.prompts import ItemsHash, item_from_json, item_to_json
from chatlab.compare.batch.whole_file import whole_file
from chatlab.compare.model_json import to_line
from chatlab.quick_json import load_quickly

_RECENT = 8  # prompts that stay in memory, and more
_RECENT_BYTES = 200_000  # while their lines are no longer


class StoredItems(Sequence[Item]):
    """Prompts in a file of their own. In memory are 32 bytes of each: where its line begins, how many answers
    it gets, and a number that its id gives.

    It is the file at `path`; without one a temporary file, which goes with this.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._file: BinaryIO = tempfile.TemporaryFile() if path is None else path.open("rb")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._begins = array("Q", [0])
        self.steps = array("Q")
        """How many answers each gets of every lane and repeat."""
        self.sha256 = ""
        """Of what they say, see `ItemsHash`."""
        self._ids = np.zeros(0, np.uint64)  # sorted
        self._numbers = np.zeros(0, np.int64)  # of the items with these ids
        # Read last: each lane asks for the same ones, some apart, and the store for those of half a second.
        self._recent: dict[int, Item] = {}
        self._recent_bytes = 0

    @classmethod
    def of(cls, items: Iterable[Item]) -> StoredItems:
        """Return them in a temporary file."""
        made = cls()

        def written() -> Iterator[tuple[Item, Mapping[str, Any], int]]:
            for item in items:
                value = item_to_json(item)
                yield item, value, made._file.write(to_line(value).encode("utf-8"))

        made._index(written())
        return made

    @classmethod
    def at(cls, path: Path) -> StoredItems:
        """Return those of a file that `write` made. Raises OSError, and ValueError with file and line."""
        made = cls(path)
        made._index((item, item_to_json(item), size) for item, size in _read(path, made._file))
        return made

    def _index(self, items: Iterable[tuple[Item, Mapping[str, Any], int]]) -> None:
        """Take items, each as JSON too, with the bytes of their lines."""
        ids, said = array("Q"), ItemsHash()
        for item, value, size in items:
            said.add(value)
            self._begins.append(self._begins[-1] + size)
            self.steps.append(len(item.asked))
            ids.append(_number_of(item.id))
        found = np.array(ids, np.uint64)
        self._numbers = np.argsort(found)
        self._ids = found[self._numbers]
        self.sha256 = said.hexdigest()

    def number(self, item_id: str) -> int | None:
        """Return the number of the prompt with an id, from 0; None if there is none."""
        wanted = np.uint64(_number_of(item_id))
        place = int(self._ids.searchsorted(wanted))
        if place == len(self._ids) or self._ids[place] != wanted:
            return None
        return int(self._numbers[place])

    def id_of(self, number: int) -> str:
        """Return the id of the prompt of a number."""
        item = self._recent.get(number)
        return str(self._value(number)["id"]) if item is None else item.id

    def write(self, path: Path) -> None:
        """Write them to a file, whole or not at all."""
        with whole_file(path) as out:
            self._file.seek(0)
            shutil.copyfileobj(self._file, out)

    def __len__(self) -> int:
        return len(self.steps)

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | Sequence[Item]:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        number = range(len(self))[place]
        item = self._recent.get(number)
        if item is None:
            item = self._recent[number] = item_from_json(self._value(number))
            self._recent_bytes += self._size(number)
            while self._recent_bytes > _RECENT_BYTES and len(self._recent) > _RECENT:
                oldest = next(iter(self._recent))
                del self._recent[oldest]
                self._recent_bytes -= self._size(oldest)
        return item

    def _value(self, number: int) -> Any:
        self._file.seek(self._begins[number])
        return load_quickly(self._file.read(self._size(number)))

    def _size(self, number: int) -> int:
        return self._begins[number + 1] - self._begins[number]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        same = zip(self, other, strict=False)
        return self is other or (len(self) == len(other) and all(a == b for a, b in same))


def stored_items(items: Sequence[Item]) -> StoredItems:
    """Return items as they are if they are in a file, or else in a temporary one."""
    return items if isinstance(items, StoredItems) else StoredItems.of(items)


def _read(path: Path, file: BinaryIO) -> Iterator[tuple[Item, int]]:
    for number, line in enumerate(iter(file.readline, b""), 1):
        try:
            yield item_from_json(load_quickly(line)), len(line)
        except KeyError as exc:
            raise ValueError(f"{path}:{number}: {exc} is missing") from exc
        except (TypeError, ValueError, AttributeError) as exc:
            raise ValueError(f"{path}:{number}: {exc}") from exc


def _number_of(item_id: str) -> int:
    """Return a number of 64 bits for an id: that two of a million get the same is less likely than one in ten
    million.
    """
    said = blake2b(item_id.encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(said.digest(), "big")
