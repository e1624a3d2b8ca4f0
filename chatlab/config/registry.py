"""Kinds of backends and the backends of a configuration: found by import string, made when first used."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from pydantic import ValidationError

from chatlab.backend import Backend, CallContext, Capabilities
from chatlab.config.model_list import ModelList
from chatlab.config.models import BackendConfig
from chatlab.config.problems import written
from chatlab.errors import PLACED, BackendError, ConfigError, MissingExtra, NotReady
from chatlab.observation import Observer
from chatlab.paths import PACKAGE
from chatlab.secret import scrub, scrubbed_traceback
from chatlab.spelling import did_you_mean
from chatlab.words import ENGLISH

log = logging.getLogger(__name__)

ENTRY_POINT_GROUP = "chatlab.backends"


def built_in() -> dict[str, str]:
    """chatlab's own kinds and where their classes are ("module:attribute")."""
    import backends

    _same_origin(Path(backends.__file__ or ""))
    return dict(backends.KINDS)


def kinds() -> dict[str, str]:
    """Every known kind and where its class is. A plugin cannot take the name of a built-in kind."""
    found = built_in()
    for name, place in _plugins(tuple(sys.path)):
        found.setdefault(name, place)
    return found


@cache
def _plugins(_: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the kinds of installed distributions.

    Looked for once a search path: every distribution is opened.
    """
    return [(point.name, point.value) for point in entry_points(group=ENTRY_POINT_GROUP)]


def place_of(kind: str) -> str | None:
    """Return where the class of a kind is; None for an unknown one. Plugins are looked for only if it is none
    of chatlab's own: every installed distribution is opened for it.
    """
    return built_in().get(kind) or kinds().get(kind)


def backend_class(kind: str) -> type[Backend]:
    """Return the class of a kind; its SDK is not imported. Raises ConfigError for an unknown kind."""
    place = place_of(kind)
    if place is None:
        known = kinds()
        close = did_you_mean(kind, known)
        raise ConfigError([f"unknown kind {kind!r}{close or ':'} the kinds are {', '.join(sorted(known))}"])
    module, _, attribute = place.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as exc:  # a plugin may fail in any way; the others still work
        raise ConfigError([f"kind {kind!r}: {place} cannot be imported: {exc}"]) from exc
    if not (isinstance(found, type) and issubclass(found, Backend)):
        raise ConfigError([f"kind {kind!r}: {place} is not a chatlab Backend"])
    return found


def _same_origin(backends_file: Path) -> None:
    """`backends` is a common name: say so when another package of that name is found first."""
    here = PACKAGE.parent
    there = backends_file.resolve().parent.parent
    if here != there:
        raise ConfigError(
            [
                f"another package named 'backends' ({backends_file}) hides chatlab's own: "
                "remove it from the path or start from another folder"
            ]
        )


SERVICE = "the service"
"""As whom a backend is asked with a configured credential, where people sign in."""


class Entry:
    """One configured backend: its settings, whether it is ready, and the instance, made when first needed."""

    def __init__(
        self, name: str, config: BackendConfig, cls: type[Backend], *, system: str | None = None
    ) -> None:
        self.name = name
        self.config = config
        self.cls = cls
        self._common_system = system
        self._instance: Backend | None = None
        self._making = threading.Lock()
        self.turns = 0
        """How many turns of it run now; counted by them, in the event loop."""
        self.observer: Observer | None = None
        self.model_list = ModelList(name, self.label, self._models) if cls.discovers(config.options) else None
        """What people may choose from, with `models: discover`; None without it."""

    @property
    def label(self) -> str:
        """Return what people read."""
        return self.config.label or self.name

    @property
    def system(self) -> str | None:
        """Return the system prompt of this backend: its own, or the configuration's."""
        return self.config.system if self.config.system is not None else self._common_system

    @property
    def made(self) -> bool:
        """Return whether the instance exists already, so that `backend()` costs nothing."""
        return self._instance is not None

    @property
    def capabilities(self) -> Capabilities:
        """Return what it takes; asks neither SDK nor network."""
        return self.cls.capabilities(self.config.options)

    def asked_as(self, ctx: CallContext) -> str | None:
        """Return as whom a call is made, in words: the person, where it is made with their own credential, or
        the service. None where nobody signs in."""
        if ctx.identity is None:
            return None
        return ctx.identity if self.cls.as_person(self.config.options) else SERVICE

    @property
    def not_ready(self) -> str | None:
        """Return what to do before it can be used, or None.

        Looked at anew each time: variables may be set later.
        """
        return self.cls.not_ready(self.config.options)

    def failed(self, error: BackendError) -> None:
        """Fills in whose failure this is and, where the URL may be what is wrong, which one was called."""
        error.backend, error.label = self.name, self.label
        if isinstance(error, PLACED):
            with suppress(Exception):  # a plugin's mistake in naming its place must not hide the failure
                error.where = self.cls.target(self.config.options).endpoint

    def backend(self) -> Backend:
        """Return the instance. Raises NotReady or MissingExtra with what to do about it."""
        with self._making:  # made in worker threads, since importing an SDK can take seconds
            if self._instance is None:
                reason = self.not_ready
                if reason is not None:
                    error = NotReady(ENGLISH("said.not-ready", name=self.name, reason=reason))
                    error.shown = ENGLISH("said.not-ready", name=self.label, reason=reason)
                    raise error
                try:
                    self._instance = self.cls(self.config.options)
                except ModuleNotFoundError as exc:
                    raise MissingExtra(self.config.kind, self.cls.extra, exc.name or "its SDK") from exc
            return self._instance

    async def prepared(self) -> Backend:
        """Return the instance, made in a worker thread. Raises as `backend` does."""
        return await asyncio.to_thread(self.backend)

    async def _models(self) -> tuple[str, ...]:
        backend = await self.prepared()
        return await backend.models(CallContext(connect_timeout=self.config.timeouts.connect))

    async def warm(self) -> None:
        """Make the instance, if it is ready, before anybody waits for it: importing an SDK can take seconds.

        What fails is told to whoever asks it; here it is logged.
        """
        try:
            if not self.made and self.not_ready is None:
                await self.prepared()
        except Exception as exc:  # noqa: BLE001 - whoever asks it reads the sentence; nobody did yet
            log.info("backend %s cannot be made: %s", self.name, scrub(str(exc)))

    async def aclose(self) -> None:
        """Closes the instance, if one was made."""
        if self._instance is not None:
            instance, self._instance = self._instance, None
            await instance.aclose()


class ModelEntry(Entry):
    """One of the models that the server of another entry lists, with all else as that entry has it: except
    for the prices and the description, which are those of its own model."""

    def __init__(self, base: Entry, model: str) -> None:
        given = base.config
        config = given.model_copy(
            update={
                "label": f"{base.label} · {model}",
                "description": None,
                "prices": None,
                "options": base.cls.with_model(given.options, model),
            }
        )
        super().__init__(f"{base.name}:{model}", config, base.cls, system=base.system)
        self._list, self.model_list = base.model_list, None
        self._model = model
        self._listed = False

    @property
    def made(self) -> bool:
        return self._listed and super().made

    async def prepared(self) -> Backend:
        """Return the instance. Raises ConfigError for a model that the server does not list: before it is
        asked anything else."""
        if not self._listed and self._list is not None:
            await self._list.require(self._model)
            self._listed = True
        return await super().prepared()


def from_address(address: str) -> Entry:
    """Return a backend from `kind:rest` alone, such as `openai:gpt-5-mini`. Raises ConfigError."""
    kind, colon, rest = address.partition(":")
    if not colon:
        raise ConfigError(
            [f"{address!r} is neither a configured backend nor an address such as openai:gpt-5-mini"]
        )
    cls = backend_class(kind)
    values = {}
    if rest:
        if cls.address_field is None:
            raise ConfigError([f"{address!r}: the kind {kind} takes nothing after the colon"])
        values[cls.address_field] = rest
    try:
        options = cls.Options.model_validate(values)
    except ValidationError as exc:
        problems = []
        for error in exc.errors():
            # A field that was not written is checked too; its name would tell nothing.
            where = "".join(f"{step}: " for step in written(error, values))
            said = "is missing" if error["type"] == "missing" else error["msg"].removeprefix("Value error, ")
            problems.append(f"{address!r}: {where}{said}")
        raise ConfigError(problems) from None
    return Entry(address, BackendConfig(kind=kind, options=options), cls)


class Backends(Mapping[str, Entry]):
    """The backends of a configuration by name; an address works wherever a name does.

    Addresses are for whoever runs chatlab. What visitors name is looked up in `served`. The event loop owns
    the table of addresses: the `most` that were used last are remembered, and one that is forgotten while no
    turn of it runs is closed.
    """

    def __init__(
        self, configs: Mapping[str, BackendConfig], *, system: str | None = None, most: int = 64
    ) -> None:
        self._entries = {
            name: Entry(name, config, backend_class(config.kind), system=system)
            for name, config in configs.items()
        }
        self._by_address: dict[str, Entry] = {}
        self._observer: Observer | None = None
        self._most = most
        self._closing: set[asyncio.Task[None]] = set()

    def __getitem__(self, name: str) -> Entry:
        if name in self._entries:
            return self._entries[name]
        known = self._by_address.pop(name, None)
        try:
            entry = known or self._listed(name) or from_address(name)
        except ConfigError as exc:
            if ":" in name:  # an address; a configured name has no colon in it
                raise
            have = ", ".join(self._entries) or "none"
            raise ConfigError([f"{problem} (configured: {have})" for problem in exc.problems]) from None
        entry.observer = self._observer
        self._by_address[name] = entry  # last again: the order is that of use
        if len(self._by_address) > self._most:
            self._forget_one(entry)
        return entry

    def __contains__(self, name: object) -> bool:
        return name in self._entries or (isinstance(name, str) and self.base(name) is not None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def base(self, name: str) -> Entry | None:
        """Return the entry with `models: discover` that `NAME:MODEL` is a model of; None for any other."""
        found = self._entries.get(name.partition(":")[0]) if ":" in name else None
        return None if found is None or found.model_list is None else found

    def _listed(self, name: str) -> Entry | None:
        base, model = self.base(name), name.partition(":")[2]
        return ModelEntry(base, model) if base is not None and model else None

    @property
    def observer(self) -> Observer | None:
        """Return who observes all turns."""
        return self._observer

    def observe(self, observer: Observer) -> None:
        """Have all turns that begin from now on observed."""
        self._observer = observer
        for entry in (*self._entries.values(), *self._by_address.values()):
            entry.observer = observer

    @property
    def turns(self) -> int:
        """Return how many turns run now."""
        return sum(entry.turns for entry in (*self._entries.values(), *self._by_address.values()))

    def served(self, addresses: Iterable[str] = ()) -> ServedBackends:
        """Return what visitors may use: the configured backends, and those addresses that the configuration
        itself names, as lanes of a comparison for instance."""
        return ServedBackends(self, addresses)

    def _forget_one(self, used: Entry) -> None:
        """Forget the address that was not used for longest, of those that no turn runs with."""
        for address, entry in self._by_address.items():
            if entry is not used and not entry.turns:
                del self._by_address[address]
                if entry.made:
                    with suppress(RuntimeError):  # without a loop nothing runs that it could be closed in
                        task = asyncio.get_running_loop().create_task(entry.aclose())
                        self._closing.add(task)
                        task.add_done_callback(self._closed)
                return

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("a backend could not be closed\n%s", scrubbed_traceback(exc))

    async def aclose(self) -> None:
        """Close every backend that was made."""
        await asyncio.gather(*(e.aclose() for e in (*self._entries.values(), *self._by_address.values())))
        if self._closing:
            await asyncio.wait(self._closing)


class ServedBackends(Mapping[str, Entry]):
    """The backends that visitors may use. Nothing else is looked up, so that no visitor can have the server
    call an address, or learn from a refusal what there is."""

    def __init__(self, backends: Backends, addresses: Iterable[str] = ()) -> None:
        self._backends = backends
        self._names = dict.fromkeys((*backends, *addresses))

    def __getitem__(self, name: str) -> Entry:
        if name not in self._names:
            base, model = self._backends.base(name), name.partition(":")[2]
            if base is None or base.model_list is None or base.name not in self._names or not model:
                have = ", ".join(self._names) or "none"
                raise ConfigError([f"{name[:80]!r} is not a backend of this server: choose one of {have}"])
            if base.model_list.known and model not in base.model_list.known:
                base.model_list.refuse(model)
        # Before the server was asked for its models, a turn does that: see `ModelEntry.prepared`.
        return self._backends[name]

    def __contains__(self, name: object) -> bool:
        try:
            return isinstance(name, str) and self[name] is not None
        except ConfigError:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
