"""Has Gradio's conversation show the HTML of `chatlab.render` in place of its own Markdown.

What goes to the page is HTML, with the text that it was made of beside it in an attribute; what comes back is
that text again. So nothing but the page knows of the HTML: the server's own functions, the API and what is
stored have Markdown. Gradio's page passes a block of HTML on whole if no line in it is empty, and its
sanitizer keeps everything that the renderer makes.
"""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial, wraps
from typing import Any

import gradio as gr
from gradio.components.chatbot import Message
from pydantic import PrivateAttr

from chatlab.render.beside import beside
from chatlab.render.incremental_markdown import IncrementalMarkdown
from chatlab.render.markdown import MarkdownRenderer, as_typed

CONVERSATION = "chatlab-conversation"
"""The class of our conversations on a page, by which they are told from others' in the same app."""

page_look: ContextVar[MarkdownRenderer] = ContextVar("page_look", default=MarkdownRenderer())  # noqa: B039
"""How the page of this event shows Markdown."""

_LONG = 100_000  # characters, of which the HTML takes the event loop for a millisecond
_OPENING = '<div class="text">'
_BLOCK = re.compile(f'{_OPENING}(.*?)(?:<span hidden content="([^"]*)"></span>\n*|$)', re.DOTALL)
_ATTACHED = re.compile(r"(!?\[(?:📎 )?[^\]\n]*\]\(-/files/[0-9a-f]{64}\)\n\n)+")


class SettledMessage(Message):
    """A message that will not change any more: its HTML is made once."""

    _shown: Message | None = PrivateAttr(None)

    def shown(self, look: MarkdownRenderer) -> Message:
        """Return it as the page shows it."""
        if self._shown is None:
            self._shown = _converted(self, lambda text: to_page(text, self.role, look))
        return self._shown


@dataclass(slots=True)
class GrowingAnswer:
    """The messages of an answer on their way to one page, which is sent what changes of their HTML."""

    look: MarkdownRenderer
    _texts: dict[int, _GrowingText] = field(default_factory=dict)
    _thoughts: dict[str, tuple[tuple[str, bool], str]] = field(default_factory=dict)

    def shown(self, answer: Iterable[Mapping[str, Any]], *, ended: bool = False) -> list[dict[str, Any]]:
        """Return painted messages with the fields and texts that they have on the page. ended: for good."""
        shown, texts = [], 0
        for message in answer:
            content: list[Any] = []
            for part in message["content"]:
                if part["type"] != "text":
                    content.append(part)
                elif metadata := message.get("metadata"):
                    content.append({**part, "text": self._thought(metadata, part["text"])})
                elif ended:
                    content.append({**part, "text": to_page(part["text"], message["role"], self.look)})
                else:  # what is settled apart from the end, which alone is sent again when it changes
                    content += [{**part, "text": one} for one in self._text(texts).shown(part["text"])]
                    texts += 1
            shown.append({"metadata": None, "options": None, **message, "content": content})
        return shown

    async def shown_soon(
        self, answer: Sequence[Mapping[str, Any]], *, ended: bool = False
    ) -> list[dict[str, Any]]:
        """Do as `shown`, beside the event loop where a text is long."""
        texts = (part.get("text", "") for message in answer for part in message["content"])
        if any(len(text) > _LONG for text in texts):
            return await beside(partial(self.shown, answer, ended=ended))
        return self.shown(answer, ended=ended)

    def _text(self, number: int) -> _GrowingText:
        return self._texts.setdefault(number, _GrowingText(IncrementalMarkdown(self.look)))

    def _thought(self, metadata: Mapping[str, Any], text: str) -> str:
        """Return the one part that a thought can have: until it has ended, nothing in it is Markdown."""
        # What a model thinks comes in pieces; the arguments of a tool that runs are there.
        is_growing = metadata["status"] == "pending" and ":k" in metadata["id"]
        known = self._thoughts.get(metadata["id"])
        if known is None or known[0] != (text, is_growing):
            if is_growing and text:
                made = _in_one_block(f'{_OPENING}<div class="typed">{html.escape(text)}')
            else:
                made = to_page(text, "assistant", self.look)
            known = self._thoughts[metadata["id"]] = (text, is_growing), made
        return known[1]


@dataclass(slots=True)
class _GrowingText:
    markdown: IncrementalMarkdown
    _settled: str = ""
    _end: str = ""

    def shown(self, text: str) -> list[str]:
        """Return the HTML of what is settled, which only grows, and that of the end."""
        before = self.markdown.settled
        update = self.markdown.update(text)
        if update is not None:
            add, end = update
            if self.markdown.settled > before:
                self._settled += _block(add, text[before : self.markdown.settled])
            self._end = _OPENING + _in_one_block(end)
        return [self._settled, self._end] if self._settled else [self._end]


def to_page(text: str, role: str, look: MarkdownRenderer) -> str:
    """Return the HTML that the page shows for a text."""
    if not text:
        return ""
    return _typed(text, look) if role == "user" else _block(_rendered(look, text), text)


def from_page(shown: str) -> str:
    """Return the text that HTML of the page was made of; of what was unfinished, as far as it can be read."""
    return _BLOCK.sub(_source, shown)


def _typed(text: str, look: MarkdownRenderer) -> str:
    attached = _ATTACHED.match(text)
    before = _rendered(look, attached[0]) if attached else ""
    return _block(before + as_typed(text[attached.end() if attached else 0 :]), text)


@lru_cache(maxsize=256)
def _rendered(look: MarkdownRenderer, text: str) -> str:
    return look.render(text)


def _block(made: str, text: str) -> str:
    source = html.escape(text)
    return _in_one_block(f'{_OPENING}{made}</div><span hidden content="{source}"></span>') + "\n\n"


def _in_one_block(made: str) -> str:
    # In the second, Gradio would see a place of its own for a formula.
    return made.replace("\n", "&#10;").replace("%%%LATEX_BLOCK_", "%%&#37;LATEX_BLOCK_")


def _source(block: re.Match[str]) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", block[1]) if block[2] is None else block[2])


async def render_ahead(messages: Iterable[Any], look: MarkdownRenderer) -> None:
    """Have long texts of messages rendered beside the event loop, and leave it to others between the rest."""
    for message in messages:
        if isinstance(message, SettledMessage):
            await look.ahead(part.text for part in message.content if part.type == "text")
            message.shown(look)
            await asyncio.sleep(0)
        elif isinstance(message, Mapping) and isinstance(message["content"], list):
            texts = (
                part["text"] for part in message["content"] if isinstance(part, Mapping) and "text" in part
            )
            await look.ahead(texts)


@cache
def show_own_html() -> None:
    """Have our conversations show our own HTML. A patch of the class, for an update makes a new component;
    others' conversations in the same app are as Gradio shows them."""
    read, show = gr.Chatbot.preprocess, gr.Chatbot.postprocess

    @wraps(read)
    def preprocess(chatbot: Any, payload: Any) -> Any:
        if CONVERSATION in chatbot.elem_classes and payload is not None:
            payload.root = [_converted(message, from_page) for message in payload.root]
        return read(chatbot, payload)

    @wraps(show)
    def postprocess(chatbot: Any, value: Any) -> Any:
        made = show(chatbot, value)
        if CONVERSATION in chatbot.elem_classes:
            made.root = [_as_shown(message, page_look.get()) for message in made.root]
        return made

    gr.Chatbot.preprocess, gr.Chatbot.postprocess = preprocess, postprocess


def _as_shown(message: Message, look: MarkdownRenderer) -> Message:
    if isinstance(message, SettledMessage):
        return message.shown(look)
    return _converted(message, lambda text: to_page(text, message.role, look))


def _converted(message: Message, convert: Callable[[str], str]) -> Message:
    """Return a message with its texts converted."""
    content = [
        part.model_copy(update={"text": convert(part.text)}) if part.type == "text" else part
        for part in message.content
    ]
    return Message(**{**dict(message), "content": content})
