"""Reads a configuration file: all its mistakes at once, each with `file:line:column` and what was meant."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from chatlab.backend import Backend, Options, Parameter
from chatlab.config import yaml_positions
from chatlab.config.models import BackendConfig, Config
from chatlab.config.problems import (
    UNKNOWN_KEY,
    guarded,
    items_of,
    literal_credentials,
    problems,
    render,
    unknown_key,
)
from chatlab.config.registry import backend_class, kinds
from chatlab.config.schema import COMMON, json_schema
from chatlab.config.yaml_positions import Document, Problem, Unreadable
from chatlab.errors import ConfigError
from chatlab.paths import BASE, ConfigPath
from chatlab.spelling import closest, or_which
from chatlab.words import SHIPPED, words_of

__all__ = ["json_schema", "load_config"]

M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 500_000

_NAME = re.compile(r"\w[\w.-]*")


def load_config(path: Path | str) -> Config:
    """Return the configuration in a YAML file. Relative paths in it start at its folder; no SDK is imported.

    Top-level keys that start with `x-` are left alone: they are a place for YAML anchors.
    Raises ConfigError with every problem of the file.
    """
    file = Path(path)
    document = read_document(file)
    loader = _Loader(document, file.absolute().parent)
    config = loader.load()
    if config is not None and not loader.problems:
        return config
    found = sorted(dict.fromkeys(loader.problems), key=lambda problem: problem.position)
    raise ConfigError([render(str(path), problem) for problem in found])


def read_document(file: Path) -> Document:
    """Return the YAML document of a file, with what is wrong with it as YAML. Raises ConfigError."""
    try:
        return Document(_read(file))
    except Unreadable as exc:
        raised = ConfigError([render(str(file), exc.problem)])
    # Raised out here so that no cause hangs on it: causes know the values that were written.
    raise raised


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError([f"{file}: there is no such file"]) from None
    except IsADirectoryError:
        raise ConfigError([f"{file}: is a folder, not a configuration file"]) from None
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "its name is not one"
        raise ConfigError([f"{file}: cannot be read: {reason}"]) from None
    if len(data) > MAX_BYTES:
        raise ConfigError([f"{file}: is larger than 500 kB, which no configuration file is"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError([f"{file}:{line}:1: is not UTF-8 text: save it as UTF-8"]) from None


class _Loader:
    """One reading of one document; collects its problems."""

    def __init__(self, document: Document, base: Path) -> None:
        self.document = document
        self.problems = [replace(problem, path=guarded(problem.path)) for problem in document.problems]
        self._context = {BASE: base}
        self.accepted: dict[str, tuple[Parameter, ...]] = {}

    def load(self) -> Config | None:
        """Return the configuration, or None where there are problems."""
        data = self.document.value
        if not isinstance(data, dict):
            what = "is empty" if data is None else "is not a mapping"
            self._say((), f"{what}: a configuration has at least the key backends")
            return None
        data = {key: value for key, value in data.items() if not key.startswith("x-")}
        written = data.get("backends")
        found: dict[str, BackendConfig] = {}
        if isinstance(written, dict) and written:
            found = {name: self._backend(name, entry) for name, entry in written.items()}
        self._credentials(data, ())
        # Every entry has been looked at by now, so the rest is checked around whatever came of them.
        config = self._validate(Config, data | ({"backends": found} if found else {}), data)
        if isinstance(written, dict):
            self._default(data.get("default"), written)
            self._lanes(data.get("compare"), written)
        self._auth(data)
        ui = data.get("ui")
        if isinstance(ui, dict):
            self._files(ui)
            if config is not None and isinstance(config.ui.language, Path) and config.ui.language.is_file():
                self._words(config.ui.language)
            if isinstance(written, dict):
                self._example_backends(ui.get("examples"), written)
            if found and len(self.accepted) == len(found):  # an entry not understood might take anything
                self._presets(ui.get("presets"))
                self._example_parameters(ui.get("examples"))
        return config

    def _backend(self, name: str, entry: Any) -> BackendConfig:
        """One entry; where it has problems, a stand-in that lets the rest be checked."""
        stand_in = BackendConfig.model_construct(kind="", options=Options())
        path = ("backends", name)
        if not _NAME.fullmatch(name):
            self._say(path, "a name has letters, digits, '.', '_' and '-' only", key=True)
        if not isinstance(entry, dict):
            self._say(path, "should be a mapping (key: value) with at least the key kind")
            return stand_in
        cls = self._class(path, entry)
        options: BaseModel | None = None
        if cls is not None:
            own = {key: value for key, value in entry.items() if key not in COMMON}
            options = self._validate(cls.Options, own, own, path, COMMON)
            self._accepted(name, cls, own, options)
        common = {key: value for key, value in entry.items() if key in COMMON}
        common["kind"] = entry["kind"] if cls is not None else ""  # what is wrong with it has been said
        config = self._validate(BackendConfig, common | {"options": options or Options()}, entry, path)
        if cls is not None and name in self.accepted:
            self._parameters((*path, "parameters"), entry.get("parameters"), [self.accepted[name]])
            self._misplaced(path, (*cls.Options.model_fields, *COMMON), self.accepted[name])
        return stand_in if config is None or options is None else config

    def _accepted(
        self, name: str, cls: type[Backend], own: dict[str, Any], options: BaseModel | None
    ) -> None:
        """Notes which parameters the entry takes, leaving out the options that were refused."""
        if options is None:
            refused = {
                p.path[2] for p in self.problems if p.path[:2] == ("backends", name) and len(p.path) > 2
            }
            try:
                options = cls.Options.model_validate(
                    {key: value for key, value in own.items() if key not in refused}, context=self._context
                )
            except ValidationError:
                return
        self.accepted[name] = cls.capabilities(options).parameters

    def _class(self, path: yaml_positions.Path, entry: dict[str, Any]) -> type[Backend] | None:
        try:
            if "kind" not in entry:
                misspelt = next((key for key in entry if key not in COMMON and closest(key, ["kind"])), None)
                if misspelt is None:
                    self._say(path, f"kind is missing: the kinds are {', '.join(sorted(kinds()))}")
                else:
                    self._say((*path, misspelt), "unknown key, did you mean kind?", key=True)
                return None
            kind = entry["kind"]
            if not isinstance(kind, str):
                self._say((*path, "kind"), f"should be the name of a kind: {', '.join(sorted(kinds()))}")
                return None
            return backend_class(kind)
        except ConfigError as exc:
            for problem in exc.problems:
                self._say((*path, "kind"), problem)
            return None

    def _validate(
        self,
        model: type[M],
        values: Mapping[str, Any],
        data: Any,
        prefix: yaml_positions.Path = (),
        other_keys: tuple[str, ...] = (),
    ) -> M | None:
        try:
            return model.model_validate(values, context=self._context)
        except ValidationError as exc:
            self.problems += problems(exc, model, self.document, data, prefix, other_keys)
            return None

    def _default(self, default: Any, written: dict[str, Any]) -> None:
        if isinstance(default, str) and default not in written:
            self._say(("default",), f"no backend has this name{or_which(default, written)}")

    def _auth(self, data: dict[str, Any]) -> None:
        if isinstance(data.get("auth"), dict) and "storage" in data and data["storage"] in (None, "none"):
            self._say(("storage",), "auth needs storage: it has who is signed in, and what is whose")

    def _lanes(self, compare: Any, written: dict[str, Any]) -> None:
        """Says which lanes name no backend; an address, which has a colon, needs none."""
        for number, lane in items_of(compare.get("lanes") if isinstance(compare, dict) else None):
            path: yaml_positions.Path = ("compare", "lanes", number)
            if isinstance(lane, dict):
                lane, path = lane.get("backend"), (*path, "backend")
            if isinstance(lane, str) and lane not in written and ":" not in lane:
                self._say(path, f"no backend has this name{or_which(lane, written)}")

    def _parameters(
        self, path: yaml_positions.Path, values: Any, accepted: Collection[tuple[Parameter, ...]]
    ) -> None:
        """Says what no backend accepts. Kinds that declare no parameters are not asked."""
        declaring = [parameters for parameters in accepted if parameters]
        if not declaring or not isinstance(values, dict):
            return
        names = sorted({parameter.name for parameters in declaring for parameter in parameters})
        for name, value in values.items():
            said = [p.problem(value) for parameters in declaring for p in parameters if p.name == name]
            if not said:
                self._say((*path, name), unknown_key(name, names, "parameter"), key=True)
            elif None not in said:
                self._say((*path, name), ", or ".join(dict.fromkeys(filter(None, said))))

    def _misplaced(
        self, path: yaml_positions.Path, keys: Collection[str], parameters: Collection[Parameter]
    ) -> None:
        """Says of an unknown key that it is a parameter, where it is: it stands one level too high."""
        names = {parameter.name for parameter in parameters}
        for number, problem in enumerate(self.problems):
            if problem.path[:-1] == path and problem.text.startswith(UNKNOWN_KEY):
                meant = closest(str(problem.path[-1]), (*keys, *names))
                if meant in names and meant not in keys:
                    self.problems[number] = replace(
                        problem, text=f"unknown key: {meant} is a parameter, which stands under parameters"
                    )

    def _presets(self, presets: Any) -> None:
        """A preset is for every backend, so it is wrong only where no backend takes it."""
        for name, preset in items_of(presets):
            values = preset.get("parameters") if isinstance(preset, dict) else None
            self._parameters(("ui", "presets", name, "parameters"), values, self.accepted.values())

    def _example_backends(self, examples: Any, written: dict[str, Any]) -> None:
        for number, example in items_of(examples):
            name = example.get("backend") if isinstance(example, dict) else None
            if isinstance(name, str) and name not in written:
                said = f"no backend has this name{or_which(name, written)}"
                self._say(("ui", "examples", number, "backend"), said)

    def _example_parameters(self, examples: Any) -> None:
        """Those of an example for one backend are held to what that one takes."""
        for number, example in items_of(examples):
            if not isinstance(example, dict):
                continue
            one = self.accepted.get(str(example.get("backend")))
            accepted = self.accepted.values() if one is None else [one]
            self._parameters(("ui", "examples", number, "parameters"), example.get("parameters"), accepted)

    def _files(self, ui: dict[str, Any]) -> None:
        files: list[tuple[yaml_positions.Path, Any]] = [
            (("ui", "examples", number, "files", index), file)
            for number, example in items_of(ui.get("examples"))
            if isinstance(example, dict)
            for index, file in items_of(example.get("files"))
        ]
        files += [
            (("ui", "examples", number, "icon"), example.get("icon"))
            for number, example in items_of(ui.get("examples"))
            if isinstance(example, dict)
        ]
        files += [
            (("ui", "avatars", number), file)
            for number, file in items_of(ui.get("avatars"))
            if not str(file).startswith(("http://", "https://"))
        ]
        files += [(("ui", key), ui.get(key)) for key in ("css", "head", "favicon")]
        if ui.get("language") not in SHIPPED:
            files.append((("ui", "language"), ui.get("language")))
        for path, file in files:
            if isinstance(file, str) and not self._exists(file):
                self._say(path, "there is no such file")

    def _words(self, language: Path) -> None:
        """Says what is wrong with a file of words."""
        try:
            words_of(language)
        except ConfigError as exc:
            for problem in exc.problems:
                self._say(("ui", "language"), problem)

    def _exists(self, file: str) -> bool:
        try:
            return TypeAdapter(ConfigPath).validate_python(file, context=self._context).is_file()
        except (ValidationError, OSError):
            return False

    def _credentials(self, data: Any, path: yaml_positions.Path) -> None:
        """Refuses what is plainly a credential wherever it stands, a header or a URL for example."""
        self.problems += literal_credentials(self.document, data, path, self.problems)

    def _say(self, path: yaml_positions.Path, text: str, *, key: bool = False) -> None:
        position = self.document.key(path) if key else self.document.at(path)
        self.problems.append(Problem(position, path, text))
