"""The scripts and styles of Gradio's page: asked for at once, and answered from memory.

Gradio's page finds out in four steps what it needs: its entry loads the client, that loads the page, that
loads each component, and each of these its own parts. Each step waits for the one before. What is needed
is known here, by Gradio's own lists of what its scripts load, so that the page says it at its beginning. Its
30 small style sheets are one.

A Gradio whose lists look otherwise is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import gradio as gr

from chatlab.web.shared.immutable_files import ImmutableFiles, digest, preloaded

_FOLDER = Path(gr.__file__).parent / "templates" / "frontend"
_ENTRY = re.compile(r'src="\./assets/([\w.-]+\.js)"')
_LINKED = re.compile(r'href="\./assets/([\w.-]+\.css)"')
_LIST = re.compile(r"m\.f=\[([^\]]*)\]")
_LOADED = r"import\([`\"']\./([\w.-]+\.js)[`\"']\)[^_\[]*(?:__vite__mapDeps\(\[([\d,]*)\]\))?"
_COMPONENT = re.compile(r"\b(\w+):\{[^{}]*?component:\(\)=>\w+\(\(\)=>" + _LOADED)
_PAGE = re.compile(_LOADED.replace(r"([\w.-]+\.js)", r"(Blocks-[\w.-]+\.js)", 1))


class PageAssets:
    """The files that a page of such components loads, and the elements by which it asks for them."""

    def __init__(self, types: Iterable[str], late: Iterable[str] = ()) -> None:
        document = (_FOLDER / "index.html").read_text("utf-8")
        first = dict.fromkeys(_needed(document, [*types]))
        needed = {**first, **dict.fromkeys(_needed(document, [*late]))}
        linked = set(_LINKED.findall(document))
        contents = {name: (_FOLDER / "assets" / name).read_bytes() for name in needed}
        styles = [name for name in needed if name.endswith(".css") and name not in linked]
        scripts = [name for name in needed if name.endswith(".js")]
        if styles:
            together = b"\n".join(contents[name] for name in styles)
            style_sheet = f"page-{digest([together])}.css"
            contents[style_sheet] = together
            # The others are there already as far as Gradio's loader sees, and a disabled one is not loaded.
            absent = "".join(f'<link rel="stylesheet" href="./assets/{name}" disabled>' for name in styles)
            self.head = f'<link rel="stylesheet" href="./assets/{style_sheet}">{absent}'
            self.head += preloaded(f"./assets/{name}" for name in scripts if name in first)
            self.head += preloaded((f"./assets/{name}" for name in scripts if name not in first), late=True)
        else:
            self.head = ""
        self.files = ImmutableFiles(contents)


def _needed(document: str, types: list[str]) -> list[str]:
    """Return the names of what is loaded, as far as Gradio's lists tell, in the order in which it is."""
    entry = _ENTRY.search(document)
    if entry is None:
        return []
    first = [entry[1], *_list_of(_text(entry[1]))]
    needed = [*first]
    components: dict[str, list[str]] = {}
    for script in first:
        if not script.endswith(".js"):
            continue
        text = _text(script)
        listed = _list_of(text)
        for name, numbers in _PAGE.findall(text):
            needed += [name, *_numbered(listed, numbers)]
        for kind, name, numbers in _COMPONENT.findall(text):
            components[kind] = [name, *_numbered(listed, numbers)]
    return needed + [name for kind in types for name in components.get(kind, ())]


def _text(script: str) -> str:
    return (_FOLDER / "assets" / script).read_text("utf-8")


def _list_of(script: str) -> list[str]:
    """Return the files that a script's loads refer to by number."""
    found = _LIST.search(script)
    return [] if found is None else [one.strip("\"'`").removeprefix("./") for one in found[1].split(",")]


def _numbered(listed: list[str], numbers: str) -> list[str]:
    return [listed[int(number)] for number in numbers.split(",") if number]
