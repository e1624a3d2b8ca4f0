"""The end of every command: its exit code, one sentence for what went wrong, and a log without secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from chatlab.garbage import importing_for_good, leave_garbage_at_exit

OK = 0
FAILED = 1
USAGE = 2
CONFIG = 3
NOT_READY = 4
BUDGET = 5
JUDGE_UNREADABLE = 6
INTERRUPTED = 130
CLOSED = 141

EXIT_CODES = {
    OK: "all went well",
    FAILED: "a backend or a turn failed, or a file could not be read or written",
    USAGE: "the command line is wrong: an unknown option, backend or address, a missing prompt",
    CONFIG: "the configuration file is missing or wrong",
    NOT_READY: "a backend is not ready: a variable is not set, or its SDK is not installed",
    BUDGET: "the budget of a comparison had no room for all of it",
    JUDGE_UNREADABLE: "the judging of a comparison was stopped: ten replies in a row said no preference",
    INTERRUPTED: "interrupted with Ctrl-C",
    CLOSED: "whoever read standard output stopped reading",
}

_debug = False


def debugging() -> bool:
    """Return whether tracebacks and the log are wanted: `--debug`, or CHATLAB_DEBUG=1."""
    return _debug


def _set_debug(_ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    global _debug
    if value:
        _debug = True


class Command(click.Command):
    """A command that can be debugged."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(debug_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as exc:
            exc.ctx = exc.ctx or ctx  # so that the sentence names this command, not the program
            raise

    def invoke(self, ctx: click.Context) -> Any:
        with _logging(server=self.name == "serve"):
            return super().invoke(ctx)


def debug_option() -> click.Option:
    """`--debug`, for the program and for each of its commands."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_set_debug,
        help="Log to standard error, and show tracebacks.",
    )


class Group(click.Group):
    """Commands under one name, in the order in which they are of use, not by the alphabet."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names in that order."""
        return list(self.commands)


class Program(Group):
    """The program. Whatever a command raises becomes one sentence and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Runs one command line and leaves with its exit code."""
        global _debug
        leave_garbage_at_exit()
        _debug = os.environ.get("CHATLAB_DEBUG", "").lower() not in ("", "0", "false", "no")
        _open_streams()
        code = self._run(args, prog_name or "chatlab", complete_var, extra)
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            code = _closed()
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # click would leave with 1, as if something had failed.
            raise click.exceptions.Exit(_closed()) from None

    def _run(
        self, args: Sequence[str] | None, prog_name: str, complete_var: str | None, extra: dict[str, Any]
    ) -> int:
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
            return code if isinstance(code, int) else OK
        except click.exceptions.NoArgsIsHelpError as exc:
            exc.show()
            return USAGE
        except click.Abort:
            return INTERRUPTED
        except click.UsageError as exc:
            path = exc.ctx.command_path if exc.ctx else prog_name
            say(f"{exc.format_message().rstrip('.')} (see {path} --help)", who=path)
            return USAGE
        except click.ClickException as exc:
            say(exc.format_message())
            return exc.exit_code
        except Exception as exc:  # noqa: BLE001 - the last place where it can become a sentence
            return report(exc)


def report(exc: BaseException) -> int:
    """Says what went wrong on standard error and returns the exit code for it."""
    from chatlab.errors import AuthRequired, ChatlabError, ConfigError, MissingExtra, NotReady
    from chatlab.secret import scrubbed_traceback

    if _debug:
        click.echo(scrubbed_traceback(exc), err=True, nl=False)
    match exc:
        case ConfigError():
            if len(exc.problems) > 1:
                say(f"the configuration has {len(exc.problems)} mistakes:")
                for problem in exc.problems:
                    click.echo("  " + _safe(problem), err=True)
            else:
                say(str(exc))
            return CONFIG
        case NotReady() | MissingExtra() | AuthRequired():
            say(str(exc))
            return NOT_READY
        case ChatlabError():
            say(str(exc))
            return FAILED
        case OSError():
            say(f"{exc.filename}: {exc.strerror}" if exc.filename else exc.strerror or str(exc))
            return FAILED
        case _:
            hint = "" if _debug else "; --debug shows where"
            say(f"this is a mistake in chatlab or in a plugin: {type(exc).__name__}: {exc}{hint}")
            return FAILED


def say(sentence: str, *, who: str = "chatlab") -> None:
    """A sentence on standard error, without secrets and on one line, whoever wrote it."""
    click.echo(f"{who}: {_safe(sentence)}", err=True)


def starting(title: str) -> None:
    """Say that the page of this title is being started: importing what shows it takes seconds."""
    from chatlab.cli.terminal_text import one_line

    click.echo(f"{one_line(title, 80)}: starting …", err=True)


def _safe(sentence: str) -> str:
    from chatlab.cli.terminal_text import one_line
    from chatlab.secret import scrub

    return one_line(scrub(sentence), 1000)


@contextmanager
def _logging(*, server: bool) -> Iterator[None]:
    """The log goes to standard error. A server logs what it does; elsewhere the sentence is enough."""
    import logging
    import warnings

    with importing_for_good():
        from chatlab.secret import ScrubbingFormatter

    handler = logging.StreamHandler()  # standard error, as it is now
    handler.setFormatter(ScrubbingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    level = root.level
    quiet = logging.INFO if server else logging.CRITICAL + 1
    if not _debug:
        logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of each plugin and each look
    root.setLevel(logging.DEBUG if _debug else quiet)
    root.addHandler(handler)
    try:
        with warnings.catch_warnings():
            if not _debug and not server:
                warnings.simplefilter("ignore")  # of libraries, to their users: not to whoever chats
            yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _open_streams() -> None:
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
            setattr(sys, name, stream)
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # a character the terminal lacks must not end an answer


def _closed() -> int:
    """Standard output has no reader any more; leaves quietly, the flush at the end included."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CLOSED
