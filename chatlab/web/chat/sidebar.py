"""The sidebar of conversations on the chat page, and what its scripts ask of Gradio.

The list itself is asked of our own routes by `static/sidebar/sidebar.js`. What concerns the chat comes here
as an event of the sidebar's element, with the ids that the page's scripts know.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import gradio as gr
from gradio.components import Component

from chatlab.web.chat.branches import BranchNavigation
from chatlab.web.chat.gradio_patches import PatchedChatInterface
from chatlab.web.chat.respond import Chat
from chatlab.web.shared.static_files import STATIC
from chatlab.words import Words

ROOT = 'const root = new URL(window.gradio_config?.root || "/", location.href).pathname.replace(/\\/+$/, "");'
LOADED = ("chat/conversations.js", "sidebar/sidebar.css", "chat/branches.css")
"""Its script and the styles that this loads, below `STATIC`."""


def handed_to(module: str, then: str, first: str = "") -> str:
    """Return the script of an element that hands it to a module of ours, below `STATIC`. then: what is called
    with what the module exports. first: what is done before it is loaded."""
    return f'{ROOT}\n{first}\nimport(root + "/{STATIC}/{module}").then({then});'


_SIDEBAR = handed_to(
    LOADED[0],
    """({ conversations }) => conversations(element, {
  root, sharing: Boolean(props.sharing), signedIn: Boolean(props.signed_in),
  ask: (name, what) => trigger(name, what),
  asked: conversation ?? "",
})""",
    # What the page's address names. Not at the page's `load`, which each page would wait for.
    """const { c: conversation, t: turn } = Object.fromEntries(new URLSearchParams(location.search));
window.chatlabOpening = conversation ? 1 : 0;
if (conversation) trigger("select", { conversation, ...(turn && { turn }) });
else window.dispatchEvent(new Event("chatlab-opened"));""",
)
_OPENED = """() => {
  window.chatlabOpening = Math.max(0, window.chatlabOpening - 1);
  window.dispatchEvent(new Event("chatlab-opened"));
}"""

_PAGES = f"""{ROOT}
element.querySelector(".chatlab-chat").href = root + "/";
element.querySelector(".chatlab-compare").href = root + "/compare";"""


def sidebar(*, sharing: bool, signed_in: bool) -> gr.HTML:
    """Return the sidebar, closed at first on narrow screens. What is answered is where its scripts live.

    signed_in: whether people sign in, so that it says who did.
    """
    with gr.Sidebar(position="left", open=True, width=280, elem_id="conversations-panel"):
        return gr.HTML(
            '<div class="chatlab-conversations"></div>',
            js_on_load=_SIDEBAR,
            apply_default_css=False,
            elem_id="conversations",
            sharing=sharing,
            signed_in=signed_in,
        )


def pages_links(words: Words) -> gr.HTML:
    """Return the way to the comparison page and back, below whatever prefix this page is."""
    pages, chat, compare = (html.escape(words(f"both.{name}")) for name in ("pages", "chat", "compare"))
    return gr.HTML(
        f'<nav aria-label="{pages}"><a class="chatlab-chat" href="." aria-current="page">{chat}</a>'
        f'<a class="chatlab-compare" href="compare">{compare}</a></nav>',
        js_on_load=_PAGES,
        apply_default_css=False,
        elem_classes="chatlab-pages",
    )


def opened_by_scripts(
    bridge: gr.HTML,
    chat: PatchedChatInterface,
    navigation: BranchNavigation,
    answers: Chat,
    choices: Sequence[Component],
) -> None:
    """Connects what scripts ask for: a conversation or a branch to be shown, a message answered anew, or an
    answer that runs followed. choices: what shows with what a conversation is asked, as
    `Chat.choices` has them."""
    private = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
    # By default Gradio drops what is asked before the same event has been answered.
    steps = {**private, "trigger_mode": "multiple"}
    shown = bridge.select(navigation.asked, None, [chat.chatbot, chat.textbox, *choices], **steps)
    for answered in (shown.then, shown.failure):
        answered(None, None, None, js=_OPENED, trigger_mode="multiple", api_visibility="private")
    if navigation.assessments is not None:
        chat.chatbot.like(navigation.liked, chat.chatbot, None, **steps)

    again = [chat.chatbot, chat.chatbot_state, chat.saved_input, choices[0]]
    asked = bridge.submit(navigation.again, None, again, **private)
    chat.answer(asked.success)

    # The scripts ask for this while an answer runs where the page is and the box offers no stop. Whatever
    # comes in whatever order, each of these ends with the box as it has to be. No `cancels`: a stop ends the
    # answer itself, and with it what shows it.
    follow = bridge.play(answers.busy_box, None, chat.textbox, **steps).success(
        answers.follow,
        None,
        [chat.null_component, chat.chatbot],
        api_visibility="private",
        concurrency_limit=chat.concurrency_limit,
        show_progress="hidden",
        trigger_mode="multiple",
    )
    follow.then(answers.idle_box, None, chat.textbox, **steps)
    follow.failure(answers.idle_box, None, chat.textbox, **steps)
