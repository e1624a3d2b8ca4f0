"""An agent in chatlab, as the signed-in person or as the service: the workspace sees who asks for what."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from pydantic import SecretStr

import chatlab.agent
from chatlab.agent import Agent
from chatlab.backend import CallContext
from chatlab.credentials import ProtectedResource, one_token
from chatlab.errors import AuthRequired, ChatlabError, NotReady, UnsupportedContent
from chatlab.lab import Answer, Lab, load
from chatlab.messages import Message, ToolCall, ToolResult
from tests.servers.data_of_workspace import INDEX, DataOfWorkspace
from tests.servers.databricks import Workspace
from tests.servers.llama import TOOL

ASK = f"use the {TOOL}"
Project = Callable[..., Path]
AGENT = "from chatlab.agent import Agent\ngraph = Agent.beside(__file__).graph\n"
_names = iter(range(1000))


def lab_of(file: Path, auth: str = "auth: {type: user}") -> Lab:
    """The agent of this file as two backends, `me` and `service`."""
    module = f"agent_{next(_names)}"
    file.with_name(f"{module}.py").write_text(AGENT)
    config = file.with_name("chatlab.yaml")
    config.write_text(
        "storage: none\nbackends:\n"
        f"  me: {{kind: langchain, object: '{module}:graph', {auth}}}\n"
        f"  service: {{kind: langchain, object: '{module}:graph'}}\n"
    )
    return load(config)


def person(workspace: Workspace, name: str, **more: Any) -> tuple[CallContext, str]:
    token = workspace.person(name)
    return CallContext(identity=name, credential=one_token(SecretStr(token)), **more), token


async def ask(lab: Lab, backend: str, conversation: Any, ctx: CallContext) -> Answer:
    async with lab.turn(backend, conversation, ctx=ctx) as turn:
        async for _ in turn.batches():
            pass
        return Answer.of(turn)


async def test_a_search_is_made_as_whoever_asks_and_its_results_are_the_sources(
    data: DataOfWorkspace, project: Project, llama: Any
) -> None:
    ctx, token = person(data.workspace, "ann@example.com")
    async with lab_of(project("search")) as lab:
        found = await ask(lab, "me", ASK, ctx)
        assert found.text == llama.text
        call, result = found.message.parts[:2]
        assert isinstance(call, ToolCall) and call.name == "search_documents"
        assert isinstance(result, ToolResult) and "Lanes are columns." in result.content
        assert [(one.title, one.url) for one in found.citations] == [
            ("Lanes", "https://docs.example.com/lanes"),
            ("Private", None),
        ]
        assert [note.detail for note in found.notices] == ["ran search_documents as ann@example.com"]
        assert [seen.what for seen in data.calls] == ["model", "search", "model"]
        assert {seen.token for seen in data.calls} == {token}


async def test_each_step_has_a_name_for_whoever_traces_it(data: DataOfWorkspace, project: Project) -> None:
    """MLflow's tracing logs an error of its own for a step without one, and has no span of it."""
    names: list[object] = []

    class Notes(AsyncCallbackHandler):
        async def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
            names.append(kwargs["name"])

    await Agent.load(project()).graph().ainvoke({"messages": ["hello"]}, {"callbacks": [Notes()]})
    assert "LangGraph" in names and None not in names


async def test_the_same_agent_as_the_service_finds_what_the_service_may_see(
    data: DataOfWorkspace, project: Project
) -> None:
    ctx, token = person(data.workspace, "ann@example.com")
    async with lab_of(project("search")) as lab:
        found = await ask(lab, "service", ASK, ctx)
        assert [one.title for one in found.citations] == ["Lanes"]
        assert [note.detail for note in found.notices] == ["ran search_documents as the service"]
        assert {seen.token for seen in data.calls} == {data.workspace.issued[-1]} != {token}
        assert (lab.backends["me"].asked_as(ctx), lab.backends["service"].asked_as(ctx)) == (
            "ann@example.com",
            "the service",
        )


async def test_a_tool_has_rights_of_its_own_beside_those_of_the_agent(
    data: DataOfWorkspace, project: Project
) -> None:
    ctx, token = person(data.workspace, "ann@example.com")
    async with lab_of(project("search as service")) as lab:
        await ask(lab, "me", ASK, ctx)
        seen = {(call.what, call.token == token) for call in data.calls}
        assert seen == {("model", True), ("search", False)}


async def test_the_credential_is_asked_for_as_the_configuration_says(
    data: DataOfWorkspace, project: Project
) -> None:
    token, asked = data.workspace.person("ann@example.com"), []

    async def credential(resource: ProtectedResource) -> SecretStr:
        asked.append(resource)
        return SecretStr(token)

    by = "auth: {type: user, by: federation}"
    async with lab_of(project("search"), by) as lab:
        await ask(lab, "me", ASK, CallContext("ann@example.com", credential))
    assert asked == [ProtectedResource(data.workspace.url, "federation")]
    assert {seen.token for seen in data.calls} == {token}


async def test_without_a_person_nothing_is_asked_of_the_workspace(
    data: DataOfWorkspace, project: Project
) -> None:
    async with lab_of(project("search")) as lab:
        for ctx in (CallContext(), CallContext(credential=one_token(SecretStr(" ")))):
            with pytest.raises(AuthRequired, match="sign in first"):
                await ask(lab, "me", ASK, ctx)
    assert data.workspace.front.requests == []


async def test_without_a_credential_of_its_own_the_service_asks_nothing(
    data: DataOfWorkspace, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABRICKS_CLIENT_SECRET")
    ctx, _ = person(data.workspace, "ann@example.com")
    async with lab_of(project("search")) as lab:
        with pytest.raises(NotReady, match="set DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET"):
            await ask(lab, "service", ASK, ctx)
    assert data.workspace.front.requests == []


async def test_a_credential_that_the_workspace_refuses_ends_the_answer(
    data: DataOfWorkspace, project: Project
) -> None:
    ctx = CallContext(identity="ann", credential=one_token(SecretStr("dapi-of-nobody-0123456789")))
    async with lab_of(project("search")) as lab:
        with pytest.raises(ChatlabError, match="The token is not valid") as raised:
            await ask(lab, "me", ASK, ctx)
        assert "dapi-of-nobody" not in str(raised.value)


async def test_a_tool_that_a_person_may_not_use_is_left_out_and_named(
    data: DataOfWorkspace, project: Project, llama: Any
) -> None:
    data.allowed[INDEX] = {"bob@example.com"}
    ctx, _ = person(data.workspace, "ann@example.com")
    async with lab_of(project("search")) as lab:
        found = await ask(lab, "me", "hello", ctx)
        assert found.text == llama.text and len(found.message.parts) == 1
        (note,) = found.notices
        assert (
            "search_documents is left out, as ann@example.com: ann@example.com has no permission"
            in note.detail
        )


async def test_two_people_at_once_are_never_taken_for_each_other(
    data: DataOfWorkspace, project: Project
) -> None:
    people = {name: person(data.workspace, name) for name in ("ann@example.com", "bob@example.com")}

    async def turns(lab: Lab, name: str) -> list[Answer]:
        return [await ask(lab, "me", ASK, people[name][0]) for _ in range(20)]

    async with lab_of(project("search")) as lab:
        both = await asyncio.gather(*(turns(lab, name) for name in people))
    for name, answers in zip(people, both, strict=True):
        assert {note.detail for one in answers for note in one.notices} == {f"ran search_documents as {name}"}
    assert [{len(one.citations) for one in answers} for answers in both] == [{2}, {1}]
    searches = [call.token for call in data.calls if call.what == "search"]
    assert sorted(searches) == sorted(token for _, token in people.values() for _ in range(20))
    assert all(call.token for call in data.calls)


@pytest.mark.parametrize("reply", ["approve", "not for this"])
async def test_a_call_that_needs_approval_waits_for_the_person(
    data: DataOfWorkspace, project: Project, llama: Any, reply: str
) -> None:
    ctx, token = person(data.workspace, "ann@example.com", conversation=f"one-{time.monotonic()}")
    async with lab_of(project("search if approved")) as lab:
        asked = await ask(lab, "me", ASK, ctx)
        assert "May search_documents run with {" in asked.text and '"query"' in asked.text
        assert "search" not in [call.what for call in data.calls]
        said = (Message.of("user", ASK), asked.message, Message.of("user", reply))
        found = await ask(lab, "me", said, ctx)
        assert found.text == llama.text
        assert not [note for note in found.notices if "without a result" in note.detail]
        # The call was told in the answer before, and this one does not end with it.
        assert [part for part in found.message.parts if isinstance(part, ToolCall)] == []
        assert found.finish.reason == "stop"
        after = await ask(lab, "me", (*said, found.message, Message.of("user", "hello")), ctx)
        assert [note for note in after.notices if "without a result" in note.detail] == []
        (result,) = [part for part in found.message.parts if isinstance(part, ToolResult)]
        searched = [call.token for call in data.calls if call.what == "search"]
        if reply == "approve":
            assert searched == [token] and "Lanes are columns." in result.content
            assert "ran search_documents as ann@example.com" in [note.detail for note in found.notices]
        else:
            assert searched == [] and result.is_error
            assert not [note for note in found.notices if note.detail.startswith("ran ")]
            assert result.content == "The person refused this call: not for this"
            assert result.content in str(data.calls[-2].body)  # the model reads it


@pytest.mark.parametrize("again", ["no", "approve"])
async def test_a_call_that_was_refused_never_runs_afterwards(
    data: DataOfWorkspace, project: Project, llama: Any, again: str
) -> None:
    ctx, _ = person(data.workspace, "ann@example.com", conversation=f"one-{time.monotonic()}")
    async with lab_of(project("search if approved")) as lab:
        asked = (Message.of("user", ASK), (await ask(lab, "me", ASK, ctx)).message)
        refused = await ask(lab, "me", (*asked, Message.of("user", "no")), ctx)
        with pytest.raises(UnsupportedContent, match="decided already"):  # a retry, or an edit of the reply
            await ask(lab, "me", (*asked, Message.of("user", again)), ctx)
        later = (*asked, Message.of("user", "no"), refused.message, Message.of("user", again))
        assert (await ask(lab, "me", later, ctx)).text == llama.text
    assert "search" not in [call.what for call in data.calls]


async def test_who_approves_is_as_whom_the_call_runs(data: DataOfWorkspace, project: Project) -> None:
    """Whoever answers in a conversation answers with their own rights, also to what another was asked."""
    conversation = f"one-{time.monotonic()}"
    ann, _ = person(data.workspace, "ann@example.com", conversation=conversation)
    bob, bobs = person(data.workspace, "bob@example.com", conversation=conversation)
    async with lab_of(project("search if approved")) as lab:
        asked = await ask(lab, "me", ASK, ann)
        await ask(lab, "me", (Message.of("user", ASK), asked.message, Message.of("user", "approve")), bob)
    assert [call.token for call in data.calls if call.what == "search"] == [bobs]


async def test_after_a_restart_no_call_runs_that_is_not_asked_about_again(
    data: DataOfWorkspace, project: Project, llama: Any
) -> None:
    ctx, _ = person(data.workspace, "ann@example.com", conversation=f"one-{time.monotonic()}")
    file = project("search if approved")
    async with lab_of(file) as lab:
        asked = await ask(lab, "me", ASK, ctx)
    async with lab_of(file) as lab:
        said = (Message.of("user", ASK), asked.message, Message.of("user", "approve"))
        assert (await ask(lab, "me", said, ctx)).text == llama.text
    assert [one["content"] for one in data.calls[-1].body["messages"]][-2:] == [asked.text, "approve"]
    assert "search" not in [call.what for call in data.calls]


def test_what_a_configuration_names_is_no_module_once_an_agent_was_made() -> None:
    importlib.import_module("chatlab.agent.tool_calling")
    assert chatlab.agent.graph.__name__ == "graph" and not isinstance(chatlab.agent.graph, ModuleType)


def test_an_agent_holds_no_credential(data: DataOfWorkspace, project: Project) -> None:
    file = project("search")
    assert set(vars(Agent.load(file))) == {"config"}
