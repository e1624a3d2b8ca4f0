"""A person's own Runnable or graph: where it is, and what it takes."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

from backends.langchain.options import LangChainOptions
from chatlab.errors import ConfigError
from chatlab.formats.chat_agents import graph_of, is_chat_agent
from chatlab.spelling import did_you_mean

Shape: TypeAlias = Literal["messages", "state", "chain", "text"]

_QUESTION = ("input", "question", "query", "text", "prompt", "user_input")
# By which a module gets names that its source does not show.
_MAKING_NAMES = ("exec", "globals", "setattr", "vars", "locals", "modules")
_HISTORY = ("chat_history", "history", "messages", "conversation")


def missing(reference: str, folder: Path) -> str | None:
    """Return what to do before `module:attribute` can be imported, or None. Imports nothing."""
    module, _, attribute = reference.partition(":")
    top = module.partition(".")[0]
    spec = PathFinder.find_spec(top, [str(folder)])
    if spec is not None:
        source = spec.origin or ""
        if module != top or spec.submodule_search_locations is not None or not source.endswith(".py"):
            return None  # a package gets names by what is imported from it, too
        return _undefined(Path(source), attribute.partition(".")[0])
    try:
        found = find_spec(top) is not None
    except (ValueError, ImportError):
        found = top in sys.modules
    return None if found else f"put the module {top} into {folder}, set python_path, or install it"


def _undefined(file: Path, name: str) -> str | None:
    """Return that a module defines no such name, as far as its source tells; None if it may."""
    try:
        found = file.stat()
        names = _defined(file, found.st_mtime_ns, found.st_size)
    except (OSError, SyntaxError, ValueError):  # importing it says more
        return None
    if names is None or name in names:
        return None
    return f"correct the object: {file} defines no {name}{did_you_mean(name, names)}"


@lru_cache(maxsize=64)
def _defined(file: Path, _modified: int, _size: int) -> frozenset[str] | None:
    """Return the names that a module's source gives it; None if others may come about when it runs."""
    tree = ast.parse(file.read_bytes())
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            names.update(node.names)
        elif isinstance(node, ast.Name | ast.Attribute) and _name_of(node) in _MAKING_NAMES:
            return None
    todo: list[ast.AST] = [*tree.body]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue  # what is within has a scope of its own
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(one.asname or one.name).partition(".")[0] for one in node.names}
        elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            names.add(node.name)
        todo += ast.iter_child_nodes(node)
    return None if names & {"*", "__getattr__"} else frozenset(names)


def _name_of(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


def load_object(reference: str, folder: Path) -> Any:
    """Return the Runnable that `module:attribute` is, or that calling it without arguments gives.

    Any other callable is made a Runnable as LangChain does in a chain. Raises ConfigError.
    """
    from langchain_core.runnables import Runnable
    from langchain_core.runnables.base import coerce_to_runnable

    module_name, _, attribute = reference.partition(":")
    module = _import(module_name, folder)
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise ConfigError(
                [f"object {reference}: {module.__name__} ({module.__file__}) has no {attribute}"]
            )
        found = getattr(found, name)
    if isinstance(found, Runnable):
        return found
    if is_chat_agent(found):
        return graph_of(found)
    if callable(found) and _needs_nothing(found):
        found = found()
        if inspect.isawaitable(found):
            if inspect.iscoroutine(found):
                found.close()
            raise ConfigError([f"object {reference}: an asynchronous factory cannot be called here"])
        if isinstance(found, Runnable):
            return found
    try:
        return coerce_to_runnable(found)
    except TypeError as exc:
        raise ConfigError(
            [f"object {reference}: a {type(found).__name__} is neither a Runnable nor a graph nor a callable"]
        ) from exc


def _import(name: str, folder: Path) -> Any:
    """Return the module, from the folder if it is there.

    The folder stays on the path, behind everything else, for what the module imports later.
    """
    top = name.partition(".")[0]
    folder = folder.resolve()
    spec = PathFinder.find_spec(top, [str(folder)])
    path = str(folder)
    if spec is None:
        return importlib.import_module(name)
    present = sys.modules.get(top)
    origin = getattr(getattr(present, "__spec__", None), "origin", None)
    if present is not None and origin != spec.origin:
        raise ConfigError([f"object {name}: {spec.origin} is hidden by {origin}, imported before: rename it"])
    sys.path.insert(0, path)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(path)
        if path not in sys.path:
            sys.path.append(path)


def _needs_nothing(function: Any) -> bool:
    """Return whether it can be called without arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    return all(
        item.default is not item.empty or item.kind in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
        for item in parameters
    )


def is_graph(runnable: Any) -> bool:
    """Return whether it is a LangGraph graph, as far as LangGraph was imported at all."""
    pregel = sys.modules.get("langgraph.pregel")
    return pregel is not None and isinstance(unbound(runnable), pregel.Pregel)


def breakpoints(graph: Any) -> tuple[str, ...]:
    """Return where a graph is told to stop: LangGraph's `interrupt_before` and `interrupt_after`."""
    found: list[str] = []
    for when in ("before", "after"):
        nodes = getattr(unbound(graph), f"interrupt_{when}_nodes", ())
        found += [f"{when} {node}" for node in (["every node"] if isinstance(nodes, str) else nodes or ())]
    return tuple(found)


def is_chat_model(runnable: Any) -> bool:
    """Return whether it is a chat model or another language model, with arguments bound to it or not."""
    from langchain_core.language_models import BaseLanguageModel

    return isinstance(unbound(runnable), BaseLanguageModel)


def unbound(runnable: Any) -> Any:
    """Return what is within bindings (`bind`, `bind_tools`, `with_config`, `with_retry`)."""
    from langchain_core.runnables.base import RunnableBindingBase

    while isinstance(runnable, RunnableBindingBase):
        runnable = runnable.bound
    return runnable


def is_entrypoint(runnable: Any) -> bool:
    """Return whether it is a graph of LangGraph's functional way, whose input and output are any values."""
    return is_graph(runnable) and not hasattr(unbound(runnable), "builder")


def shape_of(runnable: Any) -> tuple[Shape, str | None]:
    """Return what its input is (messages, a graph's state, a chain's dict, a text), and why it is a guess.

    None as the second means that its own description says so, or that it is what such objects take.
    """
    if is_chat_model(runnable):
        return "messages", None
    names = _input_names(runnable)
    schema = _schema(runnable)
    if is_graph(runnable):
        return _shape_of_graph(runnable, names, schema)
    if set(names) & set(_QUESTION):
        return "chain", None
    if "messages" in names:
        return "state", None
    if names:
        return "chain", None
    return ("text" if schema.get("type") == "string" else "messages"), None


def _shape_of_graph(runnable: Any, names: Sequence[str], schema: dict[str, Any]) -> tuple[Shape, str | None]:
    if "messages" in names:
        return "state", None
    if names:
        return "chain", None
    if "__root__" in _channels(runnable) or schema.get("type") == "array":
        return "messages", None
    if schema.get("type") == "string":
        return "text", None
    how = "that is a guess: say what it takes under `input` in the configuration"
    if is_entrypoint(runnable):
        return "messages", f"this entrypoint does not say what it takes, and is given messages; {how}"
    return "state", f"this graph does not say what it takes, and is given messages in its state; {how}"


def chain_keys(runnable: Any, options: LangChainOptions) -> tuple[str | None, str | None]:
    """Return which keys of its input are question and history. Raises ConfigError if that is not clear.

    No question: the history is all that it takes, so that the last message belongs there too.
    """
    names = _input_names(runnable)
    question = options.question_key or next((key for key in _QUESTION if key in names), None)
    history = options.history_key or next((key for key in _HISTORY if key in names and key != question), None)
    if question is None:
        others = [key for key in names if key != history]
        if len(others) > 1:
            which = ", ".join(others)
            raise ConfigError([f"object: which input is the message: {which}? Name it under question_key"])
        question = others[0] if others else "input" if history is None else None
    return question, history


def _input_names(runnable: Any) -> Sequence[str]:
    """Return the keys of its input: a graph's are the channels of its input, a chain's are in its schema."""
    if is_graph(runnable):
        channels = [name for name in _channels(runnable) if not name.startswith("__")]
        if channels:
            return channels
    found = _schema(runnable).get("properties")
    return list(found) if isinstance(found, dict) else []


def _channels(graph: Any) -> Sequence[str]:
    """Return the channels that a graph's input may write to, by whatever class its state is described."""
    builder = getattr(unbound(graph), "builder", None)
    schemas, wanted = getattr(builder, "schemas", None), getattr(builder, "input_schema", None)
    return list(schemas.get(wanted) or ()) if isinstance(schemas, dict) else []


def _schema(runnable: Any) -> dict[str, Any]:
    try:
        found = runnable.get_input_jsonschema()
    except Exception:  # noqa: BLE001  # LangChain cannot describe some types, in many ways
        return {}
    return found if isinstance(found, dict) else {}
