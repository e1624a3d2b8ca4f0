"""What `chatlab.web.chat.gradio_patches` relies on in Gradio, beyond what Gradio documents."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.blocks
import gradio.route_utils
from gradio.queueing import Event, Queue
from gradio.routes import App
from gradio.server_messages import ProcessGeneratingMessage
from gradio.state_holder import SessionState, StateHolder
from gradio.utils import diff
from gradio_client.utils import apply_diff

from chatlab.web.chat.gradio_patches.named_buttons import LOCALES
from chatlab.web.chat.gradio_patches.routes import endpoints

SESSION = {
    "blocks_config",
    "config_values",
    "state_data",
    "_state_ttl",
    "is_closed",
    "STATE_TTL_WHEN_CLOSED",
}
HOLDER = {"session_data", "time_last_used", "lock", "capacity"}
BY_NAME = ("state", "request", "iterator", "session_hash", "event_id", "simple_format")


async def _answer(message: Any, history: Any) -> Any:
    yield "an answer"


class Built:
    """A page of Gradio's own with a chat interface on it."""

    def __init__(self) -> None:
        with gr.Blocks() as self.blocks:
            self.chat = gr.ChatInterface(_answer, multimodal=True, editable=True)
        self.blocks.queue()
        self.events = list(self.blocks.fns.values())


def takes(function: Callable[..., Any], *names: str) -> bool:
    """Whether a function has parameters of these names."""
    return set(names) <= set(inspect.signature(function).parameters)


def has(thing: object, *names: str) -> bool:
    return all(hasattr(thing, name) for name in names)


def same_edits() -> bool:
    before, after = [{"a": [1, 2]}, "x"], [{"a": [1, 3], "b": 4}, "xyz", None]
    return bool(apply_diff(before, diff(before, after)) == after)


def _routes(app: App) -> bool:
    wanted = {
        "/gradio_api/run/{api_name}": ["api_name", "body", "request", "username"],
        "/gradio_api/call/v2/{api_name}": ["api_name", "body", "request", "username"],
        "/gradio_api/call/{api_name}/{event_id}": ["request", "event_id"],
        "/gradio_api/queue/join": ["body", "request", "username"],
        "/gradio_api/heartbeat/{session_hash}": ["session_hash", "request", "background_tasks", "username"],
    }
    known = dict(endpoints(app.router))
    return all(list(inspect.signature(known[path]).parameters) == names for path, names in wanted.items())


def _in_group(component: Any) -> bool:
    around = component.parent
    while around is not None and not isinstance(around, gr.Group):
        around = around.parent
    return around is not None and hasattr(gr.ChatInterface, "_render_chatbot_area")


def _in_browser() -> bool:
    with gr.Blocks() as page:
        box = gr.Textbox()
        box.submit(None, box, box, js="(text) => text")
    (event,) = page.get_config_file()["dependencies"]
    return not event["backend_fn"] and event["js"] == "(text) => text"


def _chains() -> bool:
    with gr.Blocks():
        box = gr.Textbox()
        return has(box.submit(None, box, box, js="(text) => text"), "success", "failure", "then")


def claims() -> Iterator[tuple[str, bool]]:
    """Each thing that is relied on, as a sentence, and whether it is so."""
    built = Built()
    chat, blocks, queue = built.chat, built.blocks, built.blocks._queue
    yield (
        "each event looks MatplotlibBackendMananger up in gradio.utils",
        "utils.MatplotlibBackendMananger()" in inspect.getsource(gradio.route_utils.call_process_api),
    )
    yield (
        f"Blocks.process_api is a coroutine that takes {', '.join(BY_NAME)} and block_fn",
        inspect.iscoroutinefunction(gr.Blocks.process_api)
        and takes(gr.Blocks.process_api, "block_fn", *BY_NAME),
    )
    yield (
        "a Queue has sleep_when_free and progress_update_sleep_when_free, in seconds",
        {type(queue.sleep_when_free), type(queue.progress_update_sleep_when_free)} <= {float},
    )
    yield "a Queue knows its events by id", isinstance(queue.event_ids_to_events, dict)
    yield (
        "Queue.send_message takes an event and a message",
        takes(Queue.send_message, "event", "event_message"),
    )
    yield "an Event of the queue has `alive`", "self.alive = True" in inspect.getsource(Event)
    yield (
        "a message of a growing value has output and success",
        {"output", "success"} <= set(ProcessGeneratingMessage.model_fields),
    )
    yield "gradio.utils.diff makes edits that the client's apply_diff undoes", same_edits()
    yield (
        "a component's api_info and get_config are methods of the class",
        inspect.isfunction(gr.Chatbot.api_info) and inspect.isfunction(gr.Chatbot.get_config),
    )
    yield (
        "a ChatInterface has its parts under these names",
        has(chat, "chatbot", "textbox", "saved_input", "chatbot_state", "chatbot_value", "null_component"),
    )
    yield "a ChatInterface puts its message box into a group", _in_group(chat.textbox)
    yield (
        "ChatInterface._pop_last_user_message takes the history and returns what is left and the message",
        takes(chat._pop_last_user_message, "history")
        and chat._pop_last_user_message([]) == ([], {"text": "", "files": []}),
    )
    yield (
        "ChatInterface._edit_message takes history and edit_data",
        takes(chat._edit_message, "history", "edit_data"),
    )
    yield (
        "ChatInterface._append_message_to_history takes message, history and role",
        takes(chat._append_message_to_history, "message", "history", "role"),
    )
    yield "ChatInterface._stream_fn is an async generator", inspect.isasyncgenfunction(chat._stream_fn)
    yield "ChatInterface._api_wrapper takes fn and submit_fn", takes(chat._api_wrapper, "fn", "submit_fn")
    answers = [one for one in built.events if inspect.isasyncgenfunction(one.fn)]
    yield (
        "answers are the events whose function is an async generator, and only that of /chat is public",
        len(answers) >= 4 and [one.api_visibility for one in answers].count("public") == 1,
    )
    yield (
        "a ChatInterface sets its events up in a method, once its message box is there",
        "self._setup_events()" in inspect.getsource(gr.ChatInterface.__init__)
        and has(chat, "original_stop_btn", "fake_api_btn", "api_response", "additional_inputs"),
    )
    yield "an event without a function happens in the browser alone", _in_browser()
    yield "an event can be followed by success(), failure() and then()", _chains()
    yield (
        "gradio.blocks hands work to threads by anyio.to_thread.run_sync",
        ("anyio.to_thread.run_sync(" in inspect.getsource(gradio.blocks.Blocks.postprocess_data)),
    )
    yield (
        "App.create_app takes blocks, and get_root_url a request and two paths",
        (
            takes(App.create_app, "blocks")
            and takes(gradio.route_utils.get_root_url, "request", "route_path", "root_path")
        ),
    )
    yield (
        "an App has state_holder, auth and auth_dependency",
        has(blocks.app, "state_holder", "auth", "auth_dependency"),
    )
    yield (
        "the routes of a turn and of an open page have these addresses, and functions that take these",
        _routes(blocks.app),
    )
    yield (
        "a SessionState has these attributes, and a StateHolder these",
        (set(vars(SessionState(blocks))) == SESSION and set(vars(StateHolder())) >= HOLDER),
    )
    yield (
        "a Queue makes its statistics by compute_analytics_summary, which gradio.queueing.run_sync calls",
        len(inspect.signature(queue.compute_analytics_summary).parameters) == 1
        and "run_sync(" in inspect.getsource(Queue.process_events),
    )
    yield (
        "a Queue sleeps by asyncio.sleep(self.sleep_when_free) until an event was pushed, or has ended",
        "asyncio.sleep(self.sleep_when_free)" in inspect.getsource(Queue.start_processing)
        and inspect.iscoroutinefunction(Queue.push)
        and list(inspect.signature(Queue.push).parameters) == ["self", "body", "request", "username"]
        and inspect.iscoroutinefunction(Queue.process_events),
    )
    yield (
        "a Queue has the messages and events of each page by its hash",
        has(queue, "pending_messages_per_session", "pending_event_ids_session")
        and takes(Queue.clean_events, "session_hash")
        and isinstance(queue.stopped, bool),
    )
    yield (
        "Blocks.postprocess_data takes block_fn, predictions and state",
        takes(blocks.postprocess_data, "block_fn", "predictions", "state"),
    )
    yield (
        "the queue has the events that wait and those that run, each with its page's hash",
        "self.session_hash" in inspect.getsource(Event)
        and isinstance(blocks._queue.active_jobs, list)
        and all(hasattr(one, "queue") for one in blocks._queue.event_queue_per_concurrency_id.values())
        and isinstance(blocks._queue.event_ids_to_events, dict),
    )
    yield "Blocks.temp_file_sets is a list of sets of paths", isinstance(blocks.temp_file_sets, list)
    yield "a Chatbot has keep_in_cache, a set of paths", isinstance(chat.chatbot.keep_in_cache, set)


async def test_gradio_is_what_the_patches_were_written_for() -> None:
    changed = [sentence for sentence, holds in claims() if not holds]
    relying = f"Gradio {gr.__version__} changed what chatlab/web/chat/gradio_patches relies on"
    assert not changed, f"{relying}: {'; '.join(changed)}"


def test_a_label_is_put_into_every_language_that_gradios_page_has() -> None:
    assets = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
    known = {
        name
        for file in assets.glob("*.js")
        for name in re.findall(r"/lang/([a-z]{2,3}(?:-[A-Z]{2})?)\.json", file.read_text("utf-8"))
    }
    assert known and known <= set(LOCALES), f"new in Gradio {gr.__version__}: {known - set(LOCALES)}"
