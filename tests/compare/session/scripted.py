"""A backend for tests of sessions: it does what its lane is told to, and waits where it is told to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from chatlab.backend import Backend, CallContext, Capabilities, ChatRequest, Options, Parameter, Target
from chatlab.config.models import BackendConfig
from chatlab.config.registry import Entry
from chatlab.errors import Unavailable
from chatlab.messages import Finish, StreamEvent, TextDelta, Usage


class ScriptOptions(Options):
    reply: str = "an answer"
    takes: tuple[str, ...] = ("image/*",)
    model: str = "scripted-1"


class Script(Backend):
    """Answers `reply` in two halves. `hold`: waits before the second half until it is set. `fail`: "start" or
    "middle". What it was sent is in `requests`, and when it began in `began` (a common list)."""

    Options = ScriptOptions
    options: ScriptOptions

    def __init__(self, options: ScriptOptions) -> None:
        super().__init__(options)
        self.hold: asyncio.Event | None = None
        self.fail = ""
        self.half = asyncio.Event()
        self.requests: list[ChatRequest] = []
        self.contexts: list[CallContext] = []
        self.open = 0
        self.count = 0

    @classmethod
    def capabilities(cls, options: ScriptOptions) -> Capabilities:
        return Capabilities(options.takes, (Parameter("temperature", "float", maximum=2),))

    @classmethod
    def as_person(cls, options: ScriptOptions) -> bool:
        return True

    @classmethod
    def target(cls, options: ScriptOptions) -> Target:
        return Target(options.model, "http://scripted.example/v1")

    async def stream(self, request: ChatRequest, ctx: CallContext) -> AsyncIterator[StreamEvent]:
        self.requests.append(request)
        self.contexts.append(ctx)
        self.open += 1
        self.count += 1
        try:
            if self.fail == "start":
                raise Unavailable("told to fail")
            text = f"{self.options.reply} {self.count}"
            yield TextDelta(text[: len(text) // 2])
            self.half.set()
            if self.fail == "middle":
                raise Unavailable("told to fail")
            if self.hold is not None:
                await self.hold.wait()
            yield TextDelta(text[len(text) // 2 :])
            yield Finish("stop", Usage(3, 4), self.options.model)
        finally:
            self.open -= 1


def scripted(*names: str, **options: object) -> dict[str, Entry]:
    """Backends of these names."""
    found = {}
    for name in names:
        config = BackendConfig(
            kind="script",
            retries=0,
            options=ScriptOptions.model_validate({"reply": f"{name} says", **options}),
        )
        found[name] = Entry(name, config, Script)
    return found


def script(backends: dict[str, Entry], name: str) -> Script:
    """The instance behind a name."""
    made = backends[name].backend()
    assert isinstance(made, Script)
    return made
