"""`chatlab report`: a run's folder or a stored session as a file, and `chatlab compare` leaving one."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import chatlab
from chatlab.cli import main
from chatlab.compare.session.events import Opened
from chatlab.compare.session.session import ComparisonSession
from chatlab.conversations.storage import open_storage

CONFIG = """\
storage: {url: "sqlite:chats.db", files: files}
backends:
  a: {kind: echo}
  b: {kind: echo, label: B, parameters: {max_tokens: 2}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "lab.yaml").write_text(CONFIG)
    (tmp_path / "p.txt").write_text("one two three\nwrite to ann@example.org\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args, prog_name="chatlab")


@pytest.fixture
def ran() -> None:
    done = run("compare", "lab.yaml", "--lanes", "a,b", "--prompts", "p.txt", "--out", "run")
    assert done.exit_code == 0, done.stderr
    assert f"report: {Path('run') / 'report.html'}" in done.stdout


async def kept(owner: str, *, blind: bool = False) -> str:
    """A session in the store; its id."""
    async with chatlab.load(Path("lab.yaml")) as lab:
        assert lab.config is not None
        async with open_storage(lab.config.storage) as storage:
            assert storage is not None
            session = await ComparisonSession.create(
                lab.backends,
                ["a", "b"],
                owner=owner,
                opened=Opened(blind=blind),
                title="StorageService",
                store=storage.store,
            )
            await session.ask("is it kept")
            await session.settled()
            await session.aclose()
            return session.id


@pytest.mark.usefixtures("ran")
def test_a_run_leaves_a_report_and_the_command_writes_the_same_again() -> None:
    left = Path("run/report.html").read_text("utf-8")
    assert "<!DOCTYPE html>" in left and "one two three" in left and "ann@example.org" in left
    done = run("report", "run", "-o", "again.html")
    assert done.exit_code == 0 and "wrote again.html" in done.stderr and done.stdout == ""
    assert Path("again.html").read_text("utf-8") == left
    assert run("report", "run").stdout == left


def test_a_report_is_in_the_language_of_the_configuration_and_what_is_for_programs_in_english() -> None:
    Path("lab.yaml").write_text(f"ui: {{language: de}}\n{CONFIG}")
    assert run("compare", "lab.yaml", "--lanes", "a,b", "--prompts", "p.txt", "--out", "run").exit_code == 0
    left = Path("run/report.html").read_text("utf-8")
    assert '<html lang="de">' in left and "2 Spuren, 2 Prompts" in left and "How to read" not in left
    assert "<h1>a und B zu p.txt</h1>" in left
    assert run("report", "run").stdout == left
    session = asyncio.run(kept("nobody"))
    assert "## Spuren" in run("report", session, "lab.yaml", "--format", "markdown").stdout
    data = json.loads(run("report", "run", "--format", "jsonl").stdout.splitlines()[0])
    assert data["order"] == "interleaved"
    Path("lab.yaml").unlink()
    assert '<html lang="en">' in run("report", "run").stdout


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize("format", ["html", "markdown", "jsonl"])
def test_what_is_to_be_redacted_is_in_no_format(format: str) -> None:
    done = run("report", "run", "--format", format, "--redact", "email", "--redact", "(?i)TWO")
    assert done.exit_code == 0, done.stderr
    assert "ann@example.org" not in done.stdout and "one [redacted: pattern 1] three" in done.stdout
    assert "[redacted: email]" in done.stdout


@pytest.mark.usefixtures("ran")
def test_the_other_formats_are_what_they_are_called() -> None:
    assert run("report", "run", "--format", "markdown").stdout.startswith("# a and B on p.txt\n")
    lines = [json.loads(line) for line in run("report", "run", "--format", "jsonl").stdout.splitlines()]
    assert [line["type"] for line in lines] == ["comparison", *["result"] * 4]
    assert run("report", "run", "--format", "votes").stdout.startswith("model_a,model_b,winner,")


@pytest.mark.usefixtures("ran")
def test_a_lane_of_a_run_becomes_a_recording_that_replay_plays() -> None:
    done = run("report", "run", "--recording", "B", "-o", "b.jsonl")
    assert done.exit_code == 0, done.stderr
    done = run("chat", "replay:b.jsonl", "one two three")
    assert done.stdout == "one two\n" and "a lane of the comparison 'a and B on p.txt'" in done.stderr
    done = run("report", "run", "--recording", "C")
    assert done.exit_code == 2 and "There is no lane “C” in this comparison: it has a, B" in done.stderr


@pytest.mark.parametrize("owner", ["local", "somebody"])
def test_a_stored_session_is_reported_by_its_id(owner: str) -> None:
    id = asyncio.run(kept(owner))
    done = run("report", id, "lab.yaml")
    assert done.exit_code == 0, done.stderr
    assert (
        "<h1>StorageService</h1>" in done.stdout
        and "is it kept" in done.stdout
        and "own history" in done.stdout
    )


def test_parameters_of_prompts_are_not_taken_for_the_lanes_nor_for_a_change_of_settings() -> None:
    prompts = ["one two three", {"prompt": "four five six", "parameters": {"max_tokens": 1}}]
    Path("p.jsonl").write_text("".join(json.dumps(one) + "\n" for one in prompts))
    run("compare", "lab.yaml", "--lanes", "a,b", "--prompts", "p.jsonl", "--out", "run")
    stored = json.loads(Path("run/run.json").read_text("utf-8"))["comparison"]
    for of in (("run",), (stored, "lab.yaml")):
        made = run("report", *of, "--format", "markdown").stdout
        assert "| max\\_tokens = 2 (prompts set: max\\_tokens) |" in made, "of lane B"
        assert "| (prompts set: max\\_tokens) |" in made, "of lane a, which has none"
        assert "Settings were changed" not in made


def test_a_run_in_the_store_is_reported_with_all_its_prompts() -> None:
    run("compare", "lab.yaml", "--lanes", "a,b", "--prompts", "p.txt", "--out", "run")
    id = json.loads(Path("run/run.json").read_text())["comparison"]
    done = run("report", id, "lab.yaml")
    assert done.exit_code == 0, done.stderr
    assert "one two three" in done.stdout and "ann@example.org" in done.stdout
    assert "run of many prompts" in done.stdout and "Prompt 2" in done.stdout


def test_a_blind_session_is_refused_with_a_sentence() -> None:
    done = run("report", asyncio.run(kept("local", blind=True)), "lab.yaml")
    assert done.exit_code == 1 and "Reveal the names first" in done.stderr and done.stdout == ""


@pytest.mark.usefixtures("ran")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--redact", "("), "is not a regular expression"),
        (("--format", "pdf"), "'pdf' is not one of"),
        (("lab.yaml",), "it needs no configuration"),
        (("-o", "p.txt"), "p.txt is there already: --force replaces it"),
    ],
)
def test_a_wrong_command_line_is_said_and_writes_nothing(more: tuple[str, ...], said: str) -> None:
    before = Path("p.txt").read_text()
    done = run("report", "run", *more)
    assert done.exit_code == 2 and said in done.stderr and done.stdout == ""
    assert Path("p.txt").read_text() == before


def test_peoples_votes_on_a_run_are_held_against_its_judge() -> None:
    Path("judged.yaml").write_text(
        f"{CONFIG}  long: {{kind: echo, reply: 'Something else'}}\n"
        '  judge: {kind: echo, reply: \'{"winner": "first"}\'}\n'
    )
    asked = ("compare", "judged.yaml", "--lanes", "a,b,long", "--prompts", "p.txt", "--judge", "judge")
    done = run(*asked, "--out", "run")
    assert done.exit_code == 0, done.stderr
    assert "the judge's agreement with people: chatlab report run --votes FILE" in done.stdout
    rows = run("report", "run", "--format", "votes").stdout.splitlines()
    assert len(rows) == 7 and all(",tie," in row for row in rows[1:]), "the judge flips with the order"
    rows[1:] = [row.replace(",judge,", ",vote,").replace(",judge,", ",ann,") for row in rows[1:]]
    voted = [*rows[:1], *(row.replace(",tie,", ",model_a,") for row in rows[1:3]), *rows[3:]]
    Path("ours.csv").write_text("\n".join(voted) + "\n", "utf-8")
    done = run("report", "run", "--votes", "ours.csv", "-o", "report.html")
    assert done.exit_code == 0, done.stderr
    assert "Votes and judge agree on 67% of 6 comparisons of 2 prompts" in done.stderr
    written = Path("report.html").read_text("utf-8")
    assert (
        "Votes and judge agree on 67%" in written and "(a, B): a" in written and "(B, long): a tie" in written
    )
    for given, said in (
        ("long", "no lane 'short'; it has"),
        ("overall", "no criterion 'short'; it has overall"),
    ):
        Path("ours.csv").write_text("\n".join(voted).replace(given, "short"), "utf-8")
        done = run("report", "run", "--votes", "ours.csv")
        assert done.exit_code == 1 and said in done.stderr, done.stderr
    done = run("report", "nothing", "--votes", "ours.csv")
    assert done.exit_code == 2 and "a session has its votes already" in done.stderr


def test_what_is_no_comparison_is_said() -> None:
    done = run("report", "nothing", "lab.yaml")
    assert done.exit_code == 1
    assert done.stderr.startswith("chatlab: nothing is neither the folder of a run nor"), done.stderr
    Path("empty").mkdir()
    done = run("report", "empty")
    assert done.exit_code == 1 and "empty is not the folder of a run" in done.stderr
