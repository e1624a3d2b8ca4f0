"""The configuration's models of the chat page: `ui:`.

Its keys follow the parameters of `gr.ChatInterface` and `gr.Chatbot`; docs/chat-interface.md says of each of
those by which key it is set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from chatlab.config.model import Model
from chatlab.paths import ConfigPath, from_base


class Example(Model):
    """An example message offered on the empty page."""

    text: str = Field(description="The message.")
    files: tuple[ConfigPath, ...] = Field((), description="Attachments, relative to the configuration file.")
    label: str | None = Field(None, description="Shown instead of the text.")
    icon: ConfigPath | None = Field(
        None, description="A picture above it, relative to the configuration file."
    )
    backend: str | None = Field(None, description="Offered only while this backend is chosen.")
    parameters: Mapping[str, Any] = Field(
        default_factory=dict, description="Put into the options when it is chosen, in place of what is there."
    )


class Preset(Model):
    """A named set of parameters, offered on the page."""

    parameters: Mapping[str, Any] = Field(description="Values by parameter name.")
    system: str | None = Field(None, description="A system prompt that goes with it.")


class LatexDelimiters(Model):
    """The signs that a formula stands between."""

    left: str = Field(min_length=1, description="Before it, such as `$$`.")
    right: str = Field(min_length=1, description="After it.")
    display: bool = Field(False, description="Whether it stands in a line of its own.")


HOST = re.compile(r"(\*\.)?[A-Za-z0-9.-]+(:\d+)?")


Label: TypeAlias = Literal[
    "submit", "stop", "backend", "system", "parameters", "preset",
    "conversation", "retry", "undo", "edit", "copy", "clear",
]  # fmt: skip
Length: TypeAlias = int | str


def _picture(place: str | Path, info: ValidationInfo) -> str | Path:
    """Return a picture's path, or its address if it is one of the web."""
    if isinstance(place, str) and place.startswith(("http://", "https://")):
        return place
    return from_base(Path(place), info)


Picture: TypeAlias = Annotated[str | Path, AfterValidator(_picture)]


class Ui(Model):
    """The chat page. Names follow `gr.ChatInterface` and `gr.Chatbot`."""

    language: Literal["en", "de"] | ConfigPath = Field(
        "en",
        description="Language of the pages' own words: `en`, `de`, or a file of words in JSON with the keys "
        "of chatlab/words/en.json, relative to the configuration file; what it leaves out is in English.",
    )
    title: str = Field("chatlab", description="Heading and tab title.")
    description: str | None = Field(None, description="Markdown under the heading.")
    examples: tuple[Example, ...] = Field((), description="Offered while the conversation is empty.")
    theme: Literal["default", "soft", "monochrome", "glass", "ocean", "citrus", "origin"] = Field(
        "default", description="A Gradio theme."
    )
    placeholder: str | None = Field(None, description="Text in the empty message box.")
    welcome: str | None = Field(None, description="Markdown shown in the empty conversation.")
    run_examples_on_click: bool = Field(
        True, description="A chosen example is sent at once; otherwise it is put into the message box."
    )
    avatars: tuple[Picture | None, Picture | None] | None = Field(
        None,
        description="Pictures of the person and of the backend: files, relative to the configuration file, "
        "or addresses at one of the `allowed_hosts`.",
    )
    height: Length | None = Field(None, description="Height of the conversation: pixels or a CSS length.")
    min_height: Length | None = Field(None, description="Least height of the conversation.")
    max_height: Length | None = Field(None, description="Greatest height of the conversation.")
    full_width: bool = Field(
        False, description="Messages take all of the width instead of a readable column."
    )
    layout: Literal["bubble", "panel"] = Field(
        "bubble", description="panel: messages of both sides begin at the same edge, below each other."
    )
    rtl: bool = Field(False, description="The conversation reads from right to left.")
    watermark: str | None = Field(None, description="Put below an answer that somebody copies.")
    latex: tuple[LatexDelimiters, ...] | None = Field(
        None,
        description="What formulas in answers stand between, on all pages; `[]` for none. If not given: "
        "`$$`, `\\[`, `\\(` and `$`.",
    )
    autofocus: bool = Field(True, description="The message box has the focus once the page is there.")
    autoscroll: bool = Field(
        True, description="An answer that grows is followed, unless somebody scrolled up."
    )
    buttons: tuple[Literal["copy", "copy_all", "share"], ...] = Field(
        ("copy", "copy_all"),
        description="Copying a message, copying the conversation, and in a Hugging Face Space sharing it "
        "as a discussion.",
    )
    css: ConfigPath | None = Field(
        None,
        description="A file of CSS for this page, which comes after chatlab's own.",
    )
    head: ConfigPath | None = Field(
        None,
        description="A file of HTML for the head of this page. Whatever it loads comes from this server: the "
        "page's policy of content allows nothing else.",
    )
    favicon: ConfigPath | None = Field(
        None, description="The page's icon, a .png, .gif, .ico or .svg file, where the app is at `/`."
    )
    editable: bool = Field(True, description="Sent messages can be edited, which answers them anew.")
    flagging: Literal["never", "manual"] = Field("never", description="Like and dislike buttons on answers.")
    flagging_options: tuple[str, ...] = Field(
        ("Like", "Dislike"), description="What may be said of an answer."
    )
    flag_own_messages: bool = Field(False, description="The person's own messages have these buttons, too.")
    flagging_dir: ConfigPath = Field(
        Path(".gradio/flagged"),
        description="Where flags are written, as CSV. The default is in the folder chatlab was started in.",
    )
    labels: Mapping[Label, str] = Field(
        default_factory=dict, description="Other words for the page's labels and buttons."
    )
    footer: str | None = Field(None, description="Markdown under the conversation.")
    presets: Mapping[str, Preset] = Field(default_factory=dict, description="Named parameter sets.")
    allowed_hosts: tuple[str, ...] = Field(
        (),
        description="Foreign hosts that images in answers may load from, and links may lead to without "
        "their host being said beside them.",
    )

    framed_by: tuple[str, ...] = Field(
        (),
        description="Other sites whose pages may show this one in a frame, such as `intranet.example.org`; "
        "in a Hugging Face Space, Hugging Face may anyway.",
    )

    @field_validator("allowed_hosts", "framed_by")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if any(HOST.fullmatch(host) is None for host in hosts):
            raise ValueError("hosts are names, such as example.org, example.org:8080 or *.example.org")
        return hosts

    window: int = Field(
        30,
        ge=2,
        le=500,
        description="Messages painted; the backend gets the whole conversation all the same.",
    )
    max_file_mb: float = Field(20, gt=0, description="Largest upload, in megabytes.")

    @model_validator(mode="after")
    def _avatars_from_allowed_hosts(self) -> Ui:
        for avatar in self.avatars or ():
            if isinstance(avatar, str) and not is_allowed(urlsplit(avatar).netloc, self.allowed_hosts):
                raise ValueError("an avatar's address is at one of ui.allowed_hosts: add its host there")
        return self


def is_allowed(host: str, allowed: tuple[str, ...]) -> bool:
    """Return whether a host, with its port if it has one, is among those that are allowed."""
    name = host.partition(":")[0]
    return any(one in (host, name) or (one.startswith("*.") and name.endswith(one[1:])) for one in allowed)
