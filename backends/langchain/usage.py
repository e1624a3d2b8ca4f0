"""Counts what the models of one run used: each run of a model is heard of once, by LangChain's callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

from chatlab.messages import Usage


class Counter:
    """The usage of one message, which may come in several chunks.

    LangChain's convention is that the chunks of a message add up. Some servers of OpenAI's protocol count
    from the beginning in every chunk instead: there the last one holds. They are told apart by their input,
    which an increment never repeats.
    """

    def __init__(self) -> None:
        self.usage: Usage | None = None

    def add(self, metadata: Mapping[str, Any] | None) -> None:
        """Count the `usage_metadata` of a chunk, or of a whole message."""
        if not metadata:
            return
        new = usage_of(metadata)
        had = self.usage
        if had is None or (new.input and new.input == had.input and (new.output or 0) >= (had.output or 0)):
            self.usage = new
        else:
            self.usage = _combined(had, new, lambda a, b: b if a is None else a if b is None else a + b)


class _ModelRun:
    """One call of a model."""

    __slots__ = ("counter", "message")

    def __init__(self) -> None:
        self.counter = Counter()
        self.message: AIMessage | None = None


class ModelRuns(BaseCallbackHandler):
    """Hears of every model that runs, also where a parser or node passes on neither usage nor end."""

    run_inline = True

    def __init__(self) -> None:
        self._runs: dict[UUID, _ModelRun] = {}

    @property
    def messages(self) -> list[AIMessage]:
        """Return what the models said that ended, in the order in which they began."""
        return [run.message for run in self._runs.values() if run.message is not None]

    @property
    def count(self) -> int:
        """Return how many models ran."""
        return len(self._runs)

    def usage(self) -> Usage | None:
        """Return the sum over all models, in which what one did not tell is unknown; None if none ran."""
        if not self._runs:
            return None
        return total(run.counter.usage or Usage() for run in self._runs.values())

    def on_llm_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """Note that a model of texts was called."""
        self._runs[run_id] = _ModelRun()

    def on_chat_model_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """Note that a chat model was called."""
        self._runs[run_id] = _ModelRun()

    def on_llm_new_token(self, token: str | list[Any], *, chunk: Any = None, run_id: UUID, **_: Any) -> None:
        """Count what a chunk says."""
        run = self._runs.get(run_id)
        if (
            run is not None
            and isinstance(chunk, ChatGenerationChunk)
            and isinstance(chunk.message, AIMessage)
        ):
            run.counter.add(chunk.message.usage_metadata)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Note how a model ended."""
        run = self._runs.setdefault(run_id, _ModelRun())
        for generations in response.generations:
            for generation in generations[:1]:
                if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
                    run.message = generation.message
                    if run.counter.usage is None:
                        run.counter.add(generation.message.usage_metadata)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Forget a call that failed: a fallback or a retry of the object's own takes its place."""
        self._runs.pop(run_id, None)


def usage_of(metadata: Mapping[str, Any]) -> Usage:
    """Return LangChain's `usage_metadata` as Usage; its `input_tokens` are all of the prompt."""

    def count(where: Any, name: str) -> int | None:
        found = where.get(name) if isinstance(where, Mapping) else None
        return found if isinstance(found, int) and found >= 0 else None

    read, written = metadata.get("input_token_details"), metadata.get("output_token_details")
    return Usage(
        input=count(metadata, "input_tokens"),
        output=count(metadata, "output_tokens"),
        cached=count(read, "cache_read"),
        reasoning=count(written, "reasoning"),
        cache_written=count(read, "cache_creation"),
    )


def total(usages: Iterable[Usage]) -> Usage:
    """Return the sum; a count that is unknown in one of them is unknown."""
    found: Usage | None = None
    for usage in usages:
        found = usage if found is None else _combined(found, usage, _both)
    return found or Usage()


def _both(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a + b


def _combined(a: Usage, b: Usage, how: Any) -> Usage:
    return Usage(*(how(getattr(a, item.name), getattr(b, item.name)) for item in fields(Usage)))
