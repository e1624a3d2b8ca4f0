"""One call of the kind `langchain`: a Runnable or graph is run, where its conversation goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.types import Command

from backends.langchain import interrupts
from backends.langchain.events import MessageEvents
from backends.langchain.histories import history_of, session_of, to_write, with_history
from backends.langchain.inputs import Input, Made
from backends.langchain.objects import breakpoints, is_chat_model, is_graph
from backends.langchain.outputs import Output
from backends.langchain.threads import SAID, Found, Threads
from backends.langchain.usage import ModelRuns
from chatlab.backend import CallContext, ChatRequest
from chatlab.credentials import PersonCredential
from chatlab.errors import BrokenStream
from chatlab.messages import Notice, StreamEvent
from chatlab.sockets import close
from chatlab.words import ENGLISH


class Run:
    """One call of it."""

    def __init__(self, made: Made, threads: Threads, request: ChatRequest, ctx: CallContext) -> None:
        self._made = made
        self._runnable = made.runnable
        self._messages = request.messages
        self._graph, self._chat = is_graph(made.runnable), is_chat_model(made.runnable)
        self.begun = False
        self._input = Input(made, request)
        self._threads = threads
        self._remembers = with_history(made.runnable)
        configured = made.options.configurable
        session = session_of(self._remembers, ctx.conversation, configured) if self._remembers else {}
        self._kwargs: dict[str, Any] = {}
        self._runs = ModelRuns()
        self._thread = threads.take(ctx.conversation)
        configurable: dict[str, Any] = {"thread_id": self._thread.id, **session, **configured}
        if made.options.auth is not None and ctx.credential is not None:
            configurable["chatlab_credential"] = PersonCredential(ctx.credential, made.options.auth.resource)
        configurable["chatlab_auth"] = made.options.auth.type if made.options.auth else "service"
        self._config: dict[str, Any] = {
            "configurable": configurable,
            "recursion_limit": made.options.recursion_limit,
            "callbacks": [self._runs],
        }
        self._parameters(request.parameters, configurable)
        if made.timed:
            import httpx2

            self._kwargs["timeout"] = httpx2.Timeout(None, connect=ctx.connect_timeout)
        if self._graph:
            self._kwargs |= {"stream_mode": ["messages", "values", "custom"], "subgraphs": True}
        self._events = MessageEvents(self._runs, accounts=self._graph or self._chat, apart=self._graph)
        read = next((one.text for one in reversed(request.messages) if one.role == "assistant"), "")
        self._output = Output(made.runnable, self._events, read)

    @property
    def notices(self) -> list[Notice]:
        """Return what the person should know of what is sent; complete once the first item has arrived."""
        return self._input.notices

    def sync(self) -> Iterator[Any]:
        """Yield the items of the Runnable's stream, for one that knows no asynchronous way."""
        if self._remembers is not None:
            history = history_of(self._remembers, self._config["configurable"])
            written = to_write(history, history.messages, self._input.earlier)
            if written is not None:
                history.clear()
                history.add_messages(written)
        given = self._given(self._thread.look(self._messages) if self._thread.goes_on else None)
        yield from self._runnable.stream(given, self._config, **self._kwargs)

    async def asynchronous(self) -> AsyncIterator[Any]:
        """Yield the items of the Runnable's stream."""
        if self._remembers is not None:
            history = history_of(self._remembers, self._config["configurable"])
            written = to_write(history, await history.aget_messages(), self._input.earlier)
            if written is not None:
                await history.aclear()
                await history.aadd_messages(written)
        given = self._given(await self._thread.alook(self._messages) if self._thread.goes_on else None)
        items = self._runnable.astream(given, self._config, **self._kwargs)
        try:
            async for item in items:
                yield item
        finally:
            await close(items)

    def events_of(self, item: Any) -> Iterator[StreamEvent]:
        """Yield the events of an item of the stream."""
        if not self._graph:
            self.begun = True
            yield from self._output.item(item)
            return
        namespace, mode, data = item
        if mode == "messages":
            self.begun = True
            message, metadata = data
            yield from self._events.feed(message, str(metadata.get("langgraph_checkpoint_ns") or ""))
        elif mode == "custom":
            yield from self._output.custom(data)
        elif not namespace:
            yield from self._output.state(data)

    def end(self) -> Iterator[StreamEvent]:
        """Yield what is left at the end of the stream. Raises BrokenStream if there was no answer at all."""
        yield from self._output.end()
        stops = breakpoints(self._runnable) if self._graph else ()
        if not self._events.answered and stops:
            where = f"the graph stopped {', '.join(stops)}, as it is told to"
            yield Notice("other", f"{where}: the next message goes on")
        elif not self._events.answered:
            raise BrokenStream("the object gave nothing that is text, a message, or a dict with an answer")
        yield from self._events.end()

    def forget(self) -> None:
        """Let go of the thread."""
        self._threads.release(self._thread)

    def _given(self, found: Found | None) -> Any:
        """Return the input, and have the config say where it belongs."""
        self._output.given = self._input.given
        if found is None:
            return self._mark_given(self._input.whole())
        self._config["metadata"] = {SAID: found.said}
        if found.state is None:
            return self._mark_given(self._input.whole())
        if found.checkpoint is not None:
            self._config["configurable"]["checkpoint_id"] = found.checkpoint
        if not found.state.next:
            return self._mark_given(self._input.news())
        # What other nodes of the same step have given is applied once this one has answered, and told anew.
        self._events.told(task.result for task in found.state.tasks)
        said = self._input.said
        text = said.text if said is not None else ""
        asked = interrupts.in_order(found.state.interrupts, self._output.read)
        if len(asked) > 1:  # parallel nodes: one answer is for the first, and the others ask again
            return Command(resume={asked[0].id: interrupts.reply(asked[0].value, text)})
        if asked:
            return Command(resume=interrupts.reply(asked[0].value, text))
        return Command(update={"messages": [HumanMessage(text)]}) if self._made.shape == "state" else None

    def _mark_given(self, given: Any) -> Any:
        self._events.known(self._input.given)
        return given

    def _parameters(self, parameters: Mapping[str, Any], configurable: dict[str, Any]) -> None:
        """Put each parameter where the Runnable looks for it."""
        if self._chat:
            self._kwargs |= parameters
            return
        schema = getattr(self._runnable, "context_schema", None)
        in_context = set(getattr(schema, "__annotations__", ())) | set(getattr(schema, "model_fields", ()))
        context: dict[str, Any] = {}
        specs = {spec.id for spec in self._runnable.config_specs}
        for name, value in parameters.items():
            if name in in_context:
                context[name] = value
            elif name in specs or name in self._made.options.accepts:
                configurable[name] = value
            else:
                self.notices.append(Notice("parameter_ignored", ENGLISH("notice.no-place", name=name)))
        if context and self._graph:
            self._kwargs["context"] = context
