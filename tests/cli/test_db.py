"""`chatlab export`, `import` and `db`, as a shell sees them."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chatlab.cli import main
from chatlab.cli.program import CONFIG, FAILED, OK, USAGE
from chatlab.config.load import load_config
from chatlab.conversations.storage import open_storage

MESSAGES = [{"role": "user", "content": "grüße \x1b[31m"}, {"role": "assistant", "content": "hello"}]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "lab.yaml").write_text("backends: {a: {kind: echo}}\nstorage: {keep_days: 30}\n")
    (tmp_path / "none.yaml").write_text("backends: {a: {kind: echo}}\nstorage: none\n")
    (tmp_path / "chat.json").write_text(json.dumps(MESSAGES))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str, input: str | bytes = "") -> Result:
    return CliRunner().invoke(main, args, input=input, prog_name="chatlab")


def imported(owner: str = "ann") -> None:
    done = run("import", "lab.yaml", "chat.json", "--owner", owner)
    assert (done.exit_code, done.stderr) == (OK, "imported 1 conversation with 1 turn\n")


def test_what_is_exported_can_be_imported_elsewhere(folder: Path) -> None:
    imported()
    assert run("export", "lab.yaml", "-o", "out.jsonl").stderr == "wrote out.jsonl\n"
    written = Path("out.jsonl").read_bytes()
    (folder / "other").mkdir()
    (folder / "other/lab.yaml").write_text("backends: {a: {kind: echo}}\n")
    assert run("import", "other/lab.yaml", "-", "--owner", "ann", input=written).exit_code == OK
    assert run("export", "other/lab.yaml").stdout_bytes == written
    assert (folder / "other/.chatlab/chatlab.db").is_file()


def test_a_dash_is_standard_output_wherever_something_is_written(folder: Path) -> None:
    imported()
    assert run("export", "lab.yaml", "-o", "-").stdout == run("export", "lab.yaml").stdout != ""
    assert run("schema", "-o", "-").stdout == run("schema").stdout
    assert "backends:" in run("init", "-").stdout
    (folder / "prompts.txt").write_text("hello\n")
    recorded = run("record", "lab.yaml", "--prompts", "prompts.txt", "-o", "-")
    assert recorded.exit_code == OK and '"type":"prompt"' in recorded.stdout
    several = run("record", "lab.yaml", "a", "echo:", "--prompts", "prompts.txt", "-o", "-")
    assert several.exit_code == USAGE and "several recordings need a folder" in several.stderr
    assert not Path("-").exists()


def test_an_export_replaces_a_file_only_if_it_is_told_to_and_only_when_it_is_whole() -> None:
    imported()
    Path("out").write_text("mine")
    refused = run("export", "lab.yaml", "-o", "out")
    assert refused.exit_code == USAGE and "--force replaces it" in refused.stderr
    failed = run("export", "lab.yaml", "-o", "out", "--force", "--conversation", "nosuch")
    assert failed.exit_code == FAILED and "no such conversation" in failed.stderr
    assert Path("out").read_text() == "mine" and not list(Path().glob(".out*"))
    assert run("export", "lab.yaml", "-o", "out", "--force", "--format", "html").exit_code == OK
    assert Path("out").read_text().startswith("<!DOCTYPE html>")
    assert Path("out").stat().st_mode & 0o777 == 0o600, "as private as the database it is from"


def test_several_owners_are_listed_and_one_is_to_be_named() -> None:
    nobody = run("export", "lab.yaml")
    assert nobody.exit_code == USAGE and "nobody has conversations yet" in nobody.stderr
    listed = run("db", "owners", "lab.yaml")
    assert (listed.exit_code, listed.stdout) == (OK, "") and "nobody has conversations or" in listed.stderr
    assert not Path(".chatlab").exists(), "to ask makes no database"
    assert run("db", "upgrade", "lab.yaml").exit_code == OK
    assert run("db", "owners", "lab.yaml").stderr == listed.stderr
    imported("ann")
    imported("bob")
    several = run("export", "lab.yaml")
    assert several.exit_code == USAGE and "chatlab db owners" in several.stderr
    nobody = run("export", "lab.yaml", "--owner", "anne", "-o", "out")
    assert nobody.exit_code == USAGE and "no owner 'anne' has anything, did you mean ann?" in nobody.stderr
    assert not Path("out").exists()
    listed = run("db", "owners", "lab.yaml").stdout.splitlines()
    assert sorted(line.split("\t")[0] for line in listed) == ["ann", "bob"]
    assert all("1 conversation\t1 turn\t" in line for line in listed)
    assert "hello" in run("export", "lab.yaml", "--owner", "bob", "--format", "markdown").stdout


def test_a_comparison_session_is_exported_whoevers_it_is_and_with_all_that_its_owner_has() -> None:
    async def made() -> str:
        async with open_storage(load_config(Path("lab.yaml")).storage) as storage:
            assert storage is not None
            return (await storage.store.create_comparison("local", title="A run")).id

    id = asyncio.run(made())
    assert "local\t0 conversations\t0 turns\t1 comparison session\t" in run("db", "owners", "lab.yaml").stdout
    assert "# A run" in run("export", "lab.yaml", "--format", "markdown").stdout, "there is nobody else"
    imported("ann")
    assert "A run" not in run("export", "lab.yaml").stdout, "one alone has conversations"
    written = run("export", "lab.yaml", "--comparison", id).stdout
    done = run("import", "lab.yaml", "-", "--owner", "ann", input=written)
    assert (done.exit_code, done.stderr) == (
        OK,
        "imported 0 conversations and 1 comparison session with 0 turns\n",
    )
    again = run("import", "lab.yaml", "-", "--owner", "local", input=written)
    assert again.stderr == "imported 0 conversations with 0 turns; 1 had been there already\n"
    assert "A run" in run("export", "lab.yaml").stdout
    older = re.sub('"updated":"20..', '"updated":"1999', written)
    assert (
        " 1 of what was imported will be removed by a server"
        in run(*("import", "lab.yaml", "-", "--owner", "bob"), input=older).stderr
    )
    both = run("export", "lab.yaml", "--comparison", id, "--conversation", id)
    assert both.exit_code == USAGE and "not both" in both.stderr
    missing = run("export", "lab.yaml", "--comparison", "nosuch")
    assert missing.exit_code == FAILED and "no such comparison session" in missing.stderr


def test_what_cannot_be_imported_is_said_with_its_line_and_ends_with_1() -> None:
    Path("bad.jsonl").write_text(json.dumps({"messages": MESSAGES}) + '\n{"messages": [{"role": "x"}]}\n')
    done = run("import", "lab.yaml", "bad.jsonl", "--owner", "ann")
    assert done.exit_code == FAILED
    problem, summary = done.stderr.splitlines()
    assert problem.startswith("chatlab: bad.jsonl:2: message 0: expected a role")
    assert summary == "imported 1 conversation with 1 turn"
    missing = run("import", "lab.yaml", "nosuch.json", "--owner", "ann")
    assert (missing.exit_code, missing.stderr) == (
        FAILED,
        "chatlab: nosuch.json: No such file or directory\n",
    )


def test_the_database_is_made_checked_and_brought_up_to_date() -> None:
    assert run("db", "current", "lab.yaml").stdout == "there are no tables yet\n"
    behind = run("db", "check", "lab.yaml")
    assert behind.exit_code == FAILED and "chatlab db upgrade" in behind.stdout
    upgraded = run("db", "upgrade", "lab.yaml")
    assert upgraded.exit_code == OK and upgraded.stdout.strip()
    assert run("db", "current", "lab.yaml").stdout == upgraded.stdout
    assert (run("db", "check", "lab.yaml").stdout) == "the tables are up to date\n"


def test_prune_removes_what_is_too_old_and_keeps_the_rest(folder: Path) -> None:
    imported()
    lines = [json.loads(line) for line in run("export", "lab.yaml").stdout.splitlines()]
    lines[1] |= {"id": "old", "updated": "2020-01-01T00:00:00+00:00", "head": None}
    Path("old.jsonl").write_text("\n".join(map(json.dumps, lines[:2])))
    done = run("import", "lab.yaml", "old.jsonl")
    assert done.exit_code == OK and done.stderr.endswith(
        "chatlab: 1 of what was imported will be removed by a server within minutes, or by 'chatlab db "
        "prune', as not written to for 30 days: raise storage.keep_days, or pin it\n"
    )
    assert _titles(folder) == 2
    why = "(deleted before, or unpinned and not written to for 30 days)"
    what = f"1 conversation and 0 comparison sessions {why}, and"
    done = run("db", "prune", "lab.yaml", "--dry-run")
    assert (done.exit_code, done.stdout) == (
        OK,
        f"would remove {what} attachments that nothing names any more\n",
    )
    assert _titles(folder) == 2
    done = run("db", "prune", "lab.yaml")
    assert (done.exit_code, done.stdout) == (OK, f"removed {what} 0 attachments\n")
    assert _titles(folder) == 1
    Path("lab.yaml").write_text("backends: {a: {kind: echo}}\nstorage: {keep_days: 1}\n")
    assert "written to for 1 day)" in run("db", "prune", "lab.yaml").stdout
    refused = run("db", "owners", "lab.yaml", "--dry-run")
    assert refused.exit_code == USAGE and "--dry-run is of prune" in refused.stderr


def _titles(folder: Path) -> int:
    async def count() -> int:
        async with open_storage(load_config(folder / "lab.yaml").storage) as storage:
            assert storage is not None
            return len((await storage.store.recent("ann")).conversations)

    return asyncio.run(count())


@pytest.mark.parametrize("words", ["export", "db owners", "db prune", "db check", "db upgrade", "import"])
def test_without_a_store_there_is_nothing_to_do_and_it_says_so(words: str) -> None:
    rest = ["chat.json"] if words == "import" else []
    done = run(*words.split(), "none.yaml", *rest)
    assert done.exit_code == USAGE and "storage: none" in done.stderr


def test_a_file_that_is_no_database_is_named_with_what_to_do() -> None:
    Path("mine.txt").write_text("all my letters, and no database at all " * 100)
    Path("lab.yaml").write_text("backends: {a: {kind: echo}}\nstorage: {url: 'sqlite:mine.txt'}\n")
    for words in ("db owners", "export", "db check"):
        done = run(*words.split(), "lab.yaml")
        assert done.exit_code == FAILED and done.stderr.endswith(
            "mine.txt is not a SQLite database: name another file in storage.url, or put a backup in its "
            "place\n"
        )


def test_a_damaged_database_is_named_with_what_to_do() -> None:
    Path("lab.yaml").write_text("backends: {a: {kind: echo}}\nstorage: {url: 'sqlite:mine.db'}\n")
    assert run("db", "upgrade", "lab.yaml").exit_code == OK
    whole = Path("mine.db").read_bytes()
    Path("mine.db").write_bytes(whole[:4096] + bytes(range(256)) * ((len(whole) - 4096) // 256))
    for words in ("db owners", "export", "db check"):
        done = run(*words.split(), "lab.yaml")
        assert done.exit_code == FAILED
        assert re.search(
            r"mine\.db is damaged \(.+\): stop chatlab, keep a copy, and put a backup", done.stderr
        )


def test_a_wrong_configuration_is_told_apart() -> None:
    Path("bad.yaml").write_text("backends: {a: {kind: echo}}\nstorage: {url: 'mysql://h/d'}\n")
    done = run("db", "check", "bad.yaml")
    assert done.exit_code == CONFIG and "bad.yaml:2:16: storage.url: should be sqlite:PATH" in done.stderr
