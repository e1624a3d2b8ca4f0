"""Answers on a terminal or in a pipe.

What a model or an upstream wrote is untrusted. On a terminal it is painted without a single control
sequence of its own (`Cleaner`), its HTML shown as text, and a link with its address beside it. Into a pipe
goes exactly what the model said: whoever reads a pipe reads data.

The answer goes to standard output; notices, tool calls and sources go to standard error.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import aclosing, suppress
from time import perf_counter
from typing import IO, TYPE_CHECKING, Protocol

from chatlab.cli.terminal_text import Cleaner, describe
from chatlab.messages import Citation, ReasoningDelta, StreamEvent, TextDelta, ToolCall, ToolResult, Trace

if TYPE_CHECKING:
    from markdown_it.token import Token
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.segment import Segment

    from chatlab.turns.turn import Turn


class Painter(Protocol):
    """Shows one answer. `add` is cheap and called for every event, `paint` every now and then."""

    def add(self, event: StreamEvent) -> None: ...
    def paint(self) -> None: ...
    def end(self) -> None: ...


class PlainPainter:
    """Text as it comes: exactly for a pipe, cleaned for a terminal. Reasoning is not shown."""

    def __init__(self, out: IO[str], err: IO[str], *, terminal: bool) -> None:
        self._out, self._err = out, err
        self._cleaner = Cleaner() if terminal else None
        self._new: list[str] = []
        self._afterwards: list[str] = []
        self._last = "\n"

    def add(self, event: StreamEvent) -> None:
        if isinstance(event, TextDelta):
            self._new.append(event.text if self._cleaner is None else self._cleaner.feed(event.text))
        elif (line := describe(event)) is not None:
            if isinstance(event, Citation | Trace):
                self._afterwards.append(line)
                return
            self.paint()
            self._end_line(only_terminal=True)
            _aside(self._err, line)

    def paint(self) -> None:
        text, self._new = "".join(self._new), []
        if text:
            self._write(text)

    def end(self) -> None:
        if self._cleaner is not None:
            self._new.append(self._cleaner.end())
        self.paint()
        self._end_line()
        for line in self._afterwards:
            _aside(self._err, line)

    def _end_line(self, *, only_terminal: bool = False) -> None:
        if self._last != "\n" and (self._cleaner is not None or not only_terminal):
            self._write("\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
        self._last = text[-1]


class MarkdownPainter:
    """Markdown on a terminal, repainted in place while it grows.

    A block that is complete (a paragraph, a list, a code block) is printed for good. Only the last one is
    repainted, and of it only what fits on the screen, so an answer of any length scrolls as text does.
    """

    def __init__(self, console: Console, err: IO[str], *, reasoning: bool = True) -> None:
        from markdown_it import MarkdownIt
        from rich.live import Live

        self._console, self._err = console, err
        self._show_reasoning = reasoning
        # HTML is shown as it is written: dropping it would hide a part of the answer.
        self._parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
        self._live = Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="visible",
        )
        self._kind: type[TextDelta] | type[ReasoningDelta] = TextDelta
        self._cleaner = Cleaner()
        self._tail = ""
        self._new: list[str] = []
        self._afterwards: list[str] = []
        self._printed = False  # something stands above, so the next block is set off from it

    def add(self, event: StreamEvent) -> None:
        if isinstance(event, TextDelta | ReasoningDelta):
            if isinstance(event, ReasoningDelta) and not self._show_reasoning:
                return
            if type(event) is not self._kind:
                self._settle()
                self._kind = type(event)
            self._new.append(event.text)
        elif (line := describe(event)) is not None:
            if isinstance(event, Citation | Trace):
                self._afterwards.append(line)
                return
            if isinstance(event, ToolCall | ToolResult):
                self._settle()  # what was said before a tool ran stands above it
            self._erase()
            _aside(self._err, line)

    def paint(self) -> None:
        self._take()
        if not self._tail.strip():
            return
        if self._kind is ReasoningDelta:
            whole, newline, rest = self._tail.rpartition("\n")
            if newline and whole.strip():
                self._print(_dim(whole.strip("\n")), apart=False)
                self._tail = rest
            growing: RenderableType = _dim(self._tail)
        else:
            tokens = self._parser.parse(self._tail)
            tokens = self._print_settled(tokens)
            growing = _markdown(tokens)
        if not self._live.is_started:
            self._live.start()
        self._live.update(_Trimmed(growing, above=int(self._apart), fit=True), refresh=True)

    def end(self) -> None:
        self._settle()
        self._erase()
        for line in self._afterwards:
            _aside(self._err, line)

    def _take(self) -> None:
        if self._new:
            self._tail += self._cleaner.feed("".join(self._new))
            self._new = []

    def _settle(self) -> None:
        """Prints what is there for good."""
        self._take()
        self._tail += self._cleaner.end()
        rest, self._tail = self._tail, ""
        if rest.strip():
            if self._kind is ReasoningDelta:
                self._print(_dim(rest.strip("\n")), apart=False)
            else:
                self._print_blocks(self._parser.parse(rest))
        self._cleaner = Cleaner()

    def _print_settled(self, tokens: list[Token]) -> list[Token]:
        """Prints the blocks that no further text can change; returns the tokens of the others."""
        starts = [(i, t.map[0]) for i, t in enumerate(tokens) if t.level == 0 and t.nesting >= 0 and t.map]
        unfinished = self._tail.count("\n")  # the line that still grows may yet belong to the block before it
        if starts and starts[-1][1] == unfinished:
            starts.pop()
        if len(starts) < 2:
            return tokens
        index, line = starts[-1]
        self._print_blocks(tokens[:index])
        self._tail = "\n".join(self._tail.split("\n")[line:])
        return tokens[index:]

    def _print_blocks(self, tokens: list[Token]) -> None:
        starts = [index for index, token in enumerate(tokens) if token.level == 0 and token.nesting >= 0]
        for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
            self._print(_markdown(tokens[start:end]))

    @property
    def _apart(self) -> bool:
        return self._printed and self._kind is TextDelta

    def _print(self, what: RenderableType, *, apart: bool = True) -> None:
        self._erase()
        self._console.print(_Trimmed(what, above=int(apart and self._printed)))
        self._printed = True

    def _erase(self) -> None:
        if self._live.is_started:
            self._live.update("")
            self._live.stop()


def _aside(err: IO[str], line: str) -> None:
    err.write(f"\x1b[2m{line}\x1b[0m\n" if err.isatty() and "NO_COLOR" not in os.environ else line + "\n")
    err.flush()


class _Trimmed:
    """Something without the empty lines around it, but with `above` of them before it.

    With `fit`, only its last lines, as many as the screen has room for.
    """

    def __init__(self, inner: RenderableType, *, above: int = 0, fit: bool = False) -> None:
        self._inner, self._above, self._fit = inner, above, fit

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        rendered = console.render_lines(self._inner, options.update(height=None), pad=False)
        lines = [_without_padding(line) for line in rendered]
        while lines and not lines[0]:
            del lines[0]
        while lines and not lines[-1]:
            del lines[-1]
        if self._fit:
            lines = lines[-max(console.size.height - 1 - self._above, 1) :]
        yield from [Segment.line()] * self._above
        for number, line in enumerate(lines):
            if number:
                yield Segment.line()
            yield from line
        if not self._fit:
            yield Segment.line()


def _without_padding(line: list[Segment]) -> list[Segment]:
    """Return the line without blanks at its end, which would be copied with it. A background stays."""
    kept = list(line)
    while kept and not _has_background(kept[-1]):
        last = kept.pop()
        if text := last.text.rstrip():
            return [*kept, last._replace(text=text)]
    return kept


def _has_background(part: Segment) -> bool:
    return part.style is not None and part.style.bgcolor is not None


def _dim(text: str) -> RenderableType:
    from rich.text import Text

    return Text(text, style="dim italic")


def _markdown(tokens: list[Token]) -> RenderableType:
    from rich.markdown import Markdown

    for token in tokens:
        for child in token.children or ():
            if child.type == "softbreak":  # a model's line breaks are meant
                child.type = "hardbreak"
    # Without hyperlinks: a link's address is printed beside its text, so that neither can pass for the other.
    rendered = Markdown("", hyperlinks=False)
    rendered.parsed = tokens
    return rendered


def painter_for_terminal(*, plain: bool = False, reasoning: bool = True) -> Painter:
    """Return the painter for what standard output is: Markdown on a terminal, exact text elsewhere."""
    terminal = sys.stdout.isatty()
    if terminal and not plain:
        from rich.console import Console

        console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        if not console.is_dumb_terminal:
            return MarkdownPainter(console, sys.stderr, reasoning=reasoning)
    return PlainPainter(sys.stdout, sys.stderr, terminal=terminal)


_PAINTS_A_SECOND = 15
_SHARE = 4  # of the time, at most one part in so many goes into painting


async def show(turn: Turn, painter: Painter) -> None:
    """Paints a running turn until it ends: the first text at once, then paced. Raises what it raises."""
    news = asyncio.Event()
    task = asyncio.create_task(_paint_paced(painter, news))
    try:
        async with aclosing(turn.batches()) as batches:
            async for batch in batches:
                for event in batch:
                    painter.add(event)
                news.set()
                if task.done():
                    task.result()  # a closed pipe ends the turn
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        painter.end()


async def _paint_paced(painter: Painter, news: asyncio.Event) -> None:
    while True:
        await news.wait()
        news.clear()
        began = perf_counter()
        painter.paint()
        await asyncio.sleep(max(1 / _PAINTS_A_SECOND, _SHARE * (perf_counter() - began)))
