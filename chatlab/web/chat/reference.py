"""Writes docs/chat-interface.md: by which key each parameter of Gradio's chat is set, or why by none.

    python -m chatlab.web.chat.reference

A test fails when Gradio brings a parameter that is not here, or when the document is not what is written.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import gradio as gr

from chatlab.paths import PACKAGE

DOCUMENT = PACKAGE.parent / "docs" / "chat-interface.md"

_OURS = "fixed: chatlab's own part of the page does this"
_LAYOUT = "fixed: the page's layout"

CHAT_INTERFACE: Mapping[str, str] = {
    "fn": "fixed: answers of the configured `backends`",
    "multimodal": "fixed: true; which files a backend takes is its own to say",
    "chatbot": "fixed: made from `ui`, see below",
    "textbox": "fixed: made from `ui.placeholder`, `ui.labels` and `ui.max_file_mb`",
    "additional_inputs": "fixed: the backend, the system prompt and a control for each of its parameters",
    "additional_inputs_accordion": "not applicable: the options are in a panel",
    "additional_outputs": "not applicable: what an answer has beside its text is part of it",
    "editable": "`ui.editable`",
    "examples": "`ui.examples[].text`, `ui.examples[].files`, `ui.examples[].backend`, "
    "`ui.examples[].parameters`",
    "examples_label": "not applicable: examples are offered in the empty conversation, without a heading",
    "example_labels": "`ui.examples[].label`",
    "example_icons": "`ui.examples[].icon`",
    "run_examples_on_click": "`ui.run_examples_on_click`",
    "cache_examples": "fixed: false; an answer is always a backend's own",
    "cache_mode": "not applicable: nothing is cached",
    "title": "`ui.title`",
    "description": "`ui.description`",
    "flagging_mode": "`ui.flagging`",
    "flagging_options": "`ui.flagging_options`",
    "flagging_dir": "`ui.flagging_dir`",
    "analytics_enabled": "fixed: false; the page tells nobody of its use",
    "autofocus": "`ui.autofocus`",
    "autoscroll": "`ui.autoscroll`",
    "submit_btn": "`ui.labels.submit`",
    "stop_btn": "`ui.labels.stop`",
    "concurrency_limit": "`server.concurrency`; `limits` has those of one visitor",
    "delete_cache": "fixed: uploads are removed after a day; stored attachments stay",
    "show_progress": "fixed: hidden; an answer shows itself from its first token on",
    "fill_height": "fixed: true, unless `ui.height` or `ui.max_height` is given",
    "fill_width": "`ui.full_width`",
    "api_name": "fixed: `/chat`; its answers have Markdown as the model wrote it, not HTML",
    "api_description": "fixed: Gradio's own",
    "api_visibility": "fixed: `/chat` is public, the events of the page are private",
    "save_history": "not applicable: `storage` saves conversations, on the server",
    "validator": "fixed: a message is checked as it is asked, and what is wrong is said in its place",
}

CHATBOT: Mapping[str, str] = {
    "value": "not applicable: a page begins with an empty conversation or with a stored one",
    "label": "`ui.labels.conversation`",
    "every": "not applicable: the page is told when there is news",
    "inputs": "not applicable: as `every`",
    "show_label": "fixed: false; the label is for people who do not see the page",
    "container": "fixed: true",
    "scale": _LAYOUT,
    "min_width": _LAYOUT,
    "visible": "fixed: true",
    "elem_id": "fixed: `conversation`, which `ui.css` may name",
    "elem_classes": "fixed: those that chatlab's styles and scripts name",
    "autoscroll": "`ui.autoscroll`",
    "render": "fixed: true",
    "key": "not applicable: the page is made once",
    "preserved_by_key": "not applicable: as `key`",
    "height": "`ui.height`",
    "resizable": "fixed: false; it takes the height that there is",
    "max_height": "`ui.max_height`",
    "min_height": "`ui.min_height`",
    "editable": "`ui.editable`",
    "latex_delimiters": "`ui.latex`, by which the renderer of all pages reads formulas",
    "rtl": "`ui.rtl`; without it, too, each block of a text reads from the side that its words begin at",
    "buttons": "`ui.buttons`",
    "watermark": "`ui.watermark`",
    "avatar_images": "`ui.avatars`",
    "sanitize_html": "fixed: true; what a model writes is not trusted",
    "render_markdown": "fixed: true, by the renderer of all pages; a person's message is shown as typed",
    "feedback_options": "`ui.flagging_options`",
    "feedback_value": "not applicable: flags are written to `ui.flagging_dir`",
    "line_breaks": "fixed: true, as people write; exports and reports show the same",
    "layout": "`ui.layout`",
    "placeholder": "`ui.welcome`",
    "examples": "`ui.examples`",
    "allow_file_downloads": "fixed: true",
    "group_consecutive_messages": "fixed: true; an answer is one message with its thoughts and tools",
    "allow_tags": "fixed: false; words in angle brackets are shown as text",
    "reasoning_tags": "not applicable: reasoning is told apart by the backend",
    "like_user_message": "`ui.flag_own_messages`",
}

_HEAD = """\
# What `gr.ChatInterface` and `gr.Chatbot` set

<!-- Generated by `python -m chatlab.web.chat.reference`: change that, not this file. -->

The chat page is a `gr.ChatInterface`. This is by which key of the configuration each parameter of it and of
its `gr.Chatbot` is set; where there is none, why. [The configuration](configuration.md) describes the keys.
More of the page that is set there: `ui.theme`, `ui.css`, `ui.head`, `ui.favicon`, `ui.footer`, `ui.presets`,
`ui.labels`, `ui.language`.

## The page's own words

`ui.language: de` has both pages speak German. Another language is a file of JSON: copy chatlab/words/en.json,
translate the texts, leave keys and what stands in curly brackets, and name it in `ui.language`. What it
leaves out is in English, and `chatlab check` says which key is none. `ui.labels` goes before both.
Reports, exports (HTML and Markdown) and shared pages are in that language too, also those of the commands.
What an upstream or the configuration says of an error stays as it is, in a sentence of the page's words.
What is stored, and what is for programs, is in English too; a page shows it in its language.
"""


def document() -> str:
    """Return the text of the document."""
    tables = ((gr.ChatInterface, CHAT_INTERFACE), (gr.Chatbot, CHATBOT))
    return "\n".join([_HEAD, *(line for cls, said in tables for line in _table(cls.__name__, said))])


def parameters_of(cls: type) -> list[str]:
    """Return the names of what a class of Gradio's is made with."""
    return [name for name in inspect.signature(cls).parameters]


def _table(name: str, said: Mapping[str, str]) -> list[str]:
    rows = (f"| `{parameter}` | {how} |" for parameter, how in said.items())
    return [f"## `gr.{name}`", "", "| parameter | set by |", "| --- | --- |", *rows, ""]


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
