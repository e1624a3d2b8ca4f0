"""The page: `gr.ChatInterface` with a backend selector, a system prompt, presets and generated controls."""

from __future__ import annotations

import inspect
import mimetypes
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency
from gradio.utils import get_upload_folder

from chatlab.config.models import Config, Example, Ui
from chatlab.config.registry import Backends
from chatlab.formats.media import media_type_of_path
from chatlab.lab import Lab
from chatlab.paths import PACKAGE
from chatlab.render.styles import tokens
from chatlab.turns.fit import accepts
from chatlab.web.chat.branches import Opening
from chatlab.web.chat.controls import control, parameters_of, preset_values
from chatlab.web.chat.gradio_patches import StreamingBlocks, keep_descriptions, spare_gradio
from chatlab.web.chat.respond import Chat
from chatlab.web.chat.sidebar import compare_link, opened_by_scripts, sidebar
from chatlab.web.shared.csp import link_guard
from chatlab.web.shared.owner import Tabs, owner_of
from chatlab.web.shared.uploads import KEPT_FOR, Uploads

_LATEX = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "\\(", "right": "\\)", "display": False},
]
_NO_PRESET = "none"
_READABLE = {  # Gradio's own have a contrast of 1.9:1
    f"{name}{theme}": "var(--cl-text-muted)"
    for name in ("body_text_color_subdued", "block_info_text_color", "input_placeholder_color")
    for theme in ("", "_dark")
}
_OWN_LOOK = {
    f"{name}{theme}": f"var(--cl-{variable})"
    for name, variable in {
        "background_fill_primary": "background",
        "background_fill_secondary": "surface",
        "block_background_fill": "background",
        "border_color_primary": "border",
        "body_text_color": "text",
        "block_title_text_color": "text-muted",
        "block_label_text_color": "text-muted",
        "input_background_fill": "background",
        "link_text_color": "accent",
        "error_text_color": "danger",
        "error_border_color": "danger",
    }.items()
    for theme in ("", "_dark")
}
_STATIC = PACKAGE / "web" / "static"
_ATTACHING = f"<script>(() => {{{(_STATIC / 'attach.js').read_text('utf-8')}}})();</script>"


class WindowedChat(gr.ChatInterface):  # type: ignore[misc]
    """A ChatInterface whose function says how the whole conversation looks, not only its answer, and whose
    messages that are asked again are the conversation's own."""

    def __init__(self, opening: Opening, *args: Any, **kwargs: Any) -> None:
        self._opening = opening
        super().__init__(*args, **kwargs)

    async def _pop_last_user_message(self, history: list[Any], request: gr.Request) -> tuple[list[Any], Any]:
        left, message = super()._pop_last_user_message(history)
        return left, await self._opening.taken_back(history[len(left) :], message, request)

    async def _edit_message(self, history: list[Any], edit_data: gr.EditData, request: gr.Request) -> Any:
        left, _, text = super()._edit_message(history, edit_data)
        return left, left, await self._opening.edited(history[len(left) :], text, request)

    def _append_message_to_history(
        self, message: Any, history: list[Any], role: str = "user", request: gr.Request | None = None
    ) -> list[Any]:
        shown = message if request is None else self._opening.paint(message, request)
        return list(super()._append_message_to_history(shown, history, role))

    def _clear_and_save_textbox(self, message: Any) -> tuple[Any, Any]:
        # Gradio's own takes the placeholder away, too, and nothing brings it back.
        return gr.update(value="", interactive=False), message

    async def _stream_fn(self, message: Any, history: list[Any], *args: Any) -> AsyncIterator[Any]:
        async with aclosing(self.fn(message, history, *args)) as paints:
            async for answer, shown in paints:
                yield answer, shown


class Page(StreamingBlocks):
    """The page. `chatlab.web.server` launches it or mounts it, with the protections that it needs."""

    def __init__(self, lab: Lab) -> None:
        assert lab.config is not None
        spare_gradio()
        self.lab_config: Config = lab.config
        self.tabs = Tabs()
        self.uploads = Uploads(Path(get_upload_folder()))
        super().__init__(
            title=lab.config.ui.title,
            fill_height=True,
            analytics_enabled=False,
            delete_cache=(KEPT_FOR // 24, KEPT_FOR),
        )
        with self:
            _fill(self, lab)
        # Examples' files and avatars: Gradio has them where uploads are, and would remove them like those.
        own = {file for files in self.temp_file_sets for file in files}
        assert self.chat is not None
        self.chat.chatbot.keep_in_cache |= own
        self.uploads.publish(own)
        self.temp_file_sets.append(self.uploads.copies)
        keep_descriptions(self.blocks.values())
        self.max_threads = max(40, 2 * lab.config.server.concurrency)
        self.queue(
            default_concurrency_limit=lab.config.server.concurrency, max_size=lab.config.server.queue_size
        )

    async def process_api(self, *args: Any, **call: Any) -> Any:
        """As Gradio's own, for the browser whose page it is."""
        request = call.get("request")
        if isinstance(request, gr.Request):
            owner = owner_of(getattr(request, "cookies", {}))
            if not self.tabs.admit(call.get("session_hash"), owner):
                raise gr.Error("this page is somebody else's: open one of your own", print_exception=False)
        return await super().process_api(*args, **call)

    def settings(self, serve: Callable[..., Any]) -> dict[str, Any]:
        """What `gr.Blocks.launch` or `gr.mount_gradio_app` is to be called with, for this page's look and
        safety. The oldest supported Gradio knows fewer of them."""
        server, ui = self.lab_config.server, self.lab_config.ui
        settings = {
            "theme": _theme(ui),
            "css": tokens() + (_STATIC / "page.css").read_text("utf-8"),
            "head": link_guard(ui.allowed_hosts) + _ATTACHING,
            "show_error": False,  # the text of an exception is for the log
            "ssr_mode": False,
            "run_history": False,
            "max_file_size": int(ui.max_file_mb * 1_000_000),
            "root_path": server.root_path,
            "footer_links": ["settings"],
        }
        known = inspect.signature(serve).parameters
        return {name: value for name, value in settings.items() if name in known}


def _fill(page: Page, lab: Lab) -> None:
    assert lab.config is not None
    config, backends = lab.config, lab.backends
    ui, labels = config.ui, config.ui.labels
    first = _first(config, backends)
    parameters = list(parameters_of(backends).values())
    keeps = config.storage is not None
    chat = Chat(backends, ui, parameters, page.uploads, lab.kept if keeps else None)
    opening = Opening(chat)

    bridge = sidebar(sharing=config.storage.sharing) if config.storage is not None else None
    with gr.Row(elem_classes="chatlab-head"):
        with gr.Column(scale=3, min_width=160):
            gr.Markdown(f"# {ui.title}" + (f"\n{ui.description}" if ui.description else ""))
        with gr.Column(scale=4, min_width=280), gr.Row(elem_classes="chatlab-choice"):
            selector = gr.Dropdown(
                _choices(backends),
                value=first,
                label=labels.get("backend", "Backend"),
                elem_id="backend",
                filterable=len(backends) > 10,
                scale=4,
                min_width=140,
            )
            settings = gr.Button(
                labels.get("parameters", "Options"), size="sm", scale=1, min_width=90, elem_id="settings"
            )
            compare_link()
    status = gr.Markdown(_status(backends, first), elem_classes="chatlab-status")

    with gr.Sidebar(position="right", open=False, width=320, elem_id="settings-panel") as panel:
        gr.Markdown(f"### {labels.get('parameters', 'Options')}")
        preset = gr.Dropdown(
            [_NO_PRESET, *ui.presets],
            value=_NO_PRESET,
            label=labels.get("preset", "Preset"),
            visible=bool(ui.presets),
            elem_id="preset",
        )
        system = gr.Textbox(
            "",
            label=labels.get("system", "System prompt"),
            placeholder=backends[first].system or "none",
            lines=2,
            max_lines=8,
            elem_id="system",
        )
        accepted = {parameter.name for parameter in backends[first].capabilities.parameters}
        controls = [control(parameter, parameter.name in accepted) for parameter in parameters]

    interface = WindowedChat(
        opening,
        chat.respond,
        multimodal=True,
        chatbot=gr.Chatbot(
            show_label=False,
            elem_id="conversation",
            elem_classes=["chatlab-conversation", *(["chatlab-fill"] if ui.height is None else [])],
            height=ui.height,
            avatar_images=_avatars(ui),
            placeholder=ui.welcome or "Write a message, or choose an example.",
            latex_delimiters=_LATEX,
            buttons=["copy", "copy_all"],
            layout="bubble",
            scale=1 if ui.height is None else None,
        ),
        textbox=gr.MultimodalTextbox(
            placeholder=ui.placeholder or "Message",
            submit_btn=labels.get("submit", True),
            stop_btn=labels.get("stop", True),
            file_count="multiple",
            max_plain_text_length=100_000,
            autofocus=True,
            show_label=False,
            elem_id="message",
            **_files(backends, first),
        ),
        additional_inputs=[selector, system, *controls],
        examples=[[_example(example)] for example in ui.examples] or None,
        example_labels=_example_labels(ui.examples),
        cache_examples=False,
        editable=ui.editable,
        flagging_mode=ui.flagging,
        flagging_options=ui.flagging_options,
        flagging_dir=str(ui.flagging_dir),
        concurrency_limit=config.server.concurrency,
        show_progress="hidden",
        autoscroll=True,
        fill_height=True,
        api_name="chat",
    )
    _keep_what_is_written(page, interface.textbox)
    if ui.footer:
        gr.Markdown(ui.footer)

    def chosen(name: str, message: Any) -> list[Any]:
        """What follows from the choice of a backend; what is attached and it does not take is said."""
        names = {parameter.name for parameter in backends[name].capabilities.parameters}
        return [
            _status(backends, name, message["files"] if message else ()),
            gr.update(placeholder=backends[name].system or "none"),
            gr.update(**_files(backends, name)),
            *(gr.update(visible=parameter.name in names) for parameter in parameters),
        ]

    def prepared(name: str) -> list[Any]:
        """What the chosen preset puts into the controls."""
        given = ui.presets.get(name)
        if given is None:
            return ["", *preset_values(parameters, {})]
        return [given.system or "", *preset_values(parameters, given.parameters)]

    private = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
    selector.change(
        chosen, [selector, interface.textbox], [status, system, interface.textbox, *controls], **private
    )
    selector.change(chat.warm, selector, None, **private)
    page.load(chat.warm, selector, None, **private)
    preset.change(prepared, preset, [system, *controls], **private)
    settings.click(lambda: gr.update(open=True), None, panel, **private)
    # Variables may have been set since the page was built.
    page.load(lambda: gr.update(choices=_choices(backends)), None, selector, **private)
    interface.textbox.stop(chat.stopped, None, interface.chatbot, **private).then(
        lambda shown: (shown, shown),
        interface.chatbot,
        [interface.chatbot_state, interface.chatbot_value],
        **private,
    )
    interface.chatbot.clear(opening.cleared, None, None, **private)
    if bridge is not None:
        opened_by_scripts(page, bridge, interface, opening, chat)
    page.unload(chat.closed)
    page.chat = interface
    _queue_only_answers(page, interface, chat)


def _keep_what_is_written(page: gr.Blocks, textbox: Any) -> None:
    """After an answer Gradio empties the message box, which it has long emptied: what was written meanwhile
    would be lost, as it can be after a stop. And its retry takes the placeholder away, which nothing brings
    back. To be called while there are only Gradio's own events."""
    for event in page.fns.values():
        if event.outputs == [textbox] and not event.inputs and not inspect.iscoroutinefunction(event.fn):
            event.fn = _without_words(event.fn)


def _without_words(update: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    return lambda: {name: item for name, item in update().items() if name not in ("value", "placeholder")}


def _queue_only_answers(page: gr.Blocks, interface: gr.ChatInterface, chat: Chat) -> None:
    """Keeps everything but answers out of the queue, and the message box alive when that is full."""
    for event in list(page.fns.values()):
        if event.fn is None:
            continue  # it happens in the browser alone
        if not inspect.isasyncgenfunction(event.fn):
            event.queue = False
        elif event.api_visibility != "public":
            # `respond` never raises, so this answer did not begin, or was stopped: Gradio fails both.
            Dependency(None, {}, event._id, None).failure(
                chat.refused,
                [interface.saved_input, interface.chatbot_state],
                [interface.textbox, interface.chatbot],
                api_visibility="private",
                queue=False,
                show_progress="hidden",
            )


def _first(config: Config, backends: Backends) -> str:
    if config.default is not None:
        return config.default
    return next((name for name, entry in backends.items() if entry.not_ready is None), next(iter(backends)))


def _choices(backends: Backends) -> list[tuple[str, str]]:
    return [
        (entry.label if entry.not_ready is None else f"{entry.label} ({entry.not_ready})", name)
        for name, entry in backends.items()
    ]


def _status(backends: Backends, name: str, attached: Sequence[str] = ()) -> str:
    entry = backends[name]
    if entry.not_ready is not None:
        return f"**{entry.label} is not ready:** {entry.not_ready}"
    taken = entry.capabilities.files
    left = [file.name for file in map(Path, attached) if not accepts(taken, media_type_of_path(file))]
    if left:
        return f"**{entry.label} does not take `{', '.join(left).replace('`', '')}`:** it will not be sent"
    return entry.config.description or ""


def _files(backends: Backends, name: str) -> dict[str, Any]:
    """What the message box takes for this backend, in Gradio's own terms: families and file endings.

    The last one says "whatever" to the server and nothing to the page. Otherwise Gradio would refuse a
    message whose attachments another backend took; what of it is not sent is said, before and after.
    """
    patterns = backends[name].capabilities.files
    types: list[str] = []
    for pattern in patterns:
        family, _, subtype = pattern.partition("/")
        if pattern == "*/*":
            types.append(pattern)
        else:
            # Not every system knows every ending: some have none for audio/wav.
            types += (
                [family] if subtype == "*" else mimetypes.guess_all_extensions(pattern) or [f".{subtype}"]
            )
    return {"sources": ["upload"] if patterns else [], "file_types": [*types, "file"]}


def _avatars(ui: Ui) -> tuple[str | None, str | None] | None:
    if ui.avatars is None:
        return None
    person, backend = ui.avatars
    return (str(person) if person else None, str(backend) if backend else None)


def _example(example: Example) -> dict[str, Any]:
    return {"text": example.text, "files": [str(file) for file in example.files]}


def _example_labels(examples: Sequence[Example]) -> list[str] | None:
    if not any(example.label for example in examples):
        return None
    return [example.label or example.text for example in examples]


def _theme(ui: Ui) -> Any:
    themes: dict[str, Any] = {
        "default": gr.themes.Default,
        "soft": gr.themes.Soft,
        "monochrome": gr.themes.Monochrome,
        "glass": gr.themes.Glass,
        "ocean": gr.themes.Ocean,
        "citrus": gr.themes.Citrus,
        "origin": gr.themes.Origin,
    }
    # A theme's web fonts would be fetched from another host.
    theme = themes[ui.theme](font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return theme.set(**_READABLE, **(_OWN_LOOK if ui.theme == "default" else {}))
