"""The command line, as a shell sees it: what it prints where, and how it ends."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import chatlab
from chatlab.cli import main
from chatlab.cli.program import EXIT_CODES
from chatlab.cli.reference import reference

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
default: plain
backends:
  plain: {kind: echo, prices: {input: 1, output: 2}}
  slow: {kind: echo, rate: 20}
  broken: {kind: echo, fail: {after: 2, error: rate_limited}}
  absent: {kind: openai, model: m, api_key: {env: CHATLAB_TEST_ABSENT}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own with a configuration, in which commands run."""
    (tmp_path / "lab.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def run(*args: str, input: str | bytes | None = None, env: dict[str, str] | None = None) -> Result:
    """A command in this process. Its standard input is a pipe."""
    return CliRunner().invoke(main, args, input=input or "", env=env, prog_name="chatlab")


def start(*args: str, **kwargs: object) -> "subprocess.Popen[bytes]":
    """A command in a process of its own."""
    options: dict[str, object] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
        **kwargs,
    }
    return subprocess.Popen([sys.executable, "-m", "chatlab", *args], **options)  # type: ignore[call-overload]


def one_sentence(result: Result) -> str:
    """What an error said, which is one line and no traceback."""
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("using ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


COMMANDS = ["", *main.commands]


@pytest.mark.parametrize("command", [*COMMANDS, "--version"])
def test_help_imports_nothing_heavy(command: str) -> None:
    args = [command] if command == "--version" else [*command.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "chatlab", *args],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in imported, "imports are seen"
    heavy = {
        "gradio",
        "openai",
        "langchain",
        "langchain_core",
        "huggingface_hub",
        "databricks",
        "httpx",
        "httpx2",
    }
    assert not imported & (heavy | {"pydantic", "yaml", "rich", "jinja2", "asyncio", "backends"})


def test_every_command_and_every_option_says_what_it_does() -> None:
    for command in main.commands.values():
        assert command.help and command.short_help
        for parameter in command.params:
            assert parameter.param_type_name == "argument" or getattr(parameter, "help", None), parameter.name


def test_the_reference_is_what_the_commands_say() -> None:
    written = (ROOT / "docs/cli.md").read_text("utf-8")
    assert written == reference(), "run: python -m chatlab.cli.reference > docs/cli.md"


def test_the_reference_names_every_exit_code() -> None:
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in reference()


def test_every_example_in_the_help_is_a_valid_command_line() -> None:
    examples = re.findall(r"^ +(?:.*\| )?chatlab (.+?)(?: > \S+)?$", reference(), re.M)
    assert len(examples) >= 8
    for example in examples:
        name, *words = shlex.split(example)
        command = main.commands[name]
        assert command.make_context(name, [word for word in words if word != "chart.png" and word != "-f"])


def test_it_says_its_version() -> None:
    assert run("--version").stdout == f"chatlab {chatlab.__version__}\n"


def test_an_address_is_all_that_is_needed() -> None:
    done = run("chat", "echo:", "hello")
    assert (done.stdout, done.stderr, done.exit_code) == ("hello\n", "", 0)


def test_a_configuration_answers_with_its_default_backend() -> None:
    done = run("chat", "lab.yaml", "hello", "--json")
    assert json.loads(done.stdout.splitlines()[0]) == {"type": "start", "backend": "plain", "kind": "echo"}


def test_an_answer_in_a_pipe_is_exact() -> None:
    said = "  two  spaces\t\x1b[31m\n\n# not painted\n"
    assert run("chat", "echo:", input=said).stdout == said


def test_what_is_piped_in_comes_after_the_prompt() -> None:
    assert run("chat", "echo:", "review this:", input="a\nb\n").stdout == "review this:\n\na\nb\n"


def test_a_dash_is_what_is_piped_in() -> None:
    assert run("chat", "echo:", "-", input="a").stdout == "a\n"


def test_what_is_piped_in_must_be_text() -> None:
    done = run("chat", "echo:", input=b"caf\xe9 \xff")
    assert done.exit_code == 2
    assert "UTF-8" in one_sentence(done) and "--file" in one_sentence(done)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["chat", "echo:"], "there is no prompt"),
        (["chat", "ecoh:x", "hi"], "did you mean echo:x?"),
        (["chat", "nothing:x", "hi"], "the kinds are echo"),
        (["chat", "echo:x", "hi"], "takes nothing after the colon"),
        (["chat", "lab.yaml", "-b", "plian", "hi"], "did you mean plain?"),
        (["chat", "echo:", "-b", "plain", "hi"], "choose one"),
        (["chat", "echo:", "two", "words"], "quotes"),
        (["chat", "echo:", "hi", "-p", "max_tokens"], "name=value"),
        (["chat", "echo:", "hi", "-p", "max_tokens=x"], "should be a whole number"),
        (["chat", "echo:", "hi", "-p", "max_tokens=0"], "should be at least 1"),
        (["chat", "echo:", "hi", "-f", "missing.png"], "missing.png"),
        (["chat", "--colour", "echo:"], "chatlab chat: No such option"),
        (["chat", "echo:", "hi", "--backend"], "chatlab chat: Option '--backend' requires an argument"),
        (["chatt"], "chat"),
        (["check", "lab.yaml", "nobody"], "nobody"),
        (["serve", "echo:"], "not a configuration file"),
        (["record", "echo:", "-o", "x"], "--prompts"),
        (["init", "lab.yaml"], "--force"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_command_line_is_one_sentence_and_2(args: list[str], said: str) -> None:
    done = run(*args)
    assert said in one_sentence(done)
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize(
    "command", [["chat", "none.yaml", "hi"], ["check", "none.yaml"], ["serve", "none.yaml"]]
)
def test_a_missing_configuration_is_3(command: list[str]) -> None:
    done = run(*command)
    assert "none.yaml" in one_sentence(done)
    assert done.exit_code == 3


def test_every_mistake_of_a_configuration_is_a_line_and_3(folder: Path) -> None:
    (folder / "bad.yaml").write_text("defualt: a\nbackends:\n  a: {kind: echo, raet: 2}\n")
    done = run("chat", "bad.yaml", "hi")
    first, *mistakes = done.stderr.splitlines()
    assert first == "chatlab: the configuration has 2 mistakes:"
    assert "bad.yaml:1:1" in mistakes[0] and "default?" in mistakes[0]
    assert "bad.yaml:3:19" in mistakes[1] and "rate?" in mistakes[1]
    assert (done.exit_code, done.stdout) == (3, "")


def test_a_backend_that_is_not_ready_says_what_to_do_and_is_4() -> None:
    done = run("chat", "lab.yaml", "-b", "absent", "hi")
    assert "set CHATLAB_TEST_ABSENT" in one_sentence(done)
    assert (done.exit_code, done.stdout) == (4, "")


def test_a_failed_turn_keeps_what_arrived_and_is_1() -> None:
    done = run("chat", "lab.yaml", "-b", "broken", "one two three")
    assert done.stdout == "one two\n"
    assert one_sentence(done) == "chatlab: broken: echo was told to fail (wait a moment, then try again)"
    assert done.exit_code == 1


@pytest.mark.parametrize("how", [["--debug", "chat"], ["chat", "--debug"], ["chat"]])
def test_a_traceback_is_shown_to_whoever_asks_for_it(how: list[str]) -> None:
    env = {"CHATLAB_DEBUG": "1" if how == ["chat"] else ""}
    done = run(*how, "lab.yaml", "-b", "broken", "one two three", env=env)
    assert "Traceback" in done.stderr and "RateLimited" in done.stderr
    assert done.exit_code == 1


def test_no_secret_is_shown_even_in_a_traceback(folder: Path) -> None:
    key = "sk-verysecret0123456789"
    config = "backends: {a: {kind: echo, fail: {detail: 'refused: Bearer abcdefgh12345678'}}}\n"
    (folder / "b.yaml").write_text(config)
    done = run("--debug", "chat", "b.yaml", f"my key is {key}", env={"CHATLAB_DEBUG": "1"})
    assert done.exit_code == 1
    assert "Traceback" in done.stderr
    assert "abcdefgh12345678" not in done.stderr and key not in done.stderr


def test_an_error_cannot_paint_the_terminal(folder: Path) -> None:
    done = run("init", "a\x1b[2Jb\n/c.yaml")
    assert one_sentence(done) == "chatlab: ab /c.yaml: No such file or directory"


def test_parameters_are_sent() -> None:
    assert run("chat", "echo:", "one two three", "-p", "max_tokens=2").stdout == "one two\n"


def test_an_answer_that_was_cut_off_says_so() -> None:
    assert "token limit" in run("chat", "echo:", "one two three", "-p", "max_tokens=2").stderr


def test_a_parameter_the_backend_does_not_take_is_said() -> None:
    done = run("chat", "echo:", "hi", "-p", "seed=1")
    assert done.stderr.startswith("note: seed is not a parameter")
    assert done.stdout == "hi\n"


def test_files_are_sent(folder: Path) -> None:
    (folder / "a.png").write_bytes(b"x")
    done = run("chat", "echo:", "look", "-f", "a.png", "--file", "https://a.example/b.pdf")
    assert "a.png (image/png), b.pdf (application/pdf)" in done.stdout


def test_the_system_prompt_is_sent() -> None:
    done = run("chat", "echo:", "hi", "--system", "be brief", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(line["type"] == "notice" and "system prompt" in line["detail"] for line in lines)


def test_json_has_every_event_and_all_figures_last() -> None:
    done = run("chat", "lab.yaml", "--json", "one two")
    first, *events, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert first == {"type": "start", "backend": "plain", "kind": "echo"}
    assert [event["type"] for event in events] == ["text", "text", "finish"]
    assert last["type"] == "end" and last["outcome"] == "finished" and last["model"] == "echo"
    assert last["usage"] == {"input": 2, "output": 2, "cached": None, "reasoning": 0, "cache_written": None}
    assert last["timing"]["credentials"] is None, "what is not known is null"
    assert 0 < last["timing"]["first_token"] <= last["timing"]["total"]
    assert last["cost"] == pytest.approx((2 * 1 + 2 * 2) / 1e6)
    assert done.stderr == ""


def test_json_of_a_backend_without_prices_has_no_cost() -> None:
    assert json.loads(run("chat", "echo:", "--json", "hi").stdout.splitlines()[-1])["cost"] is None


def test_json_of_a_failed_turn_has_the_error_and_what_arrived() -> None:
    done = run("chat", "lab.yaml", "-b", "broken", "--json", "one two three")
    *events, error, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event.get("text") for event in events[1:]] == ["one", " two"]
    assert (error["type"], error["error"], error["status"]) == ("error", "RateLimited", 429)
    assert (last["outcome"], last["usage"]) == ("failed", None)
    assert done.exit_code == 1 and one_sentence(done)


def test_a_line_of_json_is_one_line_to_every_reader() -> None:
    said = "a\u2028b\x85c\x9b31m\u202ed"
    done = run("chat", "echo:", "--json", said)
    lines = done.stdout.splitlines()  # at U+2028 and U+0085 too
    assert "".join(json.loads(line).get("text", "") for line in lines) == said
    assert not set(done.stdout) & set("\u2028\x85\x9b\u202e")


def test_the_default_configuration_is_said(folder: Path) -> None:
    (folder / "chatlab.yaml").write_text("backends: {here: {kind: echo, reply: from here}}\n")
    (folder / "other.yaml").write_text("backends: {there: {kind: echo, reply: from there}}\n")
    done = run("chat", "hi there")
    assert (done.stdout, done.stderr) == ("from here\n", "using chatlab.yaml (in this folder)\n")
    done = run("chat", "hi there", env={"CHATLAB_CONFIG": str(folder / "other.yaml")})
    assert (done.stdout, done.stderr) == ("from there\n", "using other.yaml (from CHATLAB_CONFIG)\n")


def test_a_backend_of_the_default_configuration_can_be_named(folder: Path) -> None:
    (folder / "chatlab.yaml").write_text(CONFIG)
    done = run("chat", "broken", "one two three")
    assert (done.stdout, done.exit_code) == ("one two\n", 1)
    done = run("chat", "brokn", "one two three")
    assert done.exit_code == 2 and "'brokn' is no configuration" in one_sentence(done)


def test_a_prompt_that_is_a_backends_name_is_said_to_be_sent() -> None:
    done = run("chat", "lab.yaml", "slow")
    assert done.stdout == "slow\n"
    assert "--backend slow" in done.stderr


def test_without_a_default_the_first_ready_backend_answers(folder: Path) -> None:
    (folder / "c.yaml").write_text(CONFIG.replace("default: plain\n", "").replace("  plain:", "  z_plain:"))
    lines = CONFIG.splitlines()
    (folder / "c.yaml").write_text("\n".join([lines[1], lines[5], lines[2]]) + "\n")
    assert run("chat", "c.yaml", "hi").stdout == "hi\n"


def test_where_no_backend_is_ready_the_reasons_are_said(folder: Path) -> None:
    lines = CONFIG.splitlines()
    (folder / "c.yaml").write_text("\n".join([lines[1], lines[5]]) + "\n")
    done = run("chat", "c.yaml", "hi")
    assert "absent: set CHATLAB_TEST_ABSENT" in one_sentence(done)
    assert done.exit_code == 4


def test_ctrl_c_keeps_what_arrived_and_is_130() -> None:
    with start("chat", "lab.yaml", "-b", "slow", "word " * 1000) as process:
        assert process.stdout is not None and process.stderr is not None
        first = os.read(process.stdout.fileno(), 100)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert set((first + rest).split()) == {b"word"}
    assert (first + rest).endswith(b"\n"), "the next prompt of the shell starts on a line of its own"
    assert (errors, process.returncode) == (b"stopped\n", 130)


def test_sigterm_stops_the_turn_too() -> None:
    with start("chat", "lab.yaml", "-b", "slow", "--json", "word " * 1000) as process:
        assert process.stdout is not None
        process.stdout.readline(), process.stdout.readline()
        process.terminate()
        rest, _ = process.communicate(timeout=60)
    assert json.loads(rest.splitlines()[-1])["outcome"] == "stopped"
    assert process.returncode == 143


@pytest.mark.parametrize("args", [["--json"], []])
def test_a_reader_who_leaves_ends_it_quietly(args: list[str]) -> None:
    with start("chat", "lab.yaml", "-b", "slow", *args, "word " * 1000) as process:
        assert process.stdout is not None and process.stderr is not None
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(timeout=60)
    assert (errors, process.returncode) == (b"", 141)


def test_serve_opens_the_page_until_it_is_interrupted() -> None:
    with start("serve", "lab.yaml", "--port", "0") as process:
        assert process.stderr is not None
        log = b""
        while (found := re.search(rb"http://127\.0\.0\.1:\d+", log)) is None:
            log += os.read(process.stderr.fileno(), 4096) or pytest.fail(log.decode())
        with urllib.request.urlopen(found[0].decode(), timeout=20) as reply:
            assert reply.status == 200 and b"gradio" in reply.read()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == (b"", 0)


def test_serve_says_that_it_starts_and_then_in_one_line_where_the_page_is(folder: Path) -> None:
    (folder / "titled.yaml").write_text("backends: {a: {kind: echo}}\nui: {title: Our lab}\nstorage: none\n")
    with start("serve", "titled.yaml", "--port", "0") as process:
        assert process.stderr is not None
        lines = [process.stderr.readline().decode() for _ in range(2)]
        address = lines[1].removeprefix("Our lab: ").strip()
        with urllib.request.urlopen(address, timeout=20) as reply:
            assert reply.status == 200
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=20)
    assert lines[0] == "Our lab: starting …\n" and re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    assert rest == b""


def test_serve_says_where_a_run_is_shown_and_what_is_wrong_with_one(folder: Path) -> None:
    config = "backends: {a: {kind: echo}, b: {kind: echo}}\nstorage: {url: 'sqlite:kept.db', files: files}\n"
    (folder / "kept.yaml").write_text(config)
    (folder / "none.yaml").write_text(config.split("storage")[0] + "storage: none\n")
    (folder / "p.txt").write_text("hello\n")
    lanes = ("--lanes", "a,b", "--prompts", "p.txt", "--out", "run")
    assert run("compare", "kept.yaml", *lanes).exit_code == 0
    with start("serve", "kept.yaml", "--port", "0", "--run", "run") as process:
        assert process.stderr is not None
        lines = [process.stderr.readline().decode() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert re.fullmatch(r"the run: http://127\.0\.0\.1:\d+/compare\?run=[\w-]{20,}\n", lines[2]), lines
    assert "nowhere is not the folder of a run" in run("serve", "kept.yaml", "--run", "nowhere").stderr
    refused = run("serve", "none.yaml", "--run", "run")
    assert refused.exit_code == 2 and "without storage" in refused.stderr


def test_a_port_that_is_taken_is_one_sentence_and_1() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        start("serve", "lab.yaml", "--port", str(port := taken.getsockname()[1])) as process,
    ):
        _, errors = process.communicate(timeout=60)
    said = (
        f"chatlab: port {port} of 127.0.0.1 is taken: end what listens there, or give another --port (0: any)"
    )
    assert (errors.decode(), process.returncode) == (f"{said}\n", 1)


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_a_host_that_is_elsewhere_is_one_sentence_and_1(host: str) -> None:
    with start("serve", "lab.yaml", "--host", host) as process:
        _, errors = process.communicate(timeout=60)
    said = (
        f"chatlab: {host} is no address of this machine: give one of its own with --host, or 0.0.0.0 for all"
    )
    assert (errors.decode(), process.returncode) == (f"{said}\n", 1)


def test_a_closed_standard_output_is_no_mistake_of_chatlab() -> None:
    command = f"{shlex.quote(sys.executable)} -m chatlab chat echo: hi >&-"
    done = subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert (done.stderr, done.returncode) == (b"", 0)


def test_a_prompt_of_an_output_that_cannot_show_it_is_shown_as_far_as_possible() -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    with start("chat", "echo:", "grüße", env=env) as process:
        out, errors = process.communicate(timeout=60)
    assert (out, errors, process.returncode) == (b"gr??e\n", b"", 0)
