"""`chatlab compare`: what it says, writes and leaves with, also when it is killed."""

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chatlab.cli import main
from chatlab.cli.compare_output import money
from chatlab.compare.batch.checks import function_of
from tests.compare.batch.upstream import Upstream
from tests.servers.front import Front

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """\
storage: none
backends:
  a: {kind: echo}
  b: {kind: echo, label: B, parameters: {max_tokens: 4}, prices: {input: 0, output: 250000}}
  broken: {kind: echo, fail: {after: 1, error: invalid_request}}
  absent: {kind: openai, model: m, api_key: {env: CHATLAB_TEST_ABSENT}}
compare:
  lanes: [a, {backend: a, label: hot, parameters: {max_tokens: 1}}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "lab.yaml").write_text(CONFIG)
    (tmp_path / "p.txt").write_text("one two three four\nfive six seven eight\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str, given: str = "") -> Result:
    return CliRunner().invoke(main, ("compare", *args), input=given, prog_name="chatlab")


def asked(*more: str) -> Result:
    return run("lab.yaml", "--prompts", "p.txt", "--out", "run", *more)


def lines(path: str = "run/results.jsonl") -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def summary(*more: str) -> tuple[int, Any]:
    done = asked("--json", *more)
    return done.exit_code, json.loads(done.stdout)


def test_lanes_of_the_configuration_are_compared_and_a_table_is_shown() -> None:
    done = asked("--seed", "7", "--check", "contains:two")
    assert done.exit_code == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0][:4] == ["lane", "answers", "failed", "checks"]
    assert rows[1][:5] == ["a", "2", "0", "50%", "(9%-91%)"] and rows[2][:4] == ["hot", "2", "0", "0%"]
    assert "not distinguishable" in done.stdout and "results: run/results.jsonl" in done.stdout
    assert "seed 7" in done.stderr and "a: 2 of 2\n" in done.stderr
    plan = json.loads(Path("run/run.json").read_text())
    assert plan["seed"] == 7 and plan["title"] == "a and hot on p.txt"
    assert "<h1>a and hot on p.txt</h1>" in Path("run/report.html").read_text()
    assert len(lines()) == 4
    modes = {path.name: path.stat().st_mode for path in Path("run").iterdir()}
    assert modes["report.html"] == modes["results.jsonl"]


@pytest.mark.parametrize(
    ("lanes", "labels"),
    [
        ("b,a", ["B", "a"]),
        ("a@hot,a", ["hot", "a"]),
        ("hot,echo:", ["hot", "echo:"]),
        ("a,a", ["a", "a (2)"]),
    ],
)
def test_lanes_are_backends_addresses_and_labels(lanes: str, labels: list[str]) -> None:
    code, found = summary("--lanes", lanes)
    assert code == 0
    assert [lane["lane"]["label"] for lane in found["lanes"]] == labels
    assert [lane["tokens_out"] for lane in found["lanes"]] == [2 if "hot" in name else 8 for name in labels]


def test_addresses_need_no_configuration() -> None:
    done = run("--lanes", "echo:", "--prompts", "-", "--out", "run", given="hello\n")
    assert done.exit_code == 0, done.stderr
    assert "using" not in done.stderr
    assert run("--resume", "run").exit_code == 0


def test_the_summary_as_json_has_the_numbers() -> None:
    code, found = summary("--lanes", "b", "--repeats", "3")
    (lane,) = found["lanes"]
    assert code == 0 and found["complete"] and found["left"] == 0
    assert (lane["answers"], lane["failed"], lane["cost"], lane["tokens_out"]) == (6, 0, 6.0, 24)
    assert lane["total"]["median"] > 0 and found["spent"] == 6


def test_a_failed_answer_is_said_and_kept() -> None:
    done = asked("--lanes", "a,broken")
    assert done.exit_code == 1
    assert "2 answers failed. The first: " in done.stderr and "--resume run --retry-failed" in done.stderr
    assert sorted(line["turn"]["status"] for line in lines()) == ["failed"] * 2 + ["finished"] * 2


def test_the_budget_ends_a_run_with_a_code_of_its_own() -> None:
    done = asked("--lanes", "a,b", "--budget", "1.5", "--concurrency", "1")
    assert done.exit_code == 5
    assert "outside the budget, for want of prices: a" in done.stderr
    assert (
        "the budget of 1.5 has no room for another call: 1.0000 are spent, and the next call of the lane B "
        "may cost 1.0000; chatlab compare --resume run --budget X goes on\n" in done.stderr
    )
    assert done.stdout.splitlines()[1].split()[:2] == ["a", "2"], "what costs nothing is asked all the same"
    again = run("--resume", "run")
    assert again.exit_code == 5 and len(lines()) == 3, "going on is no reason to spend more"
    done = run("--resume", "run", "--budget", "2")
    assert done.exit_code == 0 and len(lines()) == 4
    assert json.loads(Path("run/run.json").read_text())["budget"] == 2


async def test_going_on_keeps_the_limits_unless_they_are_named_anew(upstream: Upstream) -> None:
    model = f'{{kind: openai, base_url: "{upstream.front.url}/v1", model: m1}}'
    Path("lab.yaml").write_text(f"storage: none\nbackends:\n  m1: {model}\n")
    Path("p.txt").write_text("".join(f"prompt {n}\n" for n in range(6)))
    limits = ("--concurrency", "3", "--lane-concurrency", "m1=2", "--rpm", "m1=6000")
    upstream.fails = lambda body: True
    await asyncio.to_thread(asked, "--lanes", "m1", *limits)
    upstream.fails, upstream.seconds = lambda body: False, 0.1
    done = await asyncio.to_thread(run, "--resume", "run", "--retry-failed", "--rpm", "m1=9000")
    assert done.exit_code == 0 and upstream.at_once["m1"] == 2
    plan = json.loads(Path("run/run.json").read_text())
    assert [plan[name] for name in ("concurrency", "lane_concurrency", "rpm")] == [3, ["m1=2"], ["m1=9000"]]


def test_a_budget_can_be_lifted() -> None:
    assert asked("--lanes", "a,b", "--budget", "0").exit_code == 5
    assert run("--resume", "run", "--budget", "inf").exit_code == 0 and len(lines()) == 4


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--retry-failed"], "name it with --resume"),
        (["--lane-concurrency", "a=1.5"], "it is a whole number of calls"),
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(args: list[str], said: str) -> None:
    done = asked(*args)
    assert done.exit_code == 2 and said in done.stderr and not Path("run").exists()


def test_a_budget_that_holds_for_nothing_or_by_a_guess_is_said() -> None:
    done = asked("--lanes", "a", "--budget", "1")
    assert done.exit_code == 2 and "no lane has prices" in done.stderr
    Path("lab.yaml").write_text(CONFIG.replace("parameters: {max_tokens: 4}, ", ""))
    assert "or as 4096 tokens before the first: B" in asked("--lanes", "b", "--budget", "1").stderr


@pytest.mark.parametrize(
    ("args", "code", "word"),
    [
        (["--lanes", "nobody"], 2, "nobody"),
        (["--lanes", "absent"], 4, "set CHATLAB_TEST_ABSENT"),
        (["--judge", "nobody"], 2, "nobody"),
        (["--check", "regx:a"], 2, "did you mean regex?"),
        (["--check", "exact"], 2, "no prompt has one"),
        (["--rpm", "x=3"], 2, "there is no lane 'x'"),
        (["--rpm", "a=fast"], 2, "LANE=NUMBER"),
        (["--lanes", ",".join("a" * 9)], 2, "at most 8"),
        (["--resume", "run"], 2, "--out cannot be given"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_asked(args: list[str], code: int, word: str) -> None:
    done = asked(*args)
    assert (done.exit_code, done.stdout) == (code, "") and word in done.stderr
    assert not Path("run").exists()


def test_small_money_is_said_with_enough_digits() -> None:
    assert [money(amount) for amount in (0, 12.5, 0.0123, 0.000012, 0.0000996)] == [
        *("0.0000", "12.5000", "0.0123", "0.000012", "0.000100"),
    ]
    Path("lab.yaml").write_text(CONFIG.replace("output: 250000", "output: 0.25"))
    done = asked("--lanes", "b")
    assert "B: 2 of 2, cost 0.0000020, about 0.0000020 in all" in done.stderr
    assert done.stdout.splitlines()[1].split()[-1] == "0.0000020"


def test_mistakes_of_the_prompts_are_said_with_their_lines() -> None:
    Path("p.txt").rename("p.jsonl")
    Path("p.jsonl").write_text("nonsense\n{}\n")
    done = run("lab.yaml", "--prompts", "p.jsonl", "--out", "run")
    assert done.exit_code == 1
    assert [line.split(": ")[:2] for line in done.stderr.splitlines()] == [
        ["chatlab", "p.jsonl:1"],
        ["chatlab", "p.jsonl:2"],
    ]


def test_parameters_that_a_lane_would_fail_at_are_said_before_anything_is_asked() -> None:
    prompt = '{"prompt": "x", "parameters": {"max_tokens": -4, "max_token": 3}}\n'
    done = run("lab.yaml", "--prompts", "-", "--out", "run", given=prompt)
    assert done.exit_code == 1 and not Path("run").exists()
    assert done.stderr.splitlines() == [
        "chatlab: standard input:1: the parameter max_tokens should be at least 1 (lane a, hot)",
        "chatlab: standard input:1: unknown parameter 'max_token', did you mean max_tokens?",
    ]


def test_a_folder_with_a_run_is_left_alone() -> None:
    asked()
    before = Path("run/run.json").read_bytes()
    done = asked()
    assert done.exit_code == 2 and "--resume run goes on with it" in done.stderr
    assert Path("run/run.json").read_bytes() == before


def test_a_folder_without_a_run_cannot_be_resumed() -> None:
    done = run("--resume", "nowhere")
    assert done.exit_code == 1 and "nowhere is not the folder of a run" in done.stderr


def test_a_report_imports_nothing_that_a_run_names(folder: Path) -> None:
    (folder / "mine.py").write_text("open('imported', 'a').close()\ndef good(answer, item): return True\n")
    assert asked("--check", "python:mine.py:good").exit_code == 0
    (folder / "imported").unlink()
    function_of.cache_clear()
    written = CliRunner().invoke(main, ["report", "run", "--format", "jsonl"])
    assert written.exit_code == 0 and "python mine.py:good" in written.stdout
    assert not (folder / "imported").exists()
    (folder / "mine.py").unlink()
    assert CliRunner().invoke(main, ["report", "run", "--format", "jsonl"]).stdout == written.stdout
    refused = run("--resume", "run")
    assert refused.exit_code == 2 and "mine.py:good cannot be imported" in refused.stderr


def test_a_report_is_made_of_a_run_that_goes_on_and_changes_nothing() -> None:
    assert asked().exit_code == 0
    with Path("run/results.jsonl").open("a") as out:
        out.write('{"version":1,"it')  # as it is while a line is being written
    Path("run/verdicts.jsonl").unlink()
    before = {path.name: path.read_bytes() for path in Path("run").iterdir()}
    with Path("run/results.jsonl").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as the process that goes on with it has it
        written = CliRunner().invoke(main, ["report", "run", "--format", "jsonl"])
    assert written.exit_code == 0 and written.stdout.count('{"type":"result"') == 4
    assert {path.name: path.read_bytes() for path in Path("run").iterdir()} == before


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("run.json", "[]", "run.json cannot be used: it is not a JSON object"),
        ("run.json", '{"version": 1}', "run.json cannot be used: 'title' is missing"),
        ("ledger.jsonl", '{"call": "x"}\n', "ledger.jsonl:1: this line says of no call what it cost"),
        ("ledger.jsonl", '{"call": "x", "aside": NaN}\n', "ledger.jsonl:1: this line says of no call"),
        ("ledger.jsonl", '{"call": "x", "cost": -1}\n', "ledger.jsonl:1: this line says of no call"),
        ("results.jsonl", None, "results.jsonl:1: run.json has no prompt '99'"),
    ],
)
def test_a_damaged_folder_is_said_with_file_and_line(file: str, content: str | None, said: str) -> None:
    assert asked().exit_code == 0
    path = Path("run") / file
    if content is None:
        first, rest = path.read_text().split("\n", 1)
        content = json.dumps({**json.loads(first), "item": "99"}) + "\n" + rest
    path.write_text(content)
    done = run("--resume", "run")
    assert done.exit_code == 1 and said in done.stderr, done.stderr


def test_another_run_is_refused_in_its_folder() -> None:
    asked("--seed", "1")
    Path("lab.yaml").write_text(CONFIG.replace("a: {kind: echo}", "a: {kind: echo, reply: x}"))
    Path("q.txt").write_text("other\n")
    done = run("lab.yaml", "--resume", "run", "--prompts", "q.txt", "--seed", "2")
    assert done.exit_code == 1
    for word in ("the settings of a have changed", "the prompts are others", "seed was 1 and is 2"):
        assert word in done.stderr
    assert len(lines()) == 4


def test_a_judge_decides_and_is_counted() -> None:
    config = CONFIG.replace(
        "  broken:",
        '  judge: {kind: echo, reply: \'{"winner": "first"}\', prices: {input: 0, output: 1000}}\n  broken:',
    )
    Path("lab.yaml").write_text(config + "  criteria: [tone]\n")
    done = asked("--judge", "judge")
    assert done.exit_code == 0, done.stderr
    assert "judged: 2 of 2, cost 0.0080, about 0.0080 in all\n" in done.stderr
    assert "judge, tone: a 0, hot 0, tie 0, flip 2, unclear 0" in done.stdout
    assert "judge judge: 2 verdicts, cost 0.0080\n" in done.stdout
    assert "spent: 0.0080 (answers 0.0000, judge 0.0080), which counts every call of this run" in done.stdout
    assert "<dt>Judge judge</dt><dd>2 verdicts, cost 0.008</dd>" in Path("run/report.html").read_text()
    kept = json.loads(Path("run/summary.json").read_text())
    assert kept["spent_on"] == {"answers": 0.0, "judge": 0.008} and "the judge's too" in kept["spent_counts"]
    assert kept["judges"] == [{"name": "judge", "verdicts": 2, "unclear": 0, "priced": 2, "cost": 0.008}]
    assert [line["winner"] for line in lines("run/verdicts.jsonl")] == ["flip", "flip"]
    ledger = lines("run/ledger.jsonl")
    assert sum("cost" in line for line in ledger) == 4


def test_a_judge_that_cannot_be_read_stops_the_judging_with_a_sentence_and_a_code() -> None:
    judge = "  judge: {kind: echo, reply: no idea}\n  broken:"
    Path("lab.yaml").write_text(CONFIG.replace("  broken:", judge))
    Path("p.txt").write_text("".join(f"prompt {n}\n" for n in range(12)))
    done = asked("--judge", "judge", "--concurrency", "1", "--json")
    assert done.exit_code == 6
    assert (
        "the judge was stopped, since 10 of its replies in a row said no preference: 7 verdicts less. "
        "The last one: the reply cannot be read as a verdict: 'no idea'; "
        "chatlab compare --resume run --retry-failed asks again"
    ) in done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads(Path("run/summary.json").read_text())
    assert (found["complete"], found["left"], found["verdicts_left"]) == (False, 0, 7)
    assert len(lines("run/verdicts.jsonl")) == 5
    again = run("lab.yaml", "--resume", "run", "--retry-failed", "--concurrency", "1")
    assert again.exit_code == 6 and len(lines("run/verdicts.jsonl")) == 10


def test_the_judge_is_as_far_as_there_are_answers_to_judge() -> None:
    judge = '  judge: {kind: echo, reply: \'{"winner": "first"}\'}\n  broken:'
    Path("lab.yaml").write_text(CONFIG.replace("  broken:", judge))
    done = asked("--lanes", "a,b,broken", "--judge", "judge")
    assert "judged: 2 of 2\n" in done.stderr, "of six pairs, four have no answer of the lane that is broken"


def test_the_sample_of_the_documentation_runs_without_a_key(folder: Path) -> None:
    shutil.copytree(ROOT / "configs", folder / "configs", ignore=shutil.ignore_patterns(".chatlab"))
    documented = re.findall("^chatlab compare (.*)$", (ROOT / "docs/results-format.md").read_text(), re.M)
    assert len(documented) == 2
    for command in documented:
        done = run(*command.split())
        assert done.exit_code == 0, done.stderr
    assert len(lines()) == 3 * 6
    assert "Quick echo (no model)" in done.stdout and "five words" in done.stdout
    checked = [line for line in lines() if line["turn"]["backend"] == "samples" and "checks" in line]
    passed = {line["item"] for line in checked if all(check["passed"] for check in line["checks"])}
    assert passed == {"page", "merge", "bloom", "transport"}
    assert (folder / "configs/.chatlab/chatlab.db").is_file(), "the store has it too"


# -- ends that nobody wished for


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Front() as front:
        yield Upstream(front)


def start(*args: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "chatlab", "compare", *args],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_full_disk_is_said_with_what_to_do_next(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "results.jsonl":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    done = asked()
    said = "run/results.jsonl: No space left on device, make room: chatlab compare --resume run goes on"
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (1, f"chatlab: {said}")
    monkeypatch.setattr(os, "fsync", real)
    assert run("--resume", "run").exit_code == 0
    assert len(lines()) == 4


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_a_run_goes_on_however_it_was_ended(upstream: Upstream, how: signal.Signals) -> None:
    prices = "parameters: {max_tokens: 5}, prices: {input: 0, output: 200000}"
    Path("lab.yaml").write_text(
        "storage: none\nbackends:\n"
        + "".join(
            f'  {name}: {{kind: openai, base_url: "{upstream.front.url}/v1", model: {name}, {prices}}}\n'
            for name in ("m1", "m2")
        )
    )
    Path("p.txt").write_text("".join(f"prompt {n}\n" for n in range(10)))
    upstream.hold_after = 12
    upstream.reason = "length"  # it heeds max_tokens, so that its calls run beside each other
    args = ("lab.yaml", "--lanes", "m1,m2", "--prompts", "p.txt", "--out", "run", "--budget", "23")
    with start(*args, "--concurrency", "2") as process:
        await upstream.front.wait_for(14, timeout=60)  # two of them are never answered
        await upstream.until_written(Path("run/results.jsonl"), 12)
        process.send_signal(how)
        assert process.stderr is not None
        said = process.stderr.read().decode()
        code = process.wait(timeout=20)
    if how == signal.SIGINT:
        assert code == 130 and "interrupted: chatlab compare --resume run goes on" in said
    kept = lines()
    assert len(kept) == 12
    with Path("run/results.jsonl").open("a") as file:
        file.write('{"version":1,"item":"3"')  # as if killed within a line
    first = upstream.asked
    upstream.front.requests.clear()
    upstream.hold_after = None
    done = await asyncio.to_thread(run, "--resume", "run", "--budget", "23")
    assert done.exit_code == 0, done.stderr
    assert len(upstream.asked) == 8 and lines()[:12] == kept and len(lines()) == 20
    answered = {(line["item"], line["lane"]) for line in lines()}
    assert len(answered) == 20
    twice = set(first) & set(upstream.asked)
    assert twice == set(first[12:14]), "only what had no answer is asked again"
    spent = {line["call"]: line.get("cost", line.get("aside")) for line in lines("run/ledger.jsonl")}
    assert sum(spent.values()) == 22, "the two calls that were killed count"


def test_bars_leave_a_narrow_terminal_room_for_what_it_shows_of_ctrl_c() -> None:
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, 60))
    Path("lab.yaml").write_text(CONFIG.replace("label: B", "label: a lane with a rather long name"))
    # Who runs the tests may have said how wide a terminal is: this one knows.
    given = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    env = {**given, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    command = ["-m", "chatlab", "compare", "lab.yaml", "--lanes", "a,b", "--prompts", "p.txt", "--out", "run"]
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=its, env=env
    ) as process:
        os.close(its)
        shown = b""
        with contextlib.suppress(OSError):  # how Linux says that the other end is closed
            while piece := os.read(ours, 65536):
                shown += piece
    os.close(ours)
    assert process.returncode == 0, shown
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n").splitlines()
    bars = [line for line in drawn if "━" in line or "cost" in line]
    assert bars and max(map(len, bars)) + len("^C") <= 60, shown


def test_nothing_heavy_is_imported_for_help() -> None:
    code = (
        "import sys\nfrom chatlab.cli import main\n"
        "try: main(['compare', '--help'])\nexcept SystemExit: pass\n"
        "heavy = 'numpy', 'gradio', 'sqlalchemy', 'rich', 'openai', 'pydantic'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "[]" and "--resume DIR" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--engine", "spark"], "--engine spark: it is local, ray or ray://HOST:PORT"),
        (["--engine", "ray://"], "--engine ray://: it is local, ray or ray://HOST:PORT"),
        (["--engine", "ray://head"], "--engine ray://head: it is local, ray or ray://HOST:PORT"),
        (["--workers", "2"], "--workers are those of --engine ray"),
    ],
)
def test_an_engine_that_there_is_not_is_refused(args: list[str], said: str) -> None:
    done = asked("--lanes", "a", *args)
    assert done.exit_code == 2 and said in done.stderr
    assert not Path("run").exists()


def test_an_engine_that_is_not_installed_is_said_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = asked("--lanes", "a", "--engine", "ray")
    assert done.exit_code == 4
    assert done.stderr.startswith("chatlab: --engine ray needs ray: pip install") and "[ray]" in done.stderr
    assert not Path("run").exists()
