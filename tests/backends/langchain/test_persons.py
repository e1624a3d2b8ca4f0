"""Objects that use the credential of whoever asks: by the config of their run, and by nothing that lasts."""

from __future__ import annotations

import asyncio
import sys

import pytest
from pydantic import SecretStr

from backends.langchain import LangChainBackend
from chatlab.backend import CallContext
from chatlab.credentials import ProtectedResource
from chatlab.errors import AuthRequired
from tests.backends.langchain.calls import Load, ask, text

CANARY = "canary-of-"
OBJECTS = """
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

URL = "https://service.example/api"
seen = []

async def node(state: MessagesState, config: RunnableConfig):
    credential = config["configurable"]["chatlab_credential"]
    token = await credential(URL)
    seen.append(str(config))
    return {"messages": [("ai", token.get_secret_value()[-3:])]}

saver = InMemorySaver()
graph = StateGraph(MessagesState).add_node(node).add_edge(START, "node").compile(checkpointer=saver)

def chain(messages, config: RunnableConfig):
    token = config["configurable"]["chatlab_credential"].wait(URL)
    return token.get_secret_value()[-3:]

chain = RunnableLambda(chain)

def without(messages, config: RunnableConfig):
    return str("chatlab_credential" in config["configurable"])

without = RunnableLambda(without)
"""


def context(name: str, asked: list[ProtectedResource] | None = None) -> CallContext:
    async def credential(resource: ProtectedResource) -> SecretStr:
        if asked is not None:
            asked.append(resource)
        await asyncio.sleep(0)
        return SecretStr(CANARY + name)

    return CallContext(name, credential, conversation=f"conversation of {name}")


async def answer(backend: LangChainBackend, ctx: CallContext) -> str:
    return text([event async for event in backend.stream(ask("who?"), ctx)])


@pytest.mark.parametrize("name", ["graph", "chain"])
async def test_an_object_gets_the_credential_of_whoever_asks_by_the_config_of_its_run(
    load: Load, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = load(f"{OBJECTS}\nthing = {name}", auth={"type": "user"})
    asked: list[ProtectedResource] = []
    people = ["ann", "bob"] * 10
    said = await asyncio.gather(*(answer(backend, context(one, asked)) for one in people))
    assert said == people
    assert set(asked) == {ProtectedResource("https://service.example/api")}
    nothing = CallContext("eve", None)
    with pytest.raises(AuthRequired, match="sign in first"):
        await answer(backend, nothing)
    module = sys.modules[str(backend.options.object).partition(":")[0]]
    stored = [repr(one) for one in module.saver.list(None)]
    assert not stored or name == "graph"
    assert CANARY not in "".join((*stored, *module.seen, caplog.text))
    assert all("chatlab_credential" not in one for one in stored)


async def test_an_object_that_does_not_say_so_gets_nobodys_credential(load: Load) -> None:
    assert await answer(load(f"{OBJECTS}\nthing = without"), context("ann")) == "False"
