"""What stands on a terminal: text without control sequences, Markdown that grows in place, honest figures."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from chatlab.cli.terminal import MarkdownPainter, PlainPainter
from chatlab.cli.terminal_text import Cleaner, clean, describe, how_it_ended, one_line
from chatlab.messages import (
    Citation,
    Finish,
    Notice,
    ReasoningDelta,
    TextDelta,
    ToolCall,
    ToolResult,
    Trace,
)

SEQUENCES = [
    "\x1b[31m",
    "\x1b[2J\x1b[H",
    "\x1b[?1049h",
    "\x1b]0;title\x07",
    "\x1b]8;;https://evil.example\x1b\\",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1bP+q544e\x1b\\",
    "\x1b_private\x1b\\",
    "\x1bc",
    "\x1b(0",
    "\x1b7",
    "\x9b31m",
    "\x9d0;title\x9c",
    "\x07",
    "\x08\x08",
    "\x7f",
    "\x00",
    "\u202e",
    "\u2067",
]


@pytest.mark.parametrize("sequence", SEQUENCES, ids=repr)
def test_a_control_sequence_leaves_no_trace(sequence: str) -> None:
    assert clean(f"before{sequence}after") == "beforeafter"


@pytest.mark.parametrize("sequence", SEQUENCES, ids=repr)
def test_a_control_sequence_that_arrives_in_pieces_leaves_no_trace(sequence: str) -> None:
    cleaner = Cleaner()
    shown = "".join(map(cleaner.feed, ["before", *sequence, "after"]))
    assert shown + cleaner.end() == "beforeafter"


def test_text_is_kept_as_it_is() -> None:
    text = "a\tb\n  c – ü 漢字 👩‍👩‍👧 \u200fשלום [31m ]0; (x)\n"
    assert clean(text) == text


def test_carriage_returns_cannot_overwrite_a_line() -> None:
    assert clean("rm -rf /\rls\r\nok\r") == "rm -rf /\nls\nok\n"
    cleaner = Cleaner()
    assert [cleaner.feed(piece) for piece in ("a\r", "\nb")] == ["a\n", "b"]


def test_a_sequence_that_never_ends_hides_no_text() -> None:
    hidden = "this is important. " * 300
    assert clean(f"\x1b]0;{hidden}") == f"]0;{hidden}"
    assert hidden in Cleaner().feed(f"\x1b]0;{hidden}"), "and it is not held back either"
    assert hidden in clean(f"\x1b]0;{hidden}\x07after")
    assert clean("a\x1b]0;b") == "a]0;b"
    assert clean("a\x1b") == "a"


@given(st.lists(st.text(alphabet="ab \n\r\t\x1b\x9b\x9d[]0;mP\\\x07\x9c(?\u202e", max_size=12), max_size=8))
def test_whatever_arrives_nothing_is_left_that_a_terminal_obeys(pieces: list[str]) -> None:
    cleaner = Cleaner()
    shown = "".join(map(cleaner.feed, pieces)) + cleaner.end()
    assert not set(shown) - set("ab \n\t[]0;mP\\(?")
    assert shown == clean("".join(pieces)), "how the text was cut into pieces makes no difference"


def test_one_line_is_one_line() -> None:
    assert one_line("a\x1b[1m\n\n b\r\tc") == "a b c"
    assert one_line("x" * 600) == "x" * 499 + "…"


def test_every_event_beside_the_answer_is_one_clean_line() -> None:
    bad = "x\x1b[31m\ny"
    events = [
        Notice("other", bad),
        ToolCall("1", bad, bad),
        ToolResult("1", bad, is_error=True),
        Citation(bad, bad),
        Trace(bad),
    ]
    assert [describe(event) for event in events] == [
        "note: x y",
        "tool: x y(x y)",
        "tool error: x y",
        "source: x y x y",
        "trace: x y",
    ]
    assert describe(TextDelta("a")) is describe(ReasoningDelta("a")) is describe(Finish("stop")) is None


def test_an_answer_that_did_not_simply_end_says_so() -> None:
    assert how_it_ended(Finish("stop")) is None
    assert "token limit" in str(how_it_ended(Finish("length")))
    assert "content filter" in str(how_it_ended(Finish("content_filter")))
    assert "tool" in str(how_it_ended(Finish("tool_calls")))


def test_a_pipe_gets_what_the_model_said_exactly() -> None:
    out, err = io.StringIO(newline=""), io.StringIO()
    painter = PlainPainter(out, err, terminal=False)
    said = "  a\x1b[31mb\r\n\n c\t\n"
    for character in said:
        painter.add(TextDelta(character))
        painter.add(ReasoningDelta("hidden"))
    painter.add(Notice("other", "noted"))
    painter.end()
    assert out.getvalue() == said
    assert err.getvalue() == "note: noted\n"


def test_a_last_line_without_an_end_gets_one() -> None:
    out = io.StringIO()
    painter = PlainPainter(out, io.StringIO(), terminal=False)
    painter.add(TextDelta("a"))
    painter.end()
    assert out.getvalue() == "a\n"


def test_a_plain_terminal_gets_clean_text() -> None:
    out = io.StringIO()
    painter = PlainPainter(out, io.StringIO(), terminal=True)
    for piece in ("a\x1b", "[31mb", "\x1b]0;x"):
        painter.add(TextDelta(piece))
        painter.paint()
    painter.end()
    assert out.getvalue() == "ab]0;x\n"


def painted(*events: object, reasoning: bool = True, every: int = 1, height: int = 50) -> tuple[str, str]:
    """What stands on a terminal of its own in the end, and what went to standard error."""
    out, err = io.StringIO(), io.StringIO()
    console = Console(
        file=out, force_terminal=True, color_system=None, width=60, height=height, legacy_windows=False
    )
    painter = MarkdownPainter(console, err, reasoning=reasoning)
    for number, event in enumerate(events):
        painter.add(event)  # type: ignore[arg-type]
        if number % every == 0:
            painter.paint()
    painter.end()
    return on_screen(out.getvalue(), height), err.getvalue()


def on_screen(written: str, height: int) -> str:
    """The few sequences that rich uses to repaint, carried out: what scrolled away, and the screen."""
    import re

    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-?]*[@-~]|\r|\n|[^\x1b\r\n]+", written):
        if token == "\r":
            column = 0
        elif token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif token == "\x1b[2K":
            lines[row] = ""
        elif up := re.fullmatch(r"\x1b\[(\d+)A", token):
            row = max(row - int(up[1]), len(lines) - height)  # what has scrolled away is out of reach
        elif re.fullmatch(r"\x1b\[\?25[hl]", token):
            pass
        else:
            assert not token.startswith("\x1b"), f"not one of ours: {token!r}"
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    return "\n".join(line.rstrip() for line in lines).strip("\n")


MARKDOWN = """\
# Title

One *paragraph*
of two lines, with a [link](https://evil.example/x) and <b>HTML</b>.

- one

- two

  more of two

```python
def f():

    return 1
```

| a | b |
|---|---|
| 1 | 2 |

1. first

2. second

&#27;[31m and \x1b[31mthe end.
"""


def test_markdown_is_painted() -> None:
    shown, _ = painted(TextDelta(MARKDOWN))
    assert "of two lines, with a link (https://evil.example/x) and" in shown, "a link shows where it leads"
    assert "<b>HTML</b>" in shown, "HTML is shown, not dropped"
    assert " • one\n • two\n" in shown
    assert " def f():\n\n     return 1" in shown
    assert "the end." in shown
    assert "**" not in shown and "```" not in shown


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("every", [1, 5])
def test_what_is_painted_in_pieces_is_what_is_painted_at_once(size: int, every: int) -> None:
    pieces = [TextDelta(MARKDOWN[at : at + size]) for at in range(0, len(MARKDOWN), size)]
    assert painted(*pieces, every=every)[0] == painted(TextDelta(MARKDOWN))[0]


def test_an_answer_longer_than_the_screen_stands_there_once() -> None:
    code = "\n".join(f"line {number}" for number in range(100))
    pieces = [TextDelta(f"{line}\n") for line in f"```\n{code}\n```".split("\n")]
    shown, _ = painted(*pieces, height=10)
    assert [line.strip() for line in shown.split("\n") if line.strip()] == code.split("\n")


def test_reasoning_stands_before_the_answer_unless_it_is_not_wanted() -> None:
    events = [ReasoningDelta("I th"), ReasoningDelta("ink\nso"), TextDelta("yes")]
    assert painted(*events)[0] == "I think\nso\n\nyes"
    assert painted(*events, reasoning=False)[0] == "yes"


def test_what_is_beside_the_answer_goes_to_standard_error() -> None:
    shown, beside = painted(
        Notice("other", "noted"),
        TextDelta("first "),
        ToolCall("1", "search", "{}"),
        ToolResult("1", "found"),
        TextDelta("then"),
        Citation("Source"),
        TextDelta(" more"),
    )
    assert shown == "first\n\nthen more"
    assert beside == "note: noted\ntool: search({})\ntool result: found\nsource: Source\n"


def test_nothing_said_paints_nothing() -> None:
    assert painted(TextDelta(""), TextDelta("\n"), Finish("stop")) == ("", "")
