"""Temporary files with the pieces of a long report, of which one at a time is in memory."""

from __future__ import annotations

import pickle
import tempfile
import weakref
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass, replace
from functools import cache
from operator import attrgetter
from typing import Any, Generic, TypeVar, overload

from chatlab.compare.figures import Figures, StoredResults
from chatlab.compare.model import Comparison, Result

T = TypeVar("T")


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


class SpooledResults(Spool[Result], StoredResults):
    """Results in a temporary file. figures: of all of them."""

    def __init__(self, values: Iterable[Result], figures: Figures) -> None:
        super().__init__(values)
        self._figures = figures

    @property
    def figures(self) -> Figures:
        """Return the figures of all of them."""
        return self._figures

    def rename(self, name: Callable[[str], str]) -> None:
        """Have the figures speak of prompts as the results do now. name: the new name of an old one."""
        items = [name(item) for item in self._figures.items]
        if items != self._figures.items:
            self._figures = replace(self._figures, items=items)


def many(compared: Comparison, values: Iterable[T]) -> Sequence[T]:
    """Return values of which there is one for each prompt or more: in a file, if the comparison's results are
    in one.
    """
    return Spool(values) if isinstance(compared.results, StoredResults) else tuple(values)
