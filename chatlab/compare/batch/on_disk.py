"""The results and verdicts of a run, which stay on the disk: in memory is where each begins, and figures."""

from __future__ import annotations

import weakref
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import accumulate, combinations
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeAlias, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from chatlab.compare.batch.append_log import JournalLine, line_at
from chatlab.compare.batch.stored_items import StoredItems
from chatlab.compare.figures import UNKNOWN, Figures, StoredResults, no_figures, row_of
from chatlab.compare.model import UNCLEAR, Lane, Result, Verdict
from chatlab.compare.model_json import result_from_json, verdict_from_json
from chatlab.errors import StoreError

K = TypeVar("K")
T = TypeVar("T")

ResultKey: TypeAlias = tuple[str, int, int, str]
VerdictKey: TypeAlias = tuple[str, int, str, str, str]
Numbers: TypeAlias = NDArray[np.int64]


def key_of(result: Result) -> ResultKey:
    """Return what a result is about."""
    return result.item, result.step, result.repeat, result.lane


def verdict_key(verdict: Verdict) -> VerdictKey:
    """Return what a verdict is about."""
    return verdict.item, verdict.repeat, verdict.lane_a, verdict.lane_b, verdict.criterion


class _OnDisk(Mapping[K, T], Generic[K, T]):
    """The lines of a journal by what they are about. Each is read when it is asked for.

    What the plan wants has a number, in the order of a report, whether it is there or not. begins: where the
    lines begin, from 1, by that number; 0 is none.
    """

    def __init__(self, path: Path, read: Callable[[Any], T], key: Callable[[T], K], size: int) -> None:
        self._path = path
        self._read = read
        self._key = key
        self.begins = np.zeros(size, np.int64)

    @abstractmethod
    def number(self, key: K) -> int:
        """Return the number of what a line is about. Raises ValueError for what is of another run."""

    def take(self, line: JournalLine) -> None:
        """Take a line that the journal has. Raises StoreError if it is none of this run."""
        try:
            self.add(self._read(line.value), line.begin)
        except ValueError as exc:
            raise StoreError(f"{self._path}:{line.number}: {exc}") from exc

    def add(self, value: T, begin: int) -> int:
        """Take what was written where it begins, and return its number. Of what was asked for again, the last
        line counts.
        """
        number = self.number(self._key(value))
        self.begins[number] = begin + 1
        return number

    def open(self) -> BinaryIO:
        """Return the journal, for who reads many of its lines. Close it."""
        return self._path.open("rb")

    def numbered(self, number: int, file: BinaryIO | None = None) -> T:
        """Return the value of a number that is there. file: the journal, where it is open already."""
        try:
            return self._read(line_at(self._path, int(self.begins[number]) - 1, file))
        except ValueError as exc:
            raise StoreError(f"{self._path} was changed while it was read: {exc}") from exc

    def find(self, key: K) -> int | None:
        """Return the number of what is there about a key; None if nothing is."""
        try:
            number = self.number(key)
        except ValueError:
            return None
        return number if self.begins[number] else None

    def __getitem__(self, key: K) -> T:
        number = self.find(key)
        if number is None:
            raise KeyError(key)
        return self.numbered(number)

    def __contains__(self, key: object) -> bool:
        return self.find(cast(K, key)) is not None

    def __iter__(self) -> Iterator[K]:
        return (self._key(self.numbered(number)) for number in self.there().tolist())

    def __len__(self) -> int:
        return len(self.there())

    @property
    def wanted(self) -> int:
        """Return how many lines there are to be in the end."""
        return len(self.begins)

    def there(self) -> Numbers:
        """Return the numbers of all that is there, in their order."""
        return np.flatnonzero(self.begins)


class ResultsOnDisk(_OnDisk[ResultKey, Result]):
    """The results of a run: prompt by prompt, then repeat by repeat, lane by lane and step by step."""

    def __init__(self, items: StoredItems, lanes: Sequence[Lane], repeats: int, path: Path) -> None:
        self._items = items
        self._lanes: dict[str, int] = {lane.id: number for number, lane in enumerate(lanes)}
        self._repeats = repeats
        each = repeats * len(lanes)
        self._first_of = array("Q", accumulate((each * steps for steps in items.steps), initial=0))
        super().__init__(path, result_from_json, key_of, self._first_of[-1])
        self._rows = no_figures(self._first_of[-1])
        self._finished = self._rows["finished"]  # what is looked at for each call
        self._models: set[tuple[str, str]] = set()

    def number(self, key: ResultKey) -> int:
        item, step, repeat, lane = key
        place = _place(item, self._items, {lane}, self._lanes)
        if not (0 <= step < self.steps(place) and 0 <= repeat < self._repeats):
            raise ValueError(f"{item!r} has no message {step + 1} in repeat {repeat + 1} by run.json")
        return self._first(place, repeat, self._lanes[lane]) + step

    def add(self, value: Result, begin: int) -> int:
        number = super().add(value, begin)
        self._rows[number] = row_of(value)
        if value.receipt is not None:
            of = (value.receipt.model, value.receipt.model_answered)
            self._models.update((value.lane, model) for model in of if model)
        return number

    def models(self) -> Set[tuple[str, str]]:
        """Return the lanes by their ids with the models that were asked for and that answered."""
        return self._models

    def steps(self, item: int) -> int:
        """Return how many answers the prompt of this number gets of each lane and repeat."""
        return self._items.steps[item]

    def _first(self, item: int, repeat: int, lane: int) -> int:
        """Return the number of a conversation's first answer."""
        return self._first_of[item] + (repeat * len(self._lanes) + lane) * self.steps(item)

    def progress(self, item: int, repeat: int, lane: int) -> tuple[int, bool]:
        """Return how many steps of a conversation have an answer, from the first on, and whether the next one
        has failed. item, lane: their numbers in the plan. Nothing is read for it.
        """
        first, steps = self._first(item, repeat, lane), self.steps(item)
        done = 0
        while done < steps and self._finished[first + done]:
            done += 1
        return done, done < steps and bool(self.begins[first + done])

    def conversation(self, item: int, repeat: int, lane: int) -> list[Result]:
        """Return the steps of a conversation that have an answer, from the first on."""
        first = self._first(item, repeat, lane)
        done, _ = self.progress(item, repeat, lane)
        return [self.numbered(number) for number in range(first, first + done)]

    def begun(self, item: int) -> bool:
        """Return whether any answer to a prompt is there. Nothing is read for it."""
        return bool((self.begins[self._first_of[item] : self._first_of[item + 1]] > 0).any())

    def ended(self, item: int) -> bool:
        """Return whether every lane and repeat has ended with a prompt: with its last step, or with one that
        failed. Nothing is read for it.
        """
        steps = self.steps(item)
        of = slice(self._first_of[item], self._first_of[item + 1])
        there, finished = self.begins[of] > 0, self._finished[of]
        last = np.arange(len(there)) % steps == steps - 1
        return bool((there & (last | ~finished)).reshape(-1, steps).any(axis=1).all())

    def longest(self) -> dict[str, int]:
        """Return the most tokens that each lane has answered with, as far as known."""
        figures = self.in_order().figures
        found = {}
        for lane, number in self._lanes.items():
            most = figures.rows["tokens_out"][figures.lane == number].max(initial=UNKNOWN)
            if most != UNKNOWN:
                found[lane] = int(most)
        return found

    def failed(self) -> ResultsInOrder:
        """Return those that did not finish, as they came."""
        failed = np.flatnonzero((self.begins > 0) & ~self._finished)
        return ResultsInOrder(self, failed[np.argsort(self.begins[failed])])

    def in_order(self) -> ResultsInOrder:
        """Return what is there now, for a report."""
        return ResultsInOrder(self, self.there())

    def figures(self, numbers: Numbers) -> Figures:
        """Return the figures of the answers of these numbers."""
        begins = np.array(self._first_of, np.int64)
        item = np.searchsorted(begins, numbers, "right") - 1
        lanes = len(self._lanes)
        steps = np.array(self._items.steps, np.int64)[item]
        conversation, step = np.divmod(numbers - begins[item], steps)
        asked, place = np.unique(item, return_inverse=True)
        repeat, lane = np.divmod(conversation, lanes)
        return Figures(
            [self._items.id_of(number) for number in asked.tolist()],
            np.asarray(place, np.int32),
            np.asarray(step, np.int32),
            np.asarray(repeat, np.int32),
            np.asarray(lane, np.int32),
            self._rows[numbers],
        )


class ResultsInOrder(StoredResults):
    """Some results of a run, in their order."""

    def __init__(self, of: ResultsOnDisk, numbers: Numbers) -> None:
        self._of = of
        self._numbers = numbers
        self._figures: Figures | None = None
        self._file: BinaryIO | None = None

    @property
    def figures(self) -> Figures:
        """Return the figures of all of them."""
        if self._figures is None:
            self._figures = self._of.figures(self._numbers)
        return self._figures

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Result: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Result]: ...
    def __getitem__(self, place: int | slice) -> Result | Sequence[Result]:
        if isinstance(place, slice):
            return ResultsInOrder(self._of, self._numbers[place])
        if self._file is None:
            self._file = self._of.open()
            weakref.finalize(self, self._file.close)
        return self._of.numbered(int(self._numbers[place]), self._file)


class VerdictsOnDisk(_OnDisk[VerdictKey, Verdict]):
    """The verdicts of a run: prompt by prompt, and then repeat by repeat."""

    def __init__(
        self, items: StoredItems, lanes: Sequence[Lane], repeats: int, criteria: Sequence[str], path: Path
    ) -> None:
        self._items = items
        self._lanes: dict[str, int] = {lane.id: number for number, lane in enumerate(lanes)}
        self._repeats = repeats
        self._of: dict[tuple[str, str, str], int] = {
            (a.id, b.id, criterion): number
            for number, ((a, b), criterion) in enumerate(
                (pair, criterion) for pair in combinations(lanes, 2) for criterion in criteria
            )
        }
        size = len(items) * repeats * len(self._of)
        super().__init__(path, verdict_from_json, verdict_key, size)
        self._unclear = np.zeros(size, bool)

    def number(self, key: VerdictKey) -> int:
        item, repeat, lane_a, lane_b, criterion = key
        place = _place(item, self._items, {lane_a, lane_b}, self._lanes)
        of = self._of.get((lane_a, lane_b, criterion))
        if of is None or not 0 <= repeat < self._repeats:
            raise ValueError(
                f"run.json wants no verdict on {criterion!r} of these lanes in repeat {repeat + 1}"
            )
        return (place * self._repeats + repeat) * len(self._of) + of

    def add(self, value: Verdict, begin: int) -> int:
        number = super().add(value, begin)
        self._unclear[number] = value.winner == UNCLEAR
        return number

    def is_unclear(self, key: VerdictKey) -> bool | None:
        """Return whether a verdict is unclear; None if there is none. Nothing is read for it."""
        number = self.find(key)
        return None if number is None else bool(self._unclear[number])

    def unclear(self) -> VerdictsInOrder:
        """Return those that are unclear, as they came."""
        found = np.flatnonzero(self._unclear)
        return VerdictsInOrder(self, found[np.argsort(self.begins[found])])

    def in_order(self) -> VerdictsInOrder:
        """Return what is there now, for a report: those of a prompt and repeat as they came."""
        there = self.there()
        return VerdictsInOrder(self, there[np.lexsort((self.begins[there], there // max(1, len(self._of))))])


class VerdictsInOrder(Sequence[Verdict]):
    """Some verdicts of a run, in their order."""

    def __init__(self, of: VerdictsOnDisk, numbers: Numbers) -> None:
        self._of = of
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> Verdict: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Verdict]: ...
    def __getitem__(self, place: int | slice) -> Verdict | Sequence[Verdict]:
        if isinstance(place, slice):
            return VerdictsInOrder(self._of, self._numbers[place])
        return self._of.numbered(int(self._numbers[place]))


def _place(item: str, items: StoredItems, of: Set[str], lanes: Mapping[str, int]) -> int:
    """Return a prompt's number. Raises ValueError for what is of another run."""
    number = items.number(item)
    if number is None:
        raise ValueError(f"run.json has no prompt {item!r}: this line is of another run")
    if not of <= lanes.keys():
        raise ValueError("run.json has no such lane: this line is of another run")
    return number
