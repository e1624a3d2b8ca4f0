"""Reads the first words of a command: a configuration file, or backends by name or address."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatlab.paths import PACKAGE

if TYPE_CHECKING:
    from chatlab.config.registry import Entry
    from chatlab.lab import Lab

_ADDRESS_LIKE = re.compile(r"[A-Za-z][\w-]*:(?!//)\S+")


@dataclass(frozen=True, slots=True)
class NamedTarget:
    """A configuration file, if one is needed; the backends that were named; and the words after them."""

    config: Path | None
    names: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()


def is_config(word: str) -> bool:
    """Return whether a word means a configuration file."""
    return word.lower().endswith((".yaml", ".yml")) or Path(word).is_file()


def is_address(word: str) -> bool:
    """Return whether a word is `kind:rest` with a known kind. Raises UsageError if it only looks like one."""
    kind, colon, rest = word.partition(":")
    if not colon:
        return False
    from chatlab.config.registry import kinds, place_of

    if not rest[:1].isspace() and place_of(kind) is not None:
        return True
    if _ADDRESS_LIKE.fullmatch(word):
        from chatlab.spelling import closest

        known = tuple(kinds())
        near = closest(kind, known)
        hint = f"did you mean {near}:{rest}?" if near else f"the kinds are {', '.join(known)}"
        raise click.UsageError(f"{word!r} is no address, there is no kind {kind!r}: {hint}")
    return False


def default_config() -> Path:
    """Return the configuration to use when none is named; says on standard error which one that is."""
    variable = os.environ.get("CHATLAB_CONFIG")
    found: Path | None = None
    if variable:
        found, why = Path(variable), "from CHATLAB_CONFIG"
    elif Path("chatlab.yaml").is_file():
        found, why = Path("chatlab.yaml"), "in this folder"
    else:
        why = "chatlab's own"
        # In a wheel inside the package; in a checkout beside the package, never in somebody's site-packages.
        checkout = PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").is_file() else PACKAGE
        found = next(
            (p for p in (PACKAGE / "configs/default.yaml", checkout / "configs/default.yaml") if p.is_file()),
            None,
        )
    if found is None:
        raise click.UsageError(
            "no configuration is named and there is no ./chatlab.yaml: name a file or an address such as "
            "openai:gpt-5-mini, or write one with 'chatlab init'"
        )
    click.echo(f"using {_short(found)} ({why})", err=True)
    return found


def config_of(word: str | None) -> Path:
    """Return the configuration a command that takes nothing else was given, or the default one."""
    if word is None:
        return default_config()
    if is_config(word):
        return Path(word)
    hint = "a file is needed here, not an address; 'chatlab init' writes one"
    raise click.UsageError(f"{word!r} is not a configuration file: {hint}")


def target_of(words: tuple[str, ...]) -> NamedTarget:
    """For commands that take backends: a configuration or not, then any number of names and addresses."""
    if words and is_config(words[0]):
        return NamedTarget(Path(words[0]), words[1:])
    if words and all(is_address(word) for word in words):
        return NamedTarget(None, words)
    return NamedTarget(default_config(), words)


def chat_target(words: tuple[str, ...]) -> NamedTarget:
    """For `chat`: a target or not, then a prompt or not. `rest` is the prompt."""
    if len(words) > 2:
        raise click.UsageError(
            f"{len(words)} words are too many: a target and a prompt are expected, the prompt in quotes"
        )
    if words and is_config(words[0]):
        return NamedTarget(Path(words[0]), (), words[1:])
    if words and is_address(words[0]):
        return NamedTarget(None, words[:1], words[1:])
    return NamedTarget(default_config(), (), words)


def entry(lab: Lab, name: str) -> Entry:
    """Return the backend of this name or address. Raises UsageError if there is none."""
    from chatlab.errors import ConfigError
    from chatlab.spelling import did_you_mean

    try:
        return lab.backends[name]
    except ConfigError as exc:
        hint = did_you_mean(name, lab.backends)
        raise click.UsageError("; ".join(exc.problems) + hint) from exc


def open_lab(config: Path | None) -> Lab:
    """Return the lab of a configuration, or one of addresses alone."""
    from chatlab.lab import Lab, load

    return Lab.without_config() if config is None else load(config)


def chosen(lab: Lab) -> Entry:
    """Return the backend to use when none is named: the configuration's default, else the first that is
    ready.
    """
    from chatlab.errors import NotReady

    if lab.config is not None and lab.config.default is not None:
        return entry(lab, lab.config.default)
    reasons = {name: lab.backends[name].not_ready for name in lab.backends}
    for name, reason in reasons.items():
        if reason is None:
            return lab.backends[name]
    raise NotReady(
        "no backend is ready: " + "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    )


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
