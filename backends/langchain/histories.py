"""RunnableWithMessageHistory: it remembers by itself, so what it remembers is made the conversation's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any
from uuid import uuid4

from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.history import RunnableWithMessageHistory

from chatlab.errors import ConfigError
from chatlab.formats import to_langchain
from chatlab.messages import FilePart, Message


def with_history(runnable: Any) -> RunnableWithMessageHistory | None:
    """Return the Runnable with a history that this one is, with arguments bound to it or not; or None."""
    while not isinstance(runnable, RunnableWithMessageHistory):
        if not isinstance(runnable, RunnableBindingBase):
            return None
        runnable = runnable.bound
    return runnable


def session_of(
    runnable: RunnableWithMessageHistory, conversation: str | None, configured: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the `configurable` by which it finds the history of this conversation, and of no other.

    Raises ConfigError where it wants something else that the configuration does not give.
    """
    missing = [spec.id for spec in runnable.history_factory_config if spec.id not in configured]
    own = [name for name in missing if "user" not in name and "tenant" not in name]
    session = next((name for name in own if name in ("session_id", "conversation_id", "thread_id")), None)
    session = session or next(iter(own), None)
    others = [name for name in missing if name != session]
    if others:
        raise ConfigError(
            [f"object: its history is found by {', '.join(others)}: give it under configurable"]
        )
    return {} if session is None else {session: conversation or str(uuid4())}


def input_of(runnable: RunnableWithMessageHistory, said: Message) -> Any:
    """Return what it takes: the last message alone, since it adds the ones before by itself."""
    (message,) = to_langchain([said])
    has_files = any(isinstance(part, FilePart) for part in said.parts)
    key = runnable.input_messages_key
    if key is None:
        return [message]
    return {key: [message] if has_files else said.text}


def to_write(history: Any, stored: Sequence[Any], earlier: Sequence[Message]) -> list[Any] | None:
    """Return the messages that the history has to hold instead of those stored; None if they are the same."""
    wanted = to_langchain([message for message in earlier if message.role in ("user", "assistant")])
    same = [(one.type, one.text) for one in stored if one.type in ("human", "ai") and one.text]
    return None if same == [(one.type, one.text) for one in wanted if one.text] else wanted


def history_of(runnable: RunnableWithMessageHistory, configurable: Mapping[str, Any]) -> Any:
    """Return its history for this `configurable`, as it will find it itself."""
    keys = [spec.id for spec in runnable.history_factory_config]
    find: Any = runnable.get_session_history
    if len(keys) == 1:
        return find(configurable[keys[0]]) if signature(find).parameters else find()
    return find(**{key: configurable[key] for key in keys})
