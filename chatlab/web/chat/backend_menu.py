"""The menu of backends on the chat page: which there are, of what kind, and whether each is ready.

`static/chat/backends.js` draws it. The choice itself is held by a component of Gradio's, so that the chat
function gets it as an input, whoever asks.
"""

from __future__ import annotations

from typing import Any

import gradio as gr

from chatlab.config.registry import ServedBackends
from chatlab.web.chat.sidebar import handed_to
from chatlab.words import Words

LOADED = ("chat/backends.js", "chat/backends.css")
"""Its script and the styles that this loads, below `STATIC`."""
_MENU = handed_to(
    LOADED[0],
    """({ backendMenu }) => {
  backendMenu(element, {
    root,
    label: props.menu_label,
    value: () => props.value,
    changed: (redraw) => watch("value", redraw),
    choose: (name) => { props.value = { ...props.value, chosen: name }; trigger("select"); },
  });
  trigger("focus");
}""",
)


def backend_menu(backends: ServedBackends, first: str, words: Words) -> gr.HTML:
    """Return the button that shows who is asked and opens the menu, not rendered yet. It tells `focus` once
    it is there."""
    return gr.HTML(
        menu_value(backends, words, first),
        html_template="<div></div>",
        js_on_load=_MENU,
        apply_default_css=False,
        elem_id="backend-menu",
        menu_label=words("chat.backend"),
        render=False,
    )


def menu_value(backends: ServedBackends, words: Words, chosen: str = "") -> dict[str, Any]:
    """Return what the menu shows: the backend that is chosen ("": as it is), and all of them as they are
    now."""
    choices = [
        {
            "name": name,
            "label": entry.label,
            "kind": entry.config.kind,
            "description": entry.config.description or "",
            "problem": words.translated(entry.not_ready or ""),
            "discovers": entry.model_list is not None,
        }
        for name, entry in backends.items()
    ]
    return {"chosen": chosen, "choices": choices}


def follow_menu(menu: gr.HTML, selector: gr.Dropdown) -> None:
    """Have the choice follow what is chosen in the menu: in the browser, so that a message that is sent at
    once goes to the new choice."""
    menu.select(None, menu, selector, js="(menu) => menu.chosen", api_visibility="private")
