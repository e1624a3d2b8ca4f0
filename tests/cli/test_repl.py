"""`chatlab chat` on a real terminal (a pty): painting, a conversation and its commands, Ctrl-C, Ctrl-D."""

import fcntl
import json
import os
import pty
import re
import readline
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
default: plain
backends:
  plain: {kind: echo, prices: {input: 1000, output: 2000}}
  other: {kind: echo, reply: "I am the *other* one, \\e]0;evil\\a<b>not bold</b>", reasoning: "so I think"}
  slow: {kind: echo, rate: 20}
  broken: {kind: echo, fail: {after: 1, error: invalid_request}}
  absent: {kind: openai, model: m, api_key: {env: CHATLAB_TEST_ABSENT}}
"""


class Terminal:
    """A command on a terminal of 80 columns and 24 rows."""

    def __init__(self, *args: str, env: dict[str, str] | None = None) -> None:
        self.written = ""
        self._mark = 0
        self._fd, self._other = pty.openpty()
        fcntl.ioctl(self._other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        # The first terminal that the leader of a session opens becomes its own: Ctrl-C is a signal then.
        command = ["sh", "-c", 'exec "$@" <"$0" >"$0" 2>&1', os.ttyname(self._other)]
        self._process = subprocess.Popen(
            [*command, sys.executable, "-m", "chatlab", *args],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **(env or {})},
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)
        os.close(self._other)

    def wait_for(self, pattern: str, timeout: float = 30) -> str:
        """Reads until this stands there, after what was waited for before; returns the text up to its end."""
        deadline = time.monotonic() + timeout
        while (found := re.search(pattern, self.written[self._mark :])) is None:
            if time.monotonic() > deadline or not self._read():
                raise AssertionError(f"{pattern!r} did not come, but {self.written[self._mark :]!r}")
        start, self._mark = self._mark, self._mark + found.end()
        return self.written[start : self._mark]

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def ask(self, line: str, prompt: str = r"\w+> ") -> str:
        """Types a line and waits for the next prompt; returns what came between them."""
        self.type(line + "\r")
        self.wait_for(re.escape(line) + r"\r?\n")
        return self.wait_for(prompt)

    def end(self) -> int:
        """Reads to the end; returns the exit code."""
        while self._read():
            pass
        return self._process.wait()

    def _read(self) -> bool:
        """Reads what is there; whether more may come."""
        ended = self._process.poll() is not None
        if not select.select([self._fd], [], [], 0 if ended else 0.1)[0]:
            return not ended
        self.written += os.read(self._fd, 65536).decode("utf-8", "replace")
        return True


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "lab.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    yield tmp_path


def visible(text: str) -> str:
    """Without the sequences that paint."""
    return re.sub(r"\x1b\[[0-?]*[@-~]|\x1b[=>]|\r", "", text)


def test_an_answer_on_a_terminal_is_painted_with_its_figures_under_it() -> None:
    with Terminal("chat", "lab.yaml", "-b", "other", "hi") as terminal:
        code = terminal.end()
    assert code == 0
    shown = visible(terminal.written)
    assert "so I think" in shown, "reasoning is shown"
    assert "I am the other one, <b>not bold</b>" in shown
    assert "\x1b[3m" in terminal.written, "emphasis is painted"
    assert "\x1b]" not in terminal.written and "evil" not in terminal.written
    assert re.search(
        r"other · first token (under )?\d+ ms · total (under )?\d+ ms · .*1 token in, \d+ out\s*$", shown
    )


def test_the_cost_is_shown_where_prices_are_known() -> None:
    with Terminal("chat", "lab.yaml", "one two") as terminal:
        assert terminal.end() == 0
    assert "2 tokens in, 2 out · cost 0.006" in terminal.written


def test_reasoning_can_be_left_out() -> None:
    with Terminal("chat", "lab.yaml", "-b", "other", "--no-reasoning", "hi") as terminal:
        assert terminal.end() == 0
    assert "so I think" not in terminal.written


@pytest.mark.parametrize(("args", "env"), [(["--plain"], {}), ([], {"TERM": "dumb"})])
def test_plain_text_is_clean_too(args: list[str], env: dict[str, str]) -> None:
    with Terminal("chat", "lab.yaml", "-b", "other", *args, "hi", env=env) as terminal:
        assert terminal.end() == 0
    assert "I am the *other* one, <b>not bold</b>" in terminal.written
    assert "evil" not in terminal.written


def test_ctrl_c_in_one_answer_keeps_what_arrived() -> None:
    with Terminal("chat", "lab.yaml", "-b", "slow", "word " * 500) as terminal:
        terminal.wait_for("word word")
        terminal.type("\x03")
        assert terminal.end() == 130
    assert visible(terminal.written).rstrip().endswith("stopped")
    assert "word" in visible(terminal.written)


def test_a_conversation() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("/help lists the commands")
        terminal.wait_for("plain> ")
        assert "hello" in terminal.ask("hello")
        assert "1 token in, 1 out" in visible(terminal.written)
        assert "again" in terminal.ask("again")
        assert "3 tokens in, 1 out" in visible(terminal.written), "the backend gets the whole conversation"
        terminal.type("\x04")
        assert terminal.end() == 0


def test_ctrl_c_stops_an_answer_but_not_the_conversation() -> None:
    with Terminal("chat", "lab.yaml", "-b", "slow") as terminal:
        terminal.wait_for("slow> ")
        terminal.type("word " * 30 + "\r")
        terminal.wait_for(r"\n")
        terminal.wait_for("word word word")
        terminal.type("\x03")
        terminal.wait_for("stopped")
        terminal.wait_for("slow> ")
        assert "fine" in terminal.ask("fine")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_ctrl_c_at_the_prompt_drops_the_line() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        terminal.type("half a li")
        terminal.wait_for("half a li")
        # readline looks for a signal before it waits for a key: a Ctrl-C in between waits for the next one.
        for _ in range(5):
            terminal.type("\x03")
            with suppress(AssertionError):
                terminal.wait_for("Ctrl-D leaves", timeout=3)
                break
        terminal.wait_for("plain> ")
        assert "half" not in terminal.ask("next")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_help_lists_every_command() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        said = visible(terminal.ask("/help"))
        for command in ("/help", "/backend", "/system", "/file", "/retry", "/clear", "/exit"):
            assert re.search(rf"^\s+{command}\b.+ {{2,}}\w", said, re.M), command
        terminal.type("/exit\r")
        assert terminal.end() == 0


def test_the_backend_can_change_in_the_middle() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        terminal.ask("hello")
        said = terminal.ask("/backend")
        assert re.search(r"\* plain +ready", said)
        assert re.search(r"absent +set CHATLAB_TEST_ABSENT", said)
        terminal.ask("/backend other", "other> ")
        assert "so I think" in visible(terminal.ask("and you?"))
        terminal.ask("/backend echo:", "echo:> ")
        assert "an address" in terminal.ask("an address", "echo:> ")
        assert re.search(r"no\w*' is neither", terminal.ask("/backend nobody", "echo:> "))
        terminal.type("\x04")
        assert terminal.end() == 0


def test_the_system_prompt_can_be_set_and_reset() -> None:
    with Terminal("chat", "lab.yaml", "--system", "be brief") as terminal:
        terminal.wait_for("plain> ")
        assert "system prompt: be brief" in terminal.ask("/system")
        assert "system prompt: be kind" in terminal.ask("/system be kind")
        assert "system prompt" in terminal.ask("hello"), "echo says that it cannot follow one"
        assert "system prompt: none" in terminal.ask("/system -")
        assert "system prompt" not in terminal.ask("hello")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_a_message_can_be_answered_again_and_the_conversation_begun_anew() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        assert "nothing to answer again" in terminal.ask("/retry")
        terminal.ask("first one")
        assert "2 tokens in, 2 out" in visible(terminal.ask("/retry")), "what was answered before is not sent"
        assert "new conversation" in terminal.ask("/clear")
        assert "1 token in, 1 out" in visible(terminal.ask("second"))
        terminal.type("\x04")
        assert terminal.end() == 0


def test_a_failed_answer_is_a_sentence_and_the_conversation_goes_on() -> None:
    with Terminal("chat", "lab.yaml", "-b", "broken") as terminal:
        terminal.wait_for("broken> ")
        said = visible(terminal.ask("one two"))
        assert "one" in said and "chatlab: broken: echo was told to fail" in said and "/retry" in said
        assert "Traceback" not in said
        terminal.ask("/backend plain", "plain> ")
        assert "4 tokens in, 1 out" in visible(terminal.ask("three")), (
            "what had arrived is part of what is sent"
        )
        terminal.type("\x04")
        assert terminal.end() == 0


def test_a_backend_that_is_not_ready_can_be_left() -> None:
    with Terminal("chat", "lab.yaml", "-b", "absent") as terminal:
        terminal.wait_for("absent is not ready: set CHATLAB_TEST_ABSENT")
        terminal.wait_for("absent> ")
        assert "absent is not ready" in terminal.ask("hello")
        terminal.ask("/backend plain", "plain> ")
        assert "1 token in, 1 out" in visible(terminal.ask("hello")), "what was never answered is not sent"
        terminal.type("\x04")
        assert terminal.end() == 0


def test_files_go_with_the_next_message(folder: Path) -> None:
    (folder / "a b.png").write_bytes(b"x")
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        assert "a b.png (image/png) goes with" in terminal.ask("/file 'a b.png'")
        assert "with a b.png (image/png)" in visible(terminal.ask("look"))
        assert "cannot be attached" in terminal.ask("/file nothing.png")
        assert "with a b.png" not in visible(terminal.ask("and now?")).partition("first token")[0]
        terminal.type("\x04")
        assert terminal.end() == 0


def test_an_unknown_command_is_not_sent() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        said = terminal.ask("/hlep")
        assert "there is no command /hlep" in said and "first token" not in said
        assert "/etc/hosts" in terminal.ask("/etc/hosts is a file"), "a path is no command"
        terminal.type("\x04")
        assert terminal.end() == 0


def test_a_message_of_several_lines() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        terminal.type("one\\\r")
        terminal.wait_for(r"\.\.\. ")
        terminal.type("two\r")
        assert "2 tokens in, 2 out" in visible(terminal.wait_for("plain> "))
        terminal.type("\x04")
        assert terminal.end() == 0


@pytest.mark.skipif("libedit" in (readline.__doc__ or ""), reason="libedit knows no bracketed paste")
def test_a_pasted_message_of_several_lines_is_one_message() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        terminal.type("\x1b[200~three\nfour five\x1b[201~\r")  # as a terminal pastes
        assert "3 tokens in, 3 out" in visible(terminal.wait_for("first token.*\n"))
        terminal.wait_for("plain> ")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_lines_can_be_edited_completed_and_called_back(folder: Path) -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        terminal.type("helo\x1b[Dl\r")  # left, then an l: hello
        assert "hello" in terminal.wait_for("plain> ")
        terminal.type("/back\toth\t\r")
        terminal.wait_for("other> ")
        terminal.type("\x04")
        assert terminal.end() == 0
    history = folder / "state/chatlab/history"
    assert history.read_text().splitlines() == ["hello", "/backend other "]
    assert history.stat().st_mode & 0o077 == 0, "nobody else can read it"
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        terminal.type("\x1b[A\x1b[A\r")  # up, up
        assert "hello" in visible(terminal.wait_for("first token"))
        terminal.wait_for("plain> ")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_no_history_is_kept_where_none_is_wanted(folder: Path) -> None:
    with Terminal("chat", "lab.yaml", env={"CHATLAB_HISTORY": ""}) as terminal:
        terminal.wait_for("plain> ")
        terminal.ask("hello")
        terminal.type("\x04")
        assert terminal.end() == 0
    assert not (folder / "state").exists()


def test_a_prompt_can_be_typed_where_the_answer_goes_to_json() -> None:
    with Terminal("chat", "lab.yaml", "--json") as terminal:
        terminal.wait_for("type the prompt, then Ctrl-D")
        terminal.type("hello\r\x04")
        assert terminal.end() == 0
    assert '"type": "end"' in terminal.written


def test_what_is_pasted_is_one_message_whatever_it_begins_with() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        assert "\x1b[?2004h" in terminal.written, "the terminal is asked to mark what is pasted"
        terminal.type("\x1b[200~/help is\rno command\r\rhere\x1b[201~")
        terminal.type("\r")
        said = visible(terminal.wait_for("plain> "))
        assert "6 tokens in" in said or "5 tokens in" in said
        assert "/clear" not in said, "it is a message, not a command"
        assert said.count("first token") == 1
        terminal.type("\x04")
        assert terminal.end() == 0


def test_three_quotes_begin_and_end_a_block() -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        for line in ('"""', "def f():", "    return 1", '"""'):
            terminal.type(line + "\r")
            terminal.wait_for(re.escape(line))
        said = visible(terminal.wait_for("plain> "))
        assert "4 tokens in" in said and said.count("first token") == 1
        assert "    return 1" in said or "return 1" in said
        terminal.ask('"""a b"""')
        terminal.type("\x04")
        assert terminal.end() == 0


@pytest.mark.parametrize("lines", [['"""', "one two", "three", '"""'], ["one two\\", "three"]])
def test_up_calls_a_message_of_several_lines_back_as_a_whole(lines: list[str]) -> None:
    with Terminal("chat", "lab.yaml") as terminal:
        terminal.wait_for("plain> ")
        for line in lines:
            terminal.type(line + "\r")
            terminal.wait_for(re.escape(line))
        terminal.wait_for("plain> ")
        terminal.type("\x1b[A\r")
        assert ", 3 out" in visible(terminal.wait_for("first token.*\n")), "the same three words"
        terminal.wait_for("plain> ")
        terminal.type("\x04")
        assert terminal.end() == 0


def test_the_last_stored_conversation_goes_on_and_is_stored(folder: Path) -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    (folder / "chat.json").write_text(json.dumps({"title": "Numbers", "messages": messages}))
    run = partial(subprocess.run, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    command = [sys.executable, "-m", "chatlab"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run([*command, "import", "lab.yaml", "chat.json", "--owner", "ann"], env=env)
    once = run([*command, "chat", "lab.yaml", "-b", "plain", "-c", "three"], env=env)
    assert once.stdout == "three\n"
    with Terminal("chat", "lab.yaml", "-c") as terminal:
        assert "going on with Numbers, 2 turns" in visible(terminal.wait_for("plain> "))
        assert "5 tokens in, 1 out" in visible(terminal.ask("four"))
        terminal.type("\x04")
        assert terminal.end() == 0
    written = run([*command, "export", "lab.yaml", "--format", "markdown"], env=env).stdout
    assert [word for word in ("one", "two", "three", "four") if word not in written] == []
    assert written.index("one") < written.index("three") < written.index("four")


def test_going_on_where_nothing_is_stored_says_so(folder: Path) -> None:
    command = [sys.executable, "-m", "chatlab", "chat", "lab.yaml", "-c", "hello"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "there is no stored conversation to go on with" in done.stderr
    assert not (folder / ".chatlab").exists(), "to look makes no database"
