"""docs/cli.md, made from the commands themselves: `python -m chatlab.cli.reference` prints it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from chatlab.cli import main
from chatlab.cli.program import EXIT_CODES

_HEAD = """\
# Command line

<!-- Made by `python -m chatlab.cli.reference > docs/cli.md`; a test compares. -->

Wherever the name of a backend is expected, its address works too, without any configuration:

```sh
chatlab chat openai:gpt-5-mini "hello"
```
"""

_BEHAVIOUR = """\
## What goes where

The answer goes to standard output and nothing else does: a pipe gets what the model said, exactly, and a new
line at the end if there was none. Notices, tool calls, sources, progress and errors go to standard error. An
error is one sentence, without a traceback and without secrets; a configuration's mistakes are one line each.

On a terminal an answer is painted as Markdown. Control sequences that a model wrote are taken out, HTML is
shown as text, and the address of a link stands beside it. The line under an answer says who answered, when
the first token came, how long it took in all, tokens a second, tokens in and out, and what it cost (see
[timing](timing.md)); what is not known is left out.

With `--json`, `chatlab chat` prints one object a line: `{"type": "start"}` with the backend; the events, as
in [recordings](recording-format.md) (`text`, `reasoning`, `tool_call`, `tool_result`, `citation`, `trace`,
`notice`, `finish`); `{"type": "error"}` if it failed; and last `{"type": "end"}` with `outcome` (`finished`,
`stopped` or `failed`), `model`, `usage`, `timing` (seconds) and `cost`, in which null means "not known".

In a conversation the lines typed are kept in `~/.local/state/chatlab/history`, readable by you alone;
`CHATLAB_HISTORY` names another file, or none if it is empty. Answers are not kept.

## Environment

| variable | meaning |
|---|---|
| `CHATLAB_CONFIG` | the default configuration |
| `CHATLAB_DEBUG` | `1` logs to standard error and shows tracebacks, as `--debug` does |
| `CHATLAB_HISTORY` | file for the lines typed in a conversation; empty keeps none |
| `NO_COLOR` | set to anything, no colours |
"""


def reference() -> str:
    """Return the whole page."""
    codes = "".join(f"| {code} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    sections = [
        _HEAD,
        f"## chatlab\n\n{_help(main, 'chatlab')}",
        *(f"## chatlab {name}\n\n{_help(command, f'chatlab {name}')}" for name, command in _commands(main)),
        _BEHAVIOUR,
        f"## Exit codes\n\n| code | meaning |\n|---|---|\n{codes}",
    ]
    return "\n".join(sections)


def _commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its name, those of a group after the group."""
    for name, command in group.commands.items():
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{before}{name} ")


def _help(command: click.Command, path: str) -> str:
    # A fixed width, whatever terminal this runs in; a parent gives commands the program's settings.
    parent = click.Context(main, info_name="chatlab", terminal_width=100, **main.context_settings)
    name = path.partition(" ")[2]
    context = (
        parent if command is main else click.Context(command, parent, info_name=name, terminal_width=100)
    )
    return f"```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
