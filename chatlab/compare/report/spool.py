"""Temporary files with the pieces of a long report, of which one at a time is in memory."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

from chatlab.compare.figures import StoredResults
from chatlab.compare.model import Comparison
from chatlab.secret import scrub

T = TypeVar("T")

_PIECE = 100_000  # characters that are scrubbed at once
_IN_MEMORY = 1_000_000  # bytes of a part of a page


class _Pickler(pickle.Pickler):
    """Writes a dataclass as a call of its class with its fields: Python's own way looks them up anew."""

    def reducer_override(self, value: Any) -> Any:
        kind: Any = type(value)
        fields_of = _fields_of(kind)
        return NotImplemented if fields_of is None else (kind, fields_of(value))


@cache
def _fields_of(kind: type) -> Callable[[Any], tuple[Any, ...]] | None:
    """Return what gives the fields of a dataclass that its call takes; None for another class."""
    if not is_dataclass(kind):
        return None
    names = [one.name for one in fields(kind)]
    return attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)


class Spool(Sequence[T], Generic[T]):
    """Values in a temporary file, which goes with this. They are pickled: nobody else can write them."""

    def __init__(self, values: Iterable[T]) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed when nobody has this any more
        weakref.finalize(self, self._file.close)
        self._begins = array("Q")
        for value in values:
            self._begins.append(self._file.tell())
            _Pickler(self._file, pickle.HIGHEST_PROTOCOL).dump(value)

    def __len__(self) -> int:
        return len(self._begins)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[T]: ...
    def __getitem__(self, place: int | slice) -> T | Sequence[T]:
        if isinstance(place, slice):
            return [self[number] for number in range(len(self))[place]]
        self._file.seek(self._begins[place])
        value: T = pickle.load(self._file)  # noqa: S301 - written above
        return value


class ScrubbedText:
    """A part of a page, without secrets, in a temporary file once it is long. octets: how many it has."""

    def __init__(self, text: str = "") -> None:
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed when nobody has this
        weakref.finalize(self, self._file.close)
        self._sizes = array("Q")
        self._held: list[str] = []
        self._length = 0
        self.octets = 0
        if text:
            self.add(text)

    def add(self, text: str) -> None:
        """Add text. It is scrubbed in larger pieces, of whole lines: a credential is seen that stands in
        several of those that are added.
        """
        self._held.append(text)
        self._length += len(text)
        if self._length > _PIECE and "\n" in text:
            lines, _, rest = "".join(self._held).rpartition("\n")
            self._write(f"{lines}\n")
            self._held, self._length = [rest], len(rest)

    def end(self) -> None:
        """Say that nothing more is added."""
        self._write("".join(self._held))
        self._held = []

    def _write(self, text: str) -> None:
        self._sizes.append(self._file.write(scrub(text).encode("utf-8", "replace")))
        self.octets += self._sizes[-1]

    def __iter__(self) -> Iterator[str]:
        """Yield the text in pieces, once it has ended."""
        self._file.seek(0)
        return (self._file.read(size).decode("utf-8") for size in self._sizes)


def many(compared: Comparison, values: Iterable[T]) -> Sequence[T]:
    """Return values of which there is one for each prompt or more: in a file, if the comparison's results are
    in one.
    """
    return Spool(values) if isinstance(compared.results, StoredResults) else tuple(values)
