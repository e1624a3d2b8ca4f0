"""The list of models that a backend's server has, for entries with `models: discover`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from chatlab.backend import Probe
from chatlab.errors import BackendError, ChatlabError, ConfigError, Unavailable

_FRESH = 60.0  # seconds that a list is taken for what the server has
_AWAY = 5.0  # seconds in which a server that did not list its models is not asked again
_LONGEST_WAIT = 10.0  # seconds for one list
_LONGEST_NAME = 80  # characters of an unknown model's name that are repeated


class ModelList:
    """The models that one server lists. It is asked when somebody wants to know, by one call at a time, and
    what it said holds for a minute. The event loop owns it.

    name, label: the backend's. ask: calls the server; raises ChatlabError.
    """

    def __init__(self, name: str, label: str, ask: Callable[[], Awaitable[tuple[str, ...]]]) -> None:
        self._name, self._label = name, label
        self._ask = ask
        self._asking: asyncio.Task[None] | None = None
        self._asked_again = 0.0  # when what is known is too old
        self._failure: ChatlabError | None = None
        self.known: tuple[str, ...] = ()
        """What the server listed last; nothing before it was asked."""

    async def names(self) -> tuple[str, ...]:
        """Return the models, as of a minute ago at most. Raises ChatlabError if the server does not tell."""
        if self._asking is None and monotonic() >= self._asked_again:
            self._asking = asyncio.create_task(self._look(), name=f"models of {self._name}")
        if self._asking is not None:  # whoever is cancelled must not take it from the others
            await asyncio.shield(self._asking)
        if self._failure is not None:
            if isinstance(self._failure, BackendError):
                # A turn may have put its own there.
                self._failure.backend, self._failure.label = self._name, self._label
            raise self._failure.with_traceback(None)
        return self.known

    async def require(self, model: str) -> None:
        """Raise ConfigError for a model that the server does not list, or what keeps it from listing any."""
        if model not in self.known and model not in await self.names():
            self.refuse(model)

    def refuse(self, model: str) -> None:
        """Raise ConfigError: this model is none of those that are known."""
        detail = Probe.of_listed(model[:_LONGEST_NAME], self.known).detail
        error = ConfigError([f"{self._name}: {detail}"])
        error.shown = f"{self._label}: {detail}"
        raise error

    async def _look(self) -> None:
        lasts = _AWAY
        try:
            async with asyncio.timeout(_LONGEST_WAIT):
                self.known, self._failure = await self._ask(), None
            lasts = _FRESH
        except TimeoutError:
            self._failure = Unavailable(f"the server did not list its models within {_LONGEST_WAIT:g} s")
        except ChatlabError as exc:
            self._failure = exc
        finally:
            self._asking, self._asked_again = None, monotonic() + lasts
