"""A conversation in a terminal: lines with editing and history, commands, and answers that can be stopped."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

import chatlab
from chatlab.backend import CallContext
from chatlab.cli.answer import Settings, answer, file_part, user_message
from chatlab.cli.program import OK, debugging, report, say
from chatlab.cli.target import entry
from chatlab.cli.terminal_text import describe, one_line
from chatlab.config.registry import Entry
from chatlab.conversations.tree import Conversation, TurnNode
from chatlab.errors import ChatlabError
from chatlab.lab import Lab
from chatlab.messages import FilePart, Message, Notice
from chatlab.turns.turn import run_turn

if TYPE_CHECKING:
    from chatlab.cli.stored_chat import StoredChat

_HISTORY_LINES = 1000
_BLOCK = '"""'
_FURTHER = "... "


class _Leave(Exception):
    """The person wants to leave."""


@dataclass(frozen=True, slots=True)
class _Command:
    run: Callable[[str], None]
    form: str
    help: str


class ChatSession:
    """One conversation; it may change its backend on the way."""

    def __init__(
        self,
        lab: Lab,
        who: Entry,
        settings: Settings,
        files: Sequence[FilePart],
        runner: asyncio.Runner,
        stored: StoredChat | None = None,
    ) -> None:
        self._lab, self._who, self._settings, self._runner = lab, who, settings, runner
        self._system = settings.system
        self._files = list(files)
        self._stored = stored
        self._conversation = Conversation() if stored is None else stored.turns
        self._last = None if stored is None else stored.last
        self._said: tuple[Notice, ...] = ()
        self._commands = {
            "/help": _Command(self._help, "", "this list"),
            "/backend": _Command(self._backend, "[NAME]", "list the backends, or go on with another one"),
            "/system": _Command(
                self._show_or_set_system, "[TEXT]", "show or set the system prompt; - resets it"
            ),
            "/file": _Command(self._attach, "PATH", "attach a file to the next message"),
            "/retry": _Command(self._retry, "", "answer the last message again"),
            "/clear": _Command(self._clear, "", "start a new conversation"),
            "/exit": _Command(self._exit, "", "leave (so does Ctrl-D)"),
        }

    def run(self) -> int:
        """Reads lines until the person leaves; returns the exit code."""
        editor = _LineEditor([*self._commands], lambda: [*self._lab.backends])
        click.secho(f"chatlab {chatlab.__version__} · {self._name} · /help lists the commands", dim=True)
        if self._stored is not None:
            about = one_line(self._stored.title or "a conversation without a title", 80)
            asked = len(self._conversation.path(self._last))
            click.secho(f"going on with {about}, {asked} {'turn' if asked == 1 else 'turns'}", dim=True)
        reason = self._who.not_ready
        if reason is not None:
            click.echo(f"{self._name} is not ready: {one_line(reason)}; /backend chooses another", err=True)
        for part in self._files:
            self._say_attached(part)
        try:
            while True:
                try:
                    line = editor.read(f"{self._name}> ")
                except KeyboardInterrupt:
                    click.echo("\n(Ctrl-D leaves)")
                    continue
                except EOFError:
                    click.echo()
                    return OK
                try:
                    self._take(line)
                except _Leave:
                    return OK
                except click.UsageError as exc:
                    click.echo(one_line(exc.format_message()), err=True)
                except KeyboardInterrupt:  # before the turn could take it
                    click.echo("\nstopped", err=True)
        finally:
            editor.save()

    @property
    def _name(self) -> str:
        return one_line(self._who.name, 60)

    def _take(self, line: str) -> None:
        text = line.strip()
        if not text:
            return
        word, _, rest = text.partition(" ")
        if "\n" in text:  # pasted, or written as a block: no command, whatever it begins with
            self._ask(TurnNode(self._last, user_message(line, self._files), self._who.label))
            self._files.clear()
        elif word in self._commands:
            self._commands[word].run(rest.strip())
        elif word.startswith("/") and "/" not in word[1:]:
            raise click.UsageError(f"there is no command {word}; /help lists them")
        else:
            self._ask(TurnNode(self._last, user_message(line, self._files), self._who.label))
            self._files.clear()

    def _ask(self, node: TurnNode) -> None:
        self._conversation.add(node)
        self._last = node.id
        messages, notices = self._conversation.messages(node)
        for notice in notices:
            if notice not in self._said:  # it stays true for every further message
                click.echo(describe(notice), err=True)
        self._said = notices
        try:
            self._runner.run(self._answer(node, messages))
        except ChatlabError as exc:
            report(exc)
            if not debugging():
                click.secho("/retry sends the message again", dim=True, err=True)

    async def _answer(self, node: TurnNode, messages: Sequence[Message]) -> None:
        given, system, stored = self._settings.parameters, self._system, self._stored
        ctx = CallContext(conversation=self._conversation.thread(node))
        if stored is not None:
            messages = await stored.given(messages)
        turn = run_turn(self._who, messages, parameters=given, system=system, ctx=ctx)

        def answering() -> Awaitable[int]:
            return answer(turn, self._settings)

        try:
            if stored is None:
                await answering()
            else:
                await stored.saved(node, turn, answering, parameters=given, system=system)
        finally:
            node.answer = turn.answer.parts

    def _help(self, _: str) -> None:
        for word, command in self._commands.items():
            click.echo(f"  {word + ' ' + command.form:<18} {command.help}")
        click.echo("  A line that ends in \\ goes on in the next one. Ctrl-C stops an answer.")
        click.echo('  """ begins and ends a block of lines; what is pasted is one message.')

    def _backend(self, name: str) -> None:
        if name:
            self._who = entry(self._lab, name)
            if (reason := self._who.not_ready) is not None:
                click.echo(f"{self._name} is not ready: {one_line(reason)}", err=True)
            return
        for candidate in self._lab.backends.values():
            mark = "*" if candidate is self._who else " "
            reason = candidate.not_ready
            click.echo(f"{mark} {candidate.name:<20} {'ready' if reason is None else one_line(reason)}")
        if self._who.name not in self._lab.backends:
            click.echo(f"* {self._name}")
        click.echo("  or an address, such as openai:gpt-5-mini")

    def _show_or_set_system(self, text: str) -> None:
        if text:
            self._system = None if text == "-" else text
        system = self._who.system if self._system is None else self._system
        click.echo(f"system prompt: {one_line(system, 1000) if system else 'none'}")

    def _attach(self, where: str) -> None:
        if not where:
            raise click.UsageError("/file takes the path of a file")
        with suppress(ValueError):  # quotes that do not match: the text as it is
            where = " ".join(shlex.split(where)) if where[0] in "'\"" else where
        part = file_part(where)
        self._files.append(part)
        self._say_attached(part)

    def _say_attached(self, part: FilePart) -> None:
        click.echo(f"{one_line(part.name or 'a file')} ({part.media_type}) goes with the next message")

    def _retry(self, _: str) -> None:
        if self._last is None:
            raise click.UsageError("there is nothing to answer again")
        last = self._conversation[self._last]
        self._ask(TurnNode(last.parent, last.user, self._who.label))

    def _clear(self, _: str) -> None:
        self._last = None
        if self._stored is not None:
            self._stored.begin_anew()
            self._conversation = self._stored.turns
        self._files.clear()
        click.echo("new conversation")

    def _exit(self, _: str) -> None:
        raise _Leave


def _unpasted(line: str) -> str:
    """Return a line as it was pasted: some terminals send a carriage return for each line break."""
    return line.replace("\r\n", "\n").replace("\r", "\n")


class _LineEditor:
    """Lines from a terminal, with readline where Python has it."""

    def __init__(self, commands: list[str], backends: Callable[[], list[str]]) -> None:
        try:
            import readline
        except ImportError:  # Windows: the console edits lines itself
            self._readline = None
            return
        self._readline = readline
        self._commands, self._backends = commands, backends
        self._path = _history_path()
        if self._path is not None:
            with suppress(OSError):
                readline.read_history_file(self._path)
        readline.set_history_length(_HISTORY_LINES)
        readline.set_completer_delims(" ")
        readline.set_completer(self._complete)
        editline = "libedit" in (readline.__doc__ or "")  # what some builds of Python have in its place
        readline.parse_and_bind("bind ^I rl_complete" if editline else "tab: complete")
        if not editline:  # Python switches it off: its own prompt cannot take several lines
            readline.parse_and_bind("set enable-bracketed-paste on")

    def read(self, prompt: str) -> str:
        """Return what is typed next: a line; several, if one ends in a backslash; or a block of lines between
        two marks. Raises EOFError and KeyboardInterrupt.

        What is pasted stands in one line with its line breaks, which only Enter ends. Up calls back whatever
        was returned, as a whole.
        """
        sys.stdout.flush()
        before = 0 if self._readline is None else self._readline.get_current_history_length()
        text = self._message(prompt)
        if self._readline is not None and self._readline.get_current_history_length() > before + 1:
            while self._readline.get_current_history_length() > before:
                self._readline.remove_history_item(before)
            self._readline.add_history(text)
        return text

    def _message(self, prompt: str) -> str:
        lines = [_unpasted(input(prompt))]
        if lines[0].lstrip().startswith(_BLOCK):
            return self._block(lines[0].lstrip().removeprefix(_BLOCK))
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1]
            lines.append(_unpasted(input(_FURTHER)))
        return "\n".join(lines)

    def _block(self, first: str) -> str:
        """Return the lines up to the one that ends in the mark; of an empty first or last line nothing is
        left.
        """
        lines = [first]
        while not lines[-1].rstrip().endswith(_BLOCK):
            lines.append(_unpasted(input(_FURTHER)))
        lines[-1] = lines[-1].rstrip().removesuffix(_BLOCK)
        return "\n".join(lines).strip("\n")

    def save(self) -> None:
        """Keeps the history, readable by its owner alone."""
        if self._readline is None or self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._readline.write_history_file(self._path)
        except OSError as exc:
            say(f"the history was not kept: {exc.strerror}")

    def _complete(self, text: str, state: int) -> str | None:
        assert self._readline is not None
        before = self._readline.get_line_buffer()[: self._readline.get_begidx()].split()
        pool = self._commands if not before else self._backends() if before == ["/backend"] else []
        fitting = [word + " " for word in pool if word.startswith(text)]
        return fitting[state] if text.startswith("/") or before else None


def _history_path() -> Path | None:
    """Return where lines are kept: CHATLAB_HISTORY (empty: nowhere), else the user's state folder."""
    chosen = os.environ.get("CHATLAB_HISTORY")
    if chosen is not None:
        return Path(chosen).expanduser() if chosen else None
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local/state") / "chatlab/history"
