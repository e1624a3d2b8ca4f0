"""YAML as plain values that remember where they were written. Safe tags only, duplicate keys are problems."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]

# A file is some hundred nodes. Aliases repeat what they point to, so a few lines can stand for billions.
MAX_NODES = 20_000
TOO_MANY = "has too many values, or aliases that multiply"

_PREFIX = "tag:yaml.org,2002:"
_MERGE = _PREFIX + "merge"
# YAML 1.2 has 1e-5 as a number; PyYAML follows 1.1, where it is text.
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the file, counted from 1."""

    line: int
    column: int

    @classmethod
    def of(cls, mark: Any) -> Position:
        """Return the place of a PyYAML mark; the file's start where it has none."""
        return cls(1, 1) if mark is None else cls(mark.line + 1, mark.column + 1)


@dataclass(frozen=True, slots=True)
class Problem:
    """A problem and its place in the file. The path is empty for what concerns the whole file."""

    position: Position
    path: Path
    text: str


class Unreadable(Exception):
    """The text is not YAML, or not YAML that may be read: there is one problem, and no values."""

    def __init__(self, position: Position, text: str) -> None:
        super().__init__(text)
        self.problem = Problem(position, (), text)


class _BoundedLoader(yaml.SafeLoader):
    """Gives up on a text that has too many values, before it has read them all."""

    _composed = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._composed += 1
        if self._composed > MAX_NODES:
            raise Unreadable(Position(self.line + 1, self.column + 1), TOO_MANY)
        return super().compose_node(parent, index)


class Document:
    """The values of a YAML text; for each path, where its key and its value are written.

    Mapping keys are text exactly as written, so a backend may be called `on` or `1`. Dates stay text.
    Raises Unreadable.
    """

    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._keys: dict[Path, Position] = {}
        self._values: dict[Path, Position] = {}
        self._scalars = yaml.constructor.SafeConstructor()
        self._left = MAX_NODES
        self._open: set[int] = set()
        try:
            root = yaml.compose(text, Loader=_BoundedLoader)
            self.value: Any = None if root is None else self._construct(root, ())
        except RecursionError:
            raise Unreadable(Position(1, 1), "is nested too deeply") from None
        except yaml.MarkedYAMLError as exc:
            raise Unreadable(Position.of(exc.problem_mark or exc.context_mark), _syntax(exc)) from None
        except yaml.reader.ReaderError as exc:
            before = text[: exc.position]
            line = before.count("\n") + 1
            position = Position(line, len(before) - before.rfind("\n"))
            raise Unreadable(position, "has a character that YAML does not allow") from None

    def key(self, path: Path) -> Position:
        """Return where a key is written; for an item of a list, where the item is."""
        return self._keys.get(path) or self.at(path)

    def at(self, path: Path) -> Position:
        """Return where a value is written; where what is around it is, for a value that is not there."""
        while path and path not in self._values:
            path = path[:-1]
        return self._values.get(path, Position(1, 1))

    def _construct(self, node: yaml.Node, path: Path) -> Any:
        self._count(node)
        self._values[path] = Position.of(node.start_mark)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            raise Unreadable(Position.of(node.start_mark), "has an alias inside of what it stands for")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                if node.tag != _PREFIX + "seq":
                    self._refuse_tag(node, path)
                return [self._construct(item, (*path, index)) for index, item in enumerate(node.value)]
            assert isinstance(node, yaml.MappingNode)
            if node.tag != _PREFIX + "map":
                self._refuse_tag(node, path)
            return self._mapping(node, path)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in self._pairs(node, path, []):
            # Explicit keys come first, so what is merged in never replaces them.
            if key.value not in found:
                self._keys[(*path, key.value)] = Position.of(key.start_mark)
                found[key.value] = self._construct(value, (*path, key.value))
        return found

    def _pairs(
        self, node: yaml.MappingNode, path: Path, merging: list[int]
    ) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """Yield the mapping's own pairs, then those of its merge keys in their order (https://yaml.org/type/merge.html)."""
        merged: list[yaml.Node] = []
        seen: dict[str, Position] = {}
        for key, value in node.value:
            self._count(key)
            position = Position.of(key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append(Problem(position, path, "a key must be text"))
                continue
            if key.value in seen:
                if not merging:  # otherwise said where it is written
                    first = seen[key.value].line
                    text = f"duplicate key, first on line {first}"
                    if key.tag == _MERGE:
                        text += ": merge several with <<: [*one, *two]"
                    self.problems.append(Problem(position, (*path, key.value), text))
                continue
            seen[key.value] = position
            if key.tag == _MERGE:
                merged.extend(value.value if isinstance(value, yaml.SequenceNode) else [value])
            else:
                yield key, value
        for source in merged:
            if not isinstance(source, yaml.MappingNode):
                self.problems.append(
                    Problem(Position.of(source.start_mark), (*path, "<<"), "only a mapping can be merged")
                )
            elif id(source) in merging or source is node:
                raise Unreadable(Position.of(source.start_mark), "has an alias inside of what it stands for")
            else:
                yield from self._pairs(source, path, [*merging, id(node)])

    def _count(self, node: yaml.Node) -> None:
        self._left -= 1
        if self._left < 0:
            raise Unreadable(Position.of(node.start_mark), TOO_MANY)

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        kind = node.tag.removeprefix(_PREFIX)
        if kind in ("str", "timestamp", "value", "merge"):
            if node.style or not _FLOAT.fullmatch(node.value):
                return node.value
            kind = "float"
        try:
            if kind == "null":
                return None
            if kind == "bool":
                return self._scalars.bool_values[node.value.lower()]
            if kind == "int":
                return self._scalars.construct_yaml_int(node)
            if kind == "float":
                return _finite(self._scalars.construct_yaml_float(node))
        except (ValueError, KeyError, IndexError):
            self.problems.append(
                Problem(Position.of(node.start_mark), path, "is not a number that can be used")
            )
            return None
        self._refuse_tag(node, path)
        return None

    def _refuse_tag(self, node: yaml.Node, path: Path) -> None:
        self.problems.append(
            Problem(Position.of(node.start_mark), path, "has a YAML tag: only plain values are read")
        )


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError
    return number


def _syntax(exc: yaml.MarkedYAMLError) -> str:
    """PyYAML's sentence without names from the file: a name may be a secret that was written unquoted."""
    said = re.sub(r" '(?!\\t')[^'<]{2,}'", "", exc.problem or exc.context or "cannot be read")
    if "anchor" in said and "duplicate" in said:
        said = "an anchor's name is used twice"
    if "mapping values are not allowed" in said:
        said += ": a colon in text needs quotes around the text, or the indentation is off"
    elif "cannot start any token" in said and "\\t" in said:
        said += ": indent with spaces, not tabs"
    return f"is not YAML: {said}"
