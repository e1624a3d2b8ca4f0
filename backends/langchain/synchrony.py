"""Tells whether a Runnable or graph needs a thread of its own, by what each of its steps can do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, TypeAlias

from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.runnables import (
    RunnableAssign,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnableSequence,
)
from langchain_core.runnables.config import run_in_executor

from backends.langchain.objects import is_graph, unbound

_Forms: TypeAlias = Literal["sync", "async", "both"]


def only_synchronous(runnable: Any) -> bool:
    """Return whether it is best run in a thread of its own.

    That is: some step has no asynchronous form, none needs one, and no model among the steps of a chain has
    one. LangChain would run such a step in the event loop's executor, whose few threads serve everybody. A
    chain of an asynchronous model and some small functions is left to that all the same.
    """
    forms = set(_forms(runnable))
    return "sync" in forms and "async" not in forms


def _forms(runnable: Any) -> Iterator[_Forms]:
    """Yield what each step of a Runnable can do; one that is not known is taken to do both."""
    runnable = unbound(runnable)
    if isinstance(runnable, RunnableSequence):
        for step in runnable.steps:
            yield from _forms(step)
    elif isinstance(runnable, RunnableParallel):
        for step in runnable.steps__.values():
            yield from _forms(step)
    elif isinstance(runnable, RunnableAssign):
        yield from _forms(runnable.mapper)
    elif isinstance(runnable, RunnableLambda):
        yield _form(getattr(runnable, "func", None), getattr(runnable, "afunc", None))
    elif isinstance(runnable, RunnableGenerator):
        # A generator that is asynchronous only is in both attributes.
        both = getattr(runnable, "_transform", None), getattr(runnable, "_atransform", None)
        yield _form(*both)
    elif isinstance(runnable, BaseChatModel | BaseLLM):
        yield _form_of_model(runnable)
    elif is_graph(runnable):
        yield from _forms_of_nodes(runnable)


def _form_of_model(model: BaseChatModel | BaseLLM) -> _Forms:
    base: Any = BaseChatModel if isinstance(model, BaseChatModel) else BaseLLM
    cls = type(model)
    streams = cls._stream is not base._stream or cls._astream is not base._astream
    native = cls._astream is not base._astream if streams else cls._agenerate is not base._agenerate
    return "async" if native else "sync"


def _forms_of_nodes(graph: Any) -> Iterator[_Forms]:
    for name, node in graph.nodes.items():
        bound: Any = getattr(node, "bound", None)
        if name.startswith("__"):
            continue  # LangGraph's own
        if hasattr(bound, "func") and hasattr(bound, "afunc"):
            # LangGraph gives a synchronous function an asynchronous form: the executor's.
            native = not (isinstance(bound.afunc, partial) and bound.afunc.func is run_in_executor)
            yield _form(bound.func, bound.afunc if native else None)
        elif bound is not None:
            yield from _forms(bound)


def _form(sync: Any, asynchronous: Any) -> _Forms:
    if asynchronous is None:
        return "sync"
    return "async" if sync is None else "both"
