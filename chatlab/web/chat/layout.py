"""The parts of the chat page, and which event of which part asks what of the server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from chatlab.config.models import Config
from chatlab.config.registry import ServedBackends
from chatlab.config.ui import Ui
from chatlab.formats.media import media_type_of_path
from chatlab.formats.suffixes import suffixes_of
from chatlab.lab import Lab
from chatlab.turns.fit import accepts, reaches
from chatlab.turns.text_attachments import TEXT_TYPES
from chatlab.web.chat.backend_menu import backend_menu, follow_menu, menu_value
from chatlab.web.chat.branches import BranchNavigation
from chatlab.web.chat.controls import NO_PRESET, control, parameters_of, preset_values
from chatlab.web.chat.examples import Examples
from chatlab.web.chat.gradio_patches import (
    CONVERSATION,
    PatchedBlocks,
    PatchedChatInterface,
    queue_only_answers,
    run_on_loop,
    show_late,
)
from chatlab.web.chat.respond import Chat
from chatlab.web.chat.sidebar import opened_by_scripts, pages_links, sidebar
from chatlab.web.shared.assessments import assessments_of
from chatlab.web.shared.limits import limits_of
from chatlab.web.shared.stored_room import room_of
from chatlab.web.shared.uploads import UploadOwners
from chatlab.words import Words

_LONGEST_TEXT = 2**31 - 1  # characters that are text when they are pasted: a file, few backends would take
_PRIVATE = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
"""How events are set up that are the page's own business and answered at once."""
_OPEN = '() => ({ __type__: "update", open: true, visible: true })'


def fill(page: PatchedBlocks, lab: Lab, uploads: UploadOwners) -> None:
    """Make the page's parts, inside the open `page`, and connect them."""
    assert lab.config is not None
    config, backends = lab.config, lab.backends.served()
    parameters = list(parameters_of(backends).values())
    storage = lab.storage if config.storage is not None else None
    chat = Chat(backends, config, parameters, uploads, limits_of(lab), room_of(lab), storage)
    navigation = BranchNavigation(chat, assessments_of(lab))

    scripts = None
    if config.storage is not None:
        scripts = sidebar(sharing=config.storage.sharing, signed_in=config.auth is not None)
    links = _head(config.ui, chat.words, listed=scripts is not None)
    choice = _Choice.made(config, backends, chat.words)
    options = _Options.made(config.ui, backends, choice.first, parameters, chat.words)
    page.chat = interface = _interface(config, backends, chat, navigation, choice, options)
    examples = Examples(config.ui, parameters)
    examples.connect(interface, choice.selector, options.controls, choice.first)
    if config.ui.footer:
        gr.Markdown(config.ui.footer)

    choice.settings.click(None, None, options.panel, js=_OPEN, api_visibility="private")
    _follow_choices(backends, chat.words, config.ui, parameters, choice, options, interface.textbox)
    _warm(chat, backends, choice)
    _stop_and_clear(interface, chat, navigation)
    if scripts is not None:
        choices = (choice.selector, choice.status, options.preset, options.system, *options.controls)
        opened_by_scripts(scripts, interface, navigation, chat, choices)
    page.unload(chat.closed)
    queue_only_answers(page)
    run_on_loop(page)
    late = [links, choice.selector, choice.menu, choice.settings, choice.status]
    show_late(page, late if scripts is None else [scripts.parent, *late])


def _head(ui: Ui, words: Words, *, listed: bool) -> gr.HTML:
    """Put the line above the conversation and return its links. listed: whether conversations are."""
    with gr.Row(elem_classes=["chatlab-head", *(["chatlab-listed"] if listed else [])]):
        gr.Markdown(f"# {ui.title}" + (f"\n{ui.description}" if ui.description else ""), min_width=80)
        return pages_links(words)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The line below the text in the message box: who is asked, the way to the options, and what is to be
    said of both. first: the backend that is chosen at first. selector: holds the choice, out of sight."""

    first: str
    selector: gr.Dropdown
    menu: gr.HTML
    settings: gr.Button
    status: gr.Markdown

    @classmethod
    def made(cls, config: Config, backends: ServedBackends, words: Words) -> _Choice:
        first, label = _first(config, backends), words("chat.backend")
        selector = gr.Dropdown(
            _choices(backends),
            value=first,
            label=label,
            elem_id="backend",
            visible="hidden",
            # What a server lists is not known here; `backends` refuses whatever is none of ours.
            allow_custom_value=any(entry.model_list is not None for entry in backends.values()),
            render=False,
        )
        settings = gr.Button(words("chat.options"), size="sm", min_width=0, elem_id="settings", render=False)
        status = gr.Markdown(_status(backends, words, first), elem_classes="chatlab-status", render=False)
        return cls(first, selector, backend_menu(backends, first, words), settings, status)

    def render(self) -> None:
        """Put them where the page is being made."""
        with gr.Row(elem_classes="chatlab-tools"):
            for part in (self.selector, self.menu, self.settings, self.status):
                part.render()


@dataclass(frozen=True, slots=True)
class _Options:
    """The panel of sampling parameters, with one control for each, and the system prompt."""

    panel: gr.Sidebar
    preset: gr.Dropdown
    system: gr.Textbox
    controls: Sequence[Any]

    @classmethod
    def made(
        cls, ui: Ui, backends: ServedBackends, first: str, parameters: Sequence[Any], words: Words
    ) -> _Options:
        # Made in the page when it is first opened: most pages are closed without.
        with gr.Sidebar(
            position="right", open=False, visible=False, width=320, elem_id="settings-panel"
        ) as panel:
            gr.Markdown(f"## {words('chat.options')}")
            preset = gr.Dropdown(
                [(words("chat.none"), NO_PRESET), *ui.presets],
                value=NO_PRESET,
                label=words("chat.preset"),
                visible=bool(ui.presets),
                elem_id="preset",
            )
            system = gr.Textbox(
                "",
                label=words("chat.system"),
                placeholder=backends[first].system or words("chat.no-system"),
                lines=2,
                max_lines=8,
                elem_id="system",
            )
            accepted = {parameter.name for parameter in backends[first].capabilities.parameters}
            controls = [control(parameter, parameter.name in accepted, words) for parameter in parameters]
        return cls(panel, preset, system, controls)


def _interface(
    config: Config,
    backends: ServedBackends,
    chat: Chat,
    navigation: BranchNavigation,
    choice: _Choice,
    options: _Options,
) -> PatchedChatInterface:
    ui = config.ui
    return PatchedChatInterface(
        navigation,
        choice.render,
        chat.refused,
        chat.respond,
        multimodal=True,
        chatbot=_chatbot(ui, chat.words),
        textbox=_textbox(ui, backends, choice.first, chat.words),
        additional_inputs=[choice.selector, options.system, *options.controls],
        cache_examples=False,
        editable=ui.editable,
        flagging_mode=ui.flagging,
        flagging_options=ui.flagging_options,
        flagging_dir=str(ui.flagging_dir),
        concurrency_limit=config.server.concurrency,
        show_progress="hidden",
        autoscroll=False,  # static/chat/scroll.js does
        fill_height=True,
        fill_width=ui.full_width,
        api_name="chat",
    )


def _chatbot(ui: Ui, words: Words) -> gr.Chatbot:
    fills = ui.height is None and ui.max_height is None
    classes = {  # for page.css, keys.js, scroll.js
        "chatlab-fill": fills,
        "chatlab-editable": ui.editable,
        "chatlab-copied": "copy" in ui.buttons,
        "chatlab-panel": ui.layout == "panel",
        "chatlab-not-followed": not ui.autoscroll,
    }
    return gr.Chatbot(
        label=words("name.conversation"),
        show_label=False,
        elem_id="conversation",
        elem_classes=[CONVERSATION, *(name for name, holds in classes.items() if holds)],
        height=ui.height,
        min_height=ui.min_height,
        max_height=ui.max_height,
        avatar_images=_avatars(ui),
        placeholder=f"{ui.welcome or words('chat.welcome')}\n\n[{words('chat.compare')}](compare)",
        autoscroll=False,  # static/chat/scroll.js does
        latex_delimiters=[],  # the text is HTML already: gradio_patches/shown_text.py
        allow_tags=False,
        buttons=[*ui.buttons],
        layout=ui.layout,
        rtl=ui.rtl,
        watermark=ui.watermark,
        like_user_message=ui.flag_own_messages,
        scale=1 if fills else None,
    )


def _textbox(ui: Ui, backends: ServedBackends, first: str, words: Words) -> gr.MultimodalTextbox:
    return gr.MultimodalTextbox(
        label=words("chat.message"),
        placeholder=ui.placeholder or words("chat.message"),
        submit_btn=ui.labels.get("submit", True),
        stop_btn=ui.labels.get("stop", True),
        file_count="multiple",
        max_plain_text_length=_LONGEST_TEXT,
        autofocus=ui.autofocus,
        show_label=False,
        elem_id="message",
        **_files(backends, first),
    )


def _follow_choices(
    backends: ServedBackends,
    words: Words,
    ui: Ui,
    parameters: Sequence[Any],
    choice: _Choice,
    options: _Options,
    textbox: Any,
) -> None:
    """Have the page follow the choice of a backend, and of a preset."""

    def chosen(name: str, message: Any) -> list[Any]:
        """Return what follows from the choice of a backend; what is attached and it does not take is said."""
        names = {parameter.name for parameter in backends[name].capabilities.parameters}
        return [
            menu_value(backends, words, name),
            _status(backends, words, name, message["files"] if message else ()),
            gr.update(placeholder=backends[name].system or words("chat.no-system")),
            gr.update(**_files(backends, name)),
            *(gr.update(visible=parameter.name in names) for parameter in parameters),
        ]

    def prepared(name: str) -> list[Any]:
        """Return what the chosen preset puts into the controls."""
        given = ui.presets.get(name)
        if given is None:
            return ["", *preset_values(parameters, {})]
        return [given.system or "", *preset_values(parameters, given.parameters)]

    changed = [choice.menu, choice.status, options.system, textbox, *options.controls]
    follow_menu(choice.menu, choice.selector)
    choice.selector.change(chosen, [choice.selector, textbox], changed, **_PRIVATE)
    # Not `change`: that is told as well when the preset of a conversation that is opened is shown.
    options.preset.input(prepared, options.preset, [options.system, *options.controls], **_PRIVATE)


def _warm(chat: Chat, backends: ServedBackends, choice: _Choice) -> None:
    """Have the chosen backend made before it is asked, and each page show which ones are ready now:
    variables may have been set since it was built.

    Not at the page's `load`: until that is answered, Gradio's page would be busy with it, and not shown.
    """

    def now() -> dict[str, Any]:
        return menu_value(backends, chat.words)

    choice.selector.change(chat.warm, choice.selector, None, **_PRIVATE)
    choice.menu.focus(now, None, choice.menu, **_PRIVATE)
    choice.menu.focus(chat.warm, choice.selector, None, **_PRIVATE)


def _stop_and_clear(interface: gr.ChatInterface, chat: Chat, navigation: BranchNavigation) -> None:
    interface.textbox.stop(chat.stopped, None, interface.chatbot, **_PRIVATE)
    interface.chatbot.clear(navigation.cleared, None, None, **_PRIVATE)


def _first(config: Config, backends: ServedBackends) -> str:
    if config.default is not None:
        return config.default
    return next((name for name, entry in backends.items() if entry.not_ready is None), next(iter(backends)))


def _choices(backends: ServedBackends) -> list[tuple[str, str]]:
    return [
        (entry.label if entry.not_ready is None else f"{entry.label} ({entry.not_ready})", name)
        for name, entry in backends.items()
    ]


def _status(backends: ServedBackends, words: Words, name: str, attached: Sequence[str] = ()) -> str:
    entry = backends[name]
    if entry.not_ready is not None:
        return words("chat.not-ready", label=entry.label, reason=words.translated(entry.not_ready))
    taken = entry.capabilities.files
    types = {file.name: media_type_of_path(file) for file in map(Path, attached)}
    left = [name for name, media_type in types.items() if not reaches(taken, media_type)]
    if left:
        return words("chat.not-taken", label=entry.label, files=_names(left))
    as_text = [name for name, media_type in types.items() if not accepts(taken, media_type)]
    if as_text:
        return words("chat.taken-as-text", label=entry.label, files=_names(as_text))
    return entry.config.description or ""


def _names(files: Sequence[str]) -> str:
    return f"`{', '.join(files).replace('`', '')}`"


def _files(backends: ServedBackends, name: str) -> dict[str, Any]:
    """Return what the message box takes for this backend, in Gradio's own terms: families and file endings.

    The last one says "whatever" to the server and nothing to the page. Otherwise Gradio would refuse a
    message whose attachments another backend took; what of it is not sent is said, before and after.
    """
    patterns = (*backends[name].capabilities.files, *TEXT_TYPES)
    types: list[str] = []
    for pattern in patterns:
        family, _, subtype = pattern.partition("/")
        if pattern == "*/*":
            types.append(pattern)
            continue
        types += [family] if subtype == "*" else suffixes_of(pattern) or [f".{subtype}"]
    return {"sources": ["upload"], "file_types": [*dict.fromkeys(types), "file"]}


def _avatars(ui: Ui) -> tuple[str | None, str | None] | None:
    if ui.avatars is None:
        return None
    person, backend = ui.avatars
    return (str(person) if person else None, str(backend) if backend else None)
