"""The page: `gr.ChatInterface` with a backend selector, a system prompt, presets and generated controls."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from chatlab.config.models import Config
from chatlab.config.ui import Ui
from chatlab.errors import ConfigError
from chatlab.lab import Lab
from chatlab.paths import PACKAGE
from chatlab.render.code import CODE_CSS
from chatlab.render.styles import tokens
from chatlab.web.chat import backend_menu, sidebar
from chatlab.web.chat.gradio_patches import (
    PatchedBlocks,
    describe_once,
    named_buttons,
    patch_process,
    unfinished,
)
from chatlab.web.chat.layout import fill
from chatlab.web.shared.limits import limits_of
from chatlab.web.shared.owner import owner_of
from chatlab.web.shared.page_markdown import page_markdown
from chatlab.web.shared.page_words import page_words, told_words
from chatlab.web.shared.static_files import with_imported
from chatlab.web.shared.tabs import is_scoped
from chatlab.web.shared.uploads import UPLOAD_LIFETIME, UploadOwners
from chatlab.words import Words

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
_IMPORT = re.compile(r'^import \{.*\} from "(.+)";\n', re.MULTILINE)


def _script(file: Path) -> str:
    """Return a script of the page's head, which runs before modules do: what it imports stands in it."""
    text = _IMPORT.sub(lambda found: _script(file.parent / found[1]), file.read_text("utf-8"))
    return text.replace("\nexport ", "\n")


_HEAD = ("locales", "attach", "text", "names", "keys", "scroll", "away", "waiting", "toasts")
_SCRIPTS = "".join(
    f"<script>(() => {{{_script(_STATIC / name)}}})();</script>"
    for name in ("code.js", *(f"chat/{name}.js" for name in _HEAD))
)
_STYLES = "".join(
    (_STATIC / "chat" / name).read_text("utf-8") for name in ("page.css", "composer.css", "keys.css")
)

_SHARED_STYLES = tokens() + (_STATIC / "head.css").read_text("utf-8")

_WIDE = """
.gradio-container { --cl-column: 100%; }
.chatlab-conversation:has(.top-panel) .bubble-wrap { margin-top: calc(var(--cl-target) + 6px); }
"""
# What the address names is asked for with the list, which is made late: what is sent waits for it until then.
_OPENING = '<script>window.chatlabOpening = new URLSearchParams(location.search).get("c") ? 1 : 0;</script>'
# The list has its place before it is there.
_LIST_PLACE = """
@media (min-width: 768px) {
  .wrap:has(> .contain):not(:has(#conversations-panel)) { padding-left: 280px; }
}
"""


class Page(PatchedBlocks):
    """The page. `chatlab.web.server` launches it or mounts it, with the protections that it needs."""

    def __init__(self, lab: Lab) -> None:
        assert lab.config is not None
        patch_process()
        self.lab_config: Config = lab.config
        self.words = page_words(lab.config.ui)
        self.markdown = page_markdown(lab.config.ui)
        sidebar_loads = () if lab.config.storage is None else sidebar.LOADED
        self.scripts = _told(self.words) + (_OPENING if sidebar_loads else "") + _SCRIPTS
        self.styles = _styles(lab.config.ui, listed=lab.config.storage is not None)
        self.modules = with_imported(*backend_menu.LOADED, *sidebar_loads)
        self.uploads = UploadOwners(Path(get_upload_folder()))
        with unfinished():
            super().__init__(
                title=lab.config.ui.title,
                fill_height=True,
                analytics_enabled=False,
                delete_cache=(UPLOAD_LIFETIME // 24, UPLOAD_LIFETIME),
            )
            with self:
                fill(self, lab, self.uploads)
        self.uploads.publish(self.serve_own_files())
        self.remove_with_uploads(self.uploads.copies)
        describe_once(self.blocks.values())
        self.max_threads = max(40, 2 * lab.config.server.concurrency)
        self.queue(
            default_concurrency_limit=lab.config.server.concurrency, max_size=lab.config.server.queue_size
        )
        if lab.telemetry is not None:
            lab.telemetry.measure_waiting("chat", self.waiting)
            lab.telemetry.measure_waiting("compare", limits_of(lab).waiting)

    def admit(self, session_hash: str | None, request: gr.Request) -> None:
        """Raise gr.Error for an event of a page that is not this browser's, as `TabGuard` names it."""
        if session_hash and not is_scoped(session_hash, owner_of(request)):
            raise gr.Error(self.words("refusal.somebody-elses"), print_exception=False)

    def settings(self, serve: Callable[..., Any]) -> dict[str, Any]:
        """Return what `gr.Blocks.launch` or `gr.mount_gradio_app` is to be called with, for this page's look
        and safety. The oldest supported Gradio knows fewer of them.
        """
        server, ui = self.lab_config.server, self.lab_config.ui
        settings = {
            "theme": _theme(ui),
            "css": _read(ui.css) or None,
            "head": _read(ui.head) or None,
            "favicon_path": ui.favicon,
            "i18n": named_buttons(self.words),
            "show_error": False,  # the text of an exception is for the log
            "ssr_mode": False,
            "run_history": False,
            "enable_monitoring": False,
            "max_file_size": int(ui.max_file_mb * 1_000_000),
            "root_path": server.root_path,
            "footer_links": [],
        }
        known = inspect.signature(serve).parameters
        return {name: value for name, value in settings.items() if name in known}


def _told(words: Words) -> str:
    """Return a script by which the page's other scripts have its words."""
    scripts = ("chat.", "name.", "button.", "keys.", "menu.", "share.", "sidebar.", "person.", "number.")
    told = told_words(words, *scripts)
    fields = "((one) => [one.slice(0, one.indexOf(' ')), one.slice(one.indexOf(' ') + 1)])"
    return f"<script>window.chatlabWords = Object.fromEntries({told}.map{fields});</script>"


def _styles(ui: Ui, *, listed: bool) -> str:
    """Return the page's own styles, which count for more than Gradio's by what they are nested in.

    Not as Gradio's `css`: it would add each rule twice, by a script, to a page that is there already.
    listed: whether the page has a list of conversations.
    """
    place = _LIST_PLACE if listed else ""
    wide = _WIDE if ui.full_width else ""
    panel = (_STATIC / "chat" / "panel.css").read_text("utf-8") if ui.layout == "panel" else ""
    return f"<style>{_SHARED_STYLES}:root:root:root {{{CODE_CSS}{_STYLES}{place}{wide}{panel}}}</style>"


def _read(file: Path | None) -> str:
    """Return the text of a file of the configuration's. Raises ConfigError if it cannot be read."""
    try:
        return "" if file is None else file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError([f"{file}: cannot be read as text: {exc}"]) from exc


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
