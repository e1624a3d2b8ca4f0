"""The requests to a Databricks serving endpoint: its task, its state, and the request of each task.

Every task goes to one route, `POST /serving-endpoints/{name}/invocations`, which takes all of them and
streams where the endpoint can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, assert_never

from chatlab.backend import ChatRequest, Parameter
from chatlab.errors import ModelNotFound, UnsupportedContent
from chatlab.formats import to_openai, to_responses, without_tools
from chatlab.messages import FilePart, Message, Notice, TextPart, ToolCall
from chatlab.words import ENGLISH

Task: TypeAlias = Literal["chat", "agent_chat", "responses", "legacy"]
LegacyRequest: TypeAlias = Literal["messages", "dataframe_split", "inputs"]

# The workspace's names for an endpoint's task. `agent/v1/chat` is the older agent schema, which answers like
# chat but promises no finish reason.
_TASKS: dict[str, Task] = {
    "llm/v1/chat": "chat",
    "agent/v1/chat": "legacy",
    "agent/v2/chat": "agent_chat",
    "agent/v1/responses": "responses",
}

CHAT_PARAMETERS = (
    Parameter("temperature", "float", ENGLISH("parameter.temperature"), minimum=0, maximum=2),
    Parameter("max_tokens", "int", ENGLISH("parameter.max_tokens"), minimum=1),
    Parameter("top_p", "float", ENGLISH("parameter.top_p"), 0, 1, advanced=True),
    Parameter("top_k", "int", ENGLISH("parameter.top_k"), minimum=1, advanced=True),
    Parameter("stop", "strings", ENGLISH("parameter.stop"), advanced=True),
    Parameter(
        "reasoning_effort",
        "string",
        ENGLISH("parameter.reasoning_effort"),
        choices=("low", "medium", "high"),
        advanced=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The description of an endpoint by its workspace.

    ready: None where it does not say. idle: scaled to zero, so that a request wakes it.
    stopped: by a person; a request does not wake it.
    """

    name: str
    task: str | None
    ready: bool | None
    deploying: bool
    idle: bool
    stopped: bool
    scales_to_zero: bool
    creator: str | None

    @classmethod
    def of(cls, name: str, body: object) -> Endpoint:
        """Reads the reply of `GET /api/2.0/serving-endpoints/{name}`; whatever is not there is unknown."""
        found = _mapping(body)
        state = _mapping(found.get("state"))
        entities = [_mapping(e) for e in _list(_mapping(found.get("config")).get("served_entities"))]
        # `scale_to_zero_enabled` is true of idle, running and stopped endpoints alike; the message tells.
        said = " ".join(str(_mapping(e.get("state")).get("deployment_state_message") or "") for e in entities)
        ready = state.get("ready")
        return cls(
            name=name,
            task=str(found["task"]) if found.get("task") else None,
            ready=None if ready is None else ready == "READY",
            deploying=state.get("config_update") == "IN_PROGRESS",
            idle="scaled to zero" in said.lower(),
            stopped="stopped" in said.lower(),
            scales_to_zero=any(e.get("scale_to_zero_enabled") is True for e in entities),
            creator=str(found["creator"]) if found.get("creator") else None,
        )

    def chat_task(self) -> Task:
        """Return how to talk to it. Raises ModelNotFound if it is no chat endpoint."""
        if self.task is None:
            return "legacy"
        if self.task not in _TASKS:
            raise ModelNotFound(f"the endpoint {self.name} does {self.task}, which is not a chat")
        return _TASKS[self.task]

    def waking(self, *, waited: float | None = None) -> str | None:
        """Return what to tell a person who waits for it, or None. waited: seconds without any reply
        so far.
        """
        if self.stopped:
            return None
        if self.idle:
            return f"the endpoint {self.name} was scaled to zero and is starting: this can take minutes"
        if self.ready is False:
            what = "is being deployed" if self.deploying else "is not ready yet"
            return f"the endpoint {self.name} {what}: the first answer can take minutes"
        if waited is not None and self.scales_to_zero:
            return (
                f"no reply from the endpoint {self.name} after {waited:.0f} s: it scales to zero when idle "
                "and may be starting, which can take minutes"
            )
        return None

    def summary(self) -> str:
        """One line for a probe."""
        states = {True: "ready", False: "not ready", None: "state unknown"}
        state = "stopped" if self.stopped else "scaled to zero" if self.idle else states[self.ready]
        return f"{state}, task {self.task or 'not stated'}"


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """The part of the options that shapes a request's body."""

    custom_inputs: Mapping[str, Any]
    extra_body: Mapping[str, Any]
    legacy_request: LegacyRequest
    return_trace: bool
    files: tuple[str, ...] | None


def body_of(task: Task, request: ChatRequest, options: RequestOptions) -> tuple[dict[str, Any], list[Notice]]:
    """Return the body of a request, without `stream`, and what of the request it could not hold.

    Whatever a task cannot take was removed before when the task is written in the configuration; with
    `task: auto` it turns out only here.
    """
    notices: list[Notice] = []
    messages = request.messages
    if task != "chat":
        if options.files is None:
            messages = _without_files(messages, notices)
        notices += [
            Notice("parameter_ignored", ENGLISH("notice.no-sampling", name=name))
            for name, value in request.parameters.items()
            if value is not None
        ]
    if task == "chat":
        body: dict[str, Any] = {"messages": to_openai(messages)}
        body |= {name: value for name, value in request.parameters.items() if value is not None}
    elif task == "agent_chat":
        body = {"messages": _agent_messages(messages)}
    elif task == "responses":
        body = {"input": to_responses(messages)}
    elif task == "legacy":
        body = _legacy_body(messages, options.legacy_request, notices)
    else:
        assert_never(task)
    if options.custom_inputs:
        body["custom_inputs"] = dict(options.custom_inputs)
    if options.return_trace and task in ("agent_chat", "responses"):
        body["databricks_options"] = {"return_trace": True}
    return {**body, **options.extra_body}, notices


def _without_files(messages: tuple[Message, ...], notices: list[Notice]) -> tuple[Message, ...]:
    kept: list[Message] = []
    for message in messages:
        files = [part for part in message.parts if isinstance(part, FilePart)]
        if not files:
            kept.append(message)
            continue
        notices += [
            Notice("file_dropped", f"{part.name or part.media_type}: this endpoint is an agent for text")
            for part in files
        ]
        rest = tuple(part for part in message.parts if not isinstance(part, FilePart))
        kept.append(Message(message.role, rest or (TextPart(""),)))
    return tuple(kept)


def _agent_messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Chat Completions messages, with the tool's name beside each result: a ChatAgent insists on it."""
    names = {
        part.id: part.name for message in messages for part in message.parts if isinstance(part, ToolCall)
    }
    found = to_openai(messages)
    for item in found:
        if item["role"] == "tool":
            item["name"] = names.get(str(item.get("tool_call_id")), "tool")
        if not isinstance(item.get("content"), str | None):
            raise UnsupportedContent("a ChatAgent endpoint takes text only")
    return found


def _legacy_body(messages: tuple[Message, ...], form: LegacyRequest, notices: list[Notice]) -> dict[str, Any]:
    """Chains of before the agent schemas: plain role and content, or a data frame of one row."""
    messages, dropped = without_tools(messages)
    notices += dropped
    spoken = [{"role": m.role, "content": m.text} for m in messages if m.text]
    if form == "messages":
        return {"messages": spoken}
    if form == "dataframe_split":
        return {"dataframe_split": {"columns": ["messages"], "data": [[spoken]]}}
    if form == "inputs":
        question = next((m.text for m in reversed(messages) if m.role == "user"), "")
        if len(spoken) > 1:
            notices.append(Notice("history_truncated", ENGLISH("notice.endpoint-last")))
        return {"inputs": [question]}
    assert_never(form)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
