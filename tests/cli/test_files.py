"""`chatlab init`, `schema` and `record`: what they write, and what they leave alone."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from chatlab.cli import main
from chatlab.cli.files import STARTER
from chatlab.config.load import load_config
from chatlab.messages import Finish, TextDelta
from chatlab.recording.format import Recording

CONFIG = """\
backends:
  plain: {kind: echo, label: Plain, parameters: {max_tokens: 9}}
  broken: {kind: echo, fail: {after: 1, error: invalid_request}}
  absent: {kind: openai, model: m, api_key: {env: CHATLAB_TEST_ABSENT}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "lab.yaml").write_text(CONFIG)
    (tmp_path / "prompts.txt").write_text("one\n\ntwo words\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str, input: str = "") -> Result:
    return CliRunner().invoke(main, args, input=input, prog_name="chatlab")


def test_a_new_configuration_runs_as_it_is(folder: Path) -> None:
    done = run("init")
    assert done.exit_code == 0 and done.stdout == ""
    assert "chatlab.yaml" in done.stderr and "chatlab check" in done.stderr
    assert run("chat", "hello").stdout == "hello\n"
    assert run("check").exit_code == 0


def test_a_new_configuration_names_the_schema_beside_it(folder: Path) -> None:
    run("init", "sub.yml")
    first = (folder / "sub.yml").read_text().splitlines()[0]
    named = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert named is not None
    schema = json.loads((folder / named[1]).read_text())
    jsonschema.validate(yaml.safe_load((folder / "sub.yml").read_text()), schema)


def test_what_is_commented_out_in_a_new_configuration_is_right_too(folder: Path) -> None:
    text = STARTER.read_text("utf-8")
    _, rest = text.split("\ndefault:")
    lines = [
        line.replace("# ", "", 1) if re.match(r" *# +[\w-]+:( |$)", line) and not is_prose(line) else line
        for line in f"default:{rest}".splitlines()
    ]
    (folder / "all.yaml").write_text("\n".join(lines))
    config = load_config(folder / "all.yaml")
    assert set(config.backends) == {"echo", "gpt", "local", "qwen", "chain", "llama"}
    assert config.backends["gpt"].prices is not None and config.ui.presets and config.server.port == 7860


def is_prose(line: str) -> bool:
    return bool(re.match(r" *# [A-Z]", line))


def test_a_file_that_is_there_is_left_alone(folder: Path) -> None:
    done = run("init", "lab.yaml")
    assert done.exit_code == 2
    assert (folder / "lab.yaml").read_text() == CONFIG
    assert not (folder / "chatlab.schema.json").exists()
    assert run("init", "lab.yaml", "--force").exit_code == 0
    databricks = "pip install -e '.[databricks]' in the folder of chatlab's checkout"
    wanted = STARTER.read_text().replace("pip install 'chatlab-workbench[databricks]'", databricks)
    assert (folder / "lab.yaml").read_text() == wanted


def test_a_folder_gets_a_configuration_in_it(folder: Path) -> None:
    (folder / "new").mkdir()
    assert run("init", "new").exit_code == 0
    assert load_config(folder / "new/chatlab.yaml")


def test_a_folder_that_is_missing_is_said() -> None:
    done = run("init", "no/such/chatlab.yaml")
    assert done.exit_code == 1
    assert done.stderr == "chatlab: no/such/chatlab.yaml: No such file or directory\n"


def test_the_schema_goes_to_standard_output_or_a_file(folder: Path) -> None:
    printed = run("schema")
    assert printed.exit_code == 0 and printed.stderr == ""
    assert run("schema", "-o", "s.json").stdout == ""
    assert (folder / "s.json").read_text() == printed.stdout
    jsonschema.Draft202012Validator.check_schema(json.loads(printed.stdout))


def test_a_recording_has_what_was_sent_and_what_came(folder: Path) -> None:
    done = run(
        *("record", "lab.yaml", "-b", "plain", "--prompts", "prompts.txt", "-o", "out.jsonl"),
        *("--system", "be brief", "-p", "rate=1000"),
    )
    assert (done.exit_code, done.stdout) == (0, "")
    assert re.sub(r"\d\.\d\d s", "TIME", done.stderr) == (
        "plain: 1 of 2: TIME\nplain: 2 of 2: TIME\nwrote out.jsonl\n"
    )
    recording = Recording.load(folder / "out.jsonl")
    assert (recording.header.kind, recording.header.label) == ("echo", "Plain")
    assert [exchange.asked for exchange in recording.exchanges] == ["one", "two words"]
    second = recording.exchanges[1]
    assert [(m.role, m.text) for m in second.messages] == [("system", "be brief"), ("user", "two words")]
    assert second.parameters == {"max_tokens": 9, "rate": 1000}
    events = [timed.event for timed in second.events if not hasattr(timed.event, "kind")]
    assert events[:2] == [TextDelta("two"), TextDelta(" words")] and isinstance(events[2], Finish)
    assert second.timing is not None and second.timing.total is not None


def test_a_recording_plays() -> None:
    run("record", "lab.yaml", "-b", "plain", "--prompts", "prompts.txt", "-o", "out.jsonl")
    done = run("chat", "replay:out.jsonl", "two words")
    assert (done.stdout, done.exit_code) == ("two words\n", 0)


def test_several_backends_are_recorded_into_a_folder(folder: Path) -> None:
    done = run("record", "lab.yaml", "plain", "echo:", "--prompts", "prompts.txt", "-o", "new/out")
    assert done.exit_code == 0
    assert sorted(path.name for path in (folder / "new/out").iterdir()) == ["echo.jsonl", "plain.jsonl"]


def test_addresses_are_recorded_without_a_configuration(folder: Path) -> None:
    assert run("record", "echo:", "--prompts", "prompts.txt", "-o", "out.jsonl").exit_code == 0
    assert Recording.load(folder / "out.jsonl").header.label is None


def test_a_failed_answer_is_recorded_and_the_exit_code_says_so(folder: Path) -> None:
    done = run("record", "lab.yaml", "broken", "plain", "--prompts", "prompts.txt", "-o", "out")
    assert done.exit_code == 1
    assert "broken: 2 of 2: echo was told to fail\n" in done.stderr
    failed = Recording.load(folder / "out/broken.jsonl").exchanges
    assert [exchange.failure.error for exchange in failed if exchange.failure] == ["InvalidRequest"] * 2
    assert len(Recording.load(folder / "out/plain.jsonl").exchanges) == 2, (
        "the others are recorded all the same"
    )


def test_a_backend_that_is_not_ready_leaves_no_file(folder: Path) -> None:
    done = run("record", "lab.yaml", "absent", "--prompts", "prompts.txt", "-o", "out.jsonl")
    assert done.exit_code == 4
    assert done.stderr == "chatlab: absent is not ready: set CHATLAB_TEST_ABSENT\n"
    assert not (folder / "out.jsonl").exists()


def test_a_recording_that_is_there_is_left_alone(folder: Path) -> None:
    (folder / "out.jsonl").write_text("mine")
    args = ["record", "echo:", "--prompts", "prompts.txt", "-o", "out.jsonl"]
    done = run(*args)
    assert (done.exit_code, (folder / "out.jsonl").read_text()) == (2, "mine")
    assert run(*args, "--force").exit_code == 0
    assert Recording.load(folder / "out.jsonl")


def test_prompts_may_come_from_standard_input(folder: Path) -> None:
    assert run("record", "echo:", "--prompts", "-", "-o", "out.jsonl", input="from a pipe\n").exit_code == 0
    assert Recording.load(folder / "out.jsonl").exchanges[0].asked == "from a pipe"


def test_prompts_as_json_lines_may_be_whole_conversations(folder: Path) -> None:
    lines = [
        "a\nb",
        {"prompt": "c", "system": "s", "parameters": {"max_tokens": 1}},
        {
            "messages": [
                {"role": "user", "content": "d"},
                {"role": "assistant", "content": "e"},
                {"role": "user", "content": "f"},
            ]
        },
    ]
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert run("record", "echo:", "--prompts", "p.jsonl", "-o", "out.jsonl").exit_code == 0
    first, second, third = Recording.load(folder / "out.jsonl").exchanges
    assert first.asked == "a\nb"
    assert (second.messages[0].text, dict(second.parameters)) == ("s", {"max_tokens": 1})
    assert [message.text for message in third.messages] == ["d", "e", "f"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON"),
        ("[]", "either prompt or messages"),
        ('{"prompt": "a", "messages": []}', "either prompt or messages"),
        ('{"prompt": "a", "sytem": "b"}', "sytem"),
        ('{"prompt": 1}', "prompt is a text"),
        ('{"messages": {}}', "list of OpenAI messages"),
        ('{"prompt": "a", "parameters": 1}', "parameters is an object"),
        ('{"messages": [{"role": "nobody", "content": "a"}]}', "nobody"),
    ],
)
def test_a_wrong_prompt_is_said_with_its_line(folder: Path, line: str, said: str) -> None:
    (folder / "p.jsonl").write_text(f'"fine"\n{line}\n')
    done = run("record", "echo:", "--prompts", "p.jsonl", "-o", "out.jsonl")
    assert done.exit_code == 1
    assert done.stderr.startswith("chatlab: p.jsonl:2: ") and said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "out.jsonl").exists()


def test_what_was_sent_is_taken_from_the_turn_that_sent_it(folder: Path) -> None:
    lines = [{"prompt": ["one", "two"], "parameters": {"max_tokens": 1, "unknown": 3}}]
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert run("record", "echo:", "--prompts", "p.jsonl", "-s", "Be brief", "-o", "out.jsonl").exit_code == 0
    first, second = Recording.load(folder / "out.jsonl").exchanges
    assert dict(first.parameters) == {"max_tokens": 1}, "what the backend does not take was not sent"
    assert [message.text for message in first.messages] == ["Be brief", "one"]
    assert [message.text for message in second.messages] == ["Be brief", "one", "one", "two"]


def test_every_mistake_of_the_prompts_is_said_at_once(folder: Path) -> None:
    (folder / "p.jsonl").write_text('{\n"fine"\n[]\n')
    done = run("record", "echo:", "--prompts", "p.jsonl", "-o", "out.jsonl")
    assert [line.partition(": ")[2].partition(": ")[0] for line in done.stderr.splitlines()] == [
        *("p.jsonl:1", "p.jsonl:3")
    ]


def test_missing_prompts_are_said(folder: Path) -> None:
    (folder / "empty.txt").write_text("\n")
    assert run("record", "echo:", "--prompts", "empty.txt", "-o", "o").stderr.startswith(
        "chatlab: empty.txt has no"
    )
    assert (
        run("record", "echo:", "--prompts", "no.txt", "-o", "o").stderr
        == "chatlab: no.txt: No such file or directory\n"
    )
