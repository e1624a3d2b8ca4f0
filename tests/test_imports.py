"""What importing chatlab and its kinds imports. Who may import whom is in the contracts of pyproject.toml."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends import KINDS

ROOT = Path(__file__).resolve().parent.parent

SDKS = ("gradio", "openai", "langchain", "langchain_core", "langchain_openai", "langgraph", "huggingface_hub")
SDKS += ("text_generation", "databricks", "httpx2", "httpx", "aiohttp", "mlflow", "httpcore2")


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def module_of(file: Path) -> str:
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


FILES = {module_of(file): file for package in ("chatlab", "backends") for file in sources(package)}


def imports(tree: ast.AST, *, of_types: bool = True) -> Iterator[str]:
    """The modules imported anywhere below a node; those for type checkers alone only if asked for."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            if of_types:
                yield from imports(node)
            yield from (name for other in node.orelse for name in imports(other, of_types=of_types))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            for alias in node.names:
                below = f"{node.module}.{alias.name}"
                yield below if below in FILES else str(node.module)
        else:
            yield from imports(node, of_types=of_types)


def at_start(tree: ast.Module) -> set[str]:
    """What is imported when the module is: not in functions, not for type checkers."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    top = ast.Module(tree.body, [])
    for node in ast.walk(top):
        if isinstance(node, ast.Module | ast.ClassDef | ast.If | ast.Try):
            node.body = [inner for inner in node.body if not isinstance(inner, functions)]
    return set(imports(top, of_types=False))


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


@pytest.mark.parametrize("kind", KINDS)
def test_importing_a_kind_imports_no_sdk(kind: str) -> None:
    ours = {"chatlab", "backends", "pydantic", "pydantic_core", "typing_extensions"}
    todo, seen = [KINDS[kind].partition(":")[0]], set()
    while todo:
        module = todo.pop()
        seen.add(module)
        found = at_start(parsed(FILES[module]))
        assert {name.split(".")[0] for name in found} - sys.stdlib_module_names <= ours, module
        todo += {name for name in found if name.startswith("backends.")} - seen


def imported_by(code: str) -> set[str]:
    """The SDKs in memory after running some code in a process of its own."""
    report = f"import json, sys; print(json.dumps([name for name in {SDKS} if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_core_is_imported_without_any_sdk() -> None:
    core = "chatlab, chatlab.config.load, chatlab.config.registry, chatlab.lab, chatlab.cli, chatlab.agent"
    assert imported_by(f"import {core}") == set()


def test_the_kind_openai_needs_an_http_client_and_nothing_else() -> None:
    options = "OpenAIOptions(model='m', base_url='http://127.0.0.1:1/v1')"
    made = f"from backends.openai import *; OpenAIBackend({options})"
    assert imported_by(made) == {"httpx2", "aiohttp"}


def test_the_library_of_connections_through_a_proxy_is_imported_where_one_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    code = "from chatlab.http import async_client; async_client()"
    assert "httpcore2" not in imported_by(code)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert "httpcore2" in imported_by(code)


def test_a_sqlite_file_is_opened_without_the_orm() -> None:
    code = "import sys, chatlab.store.sql; print('sqlalchemy.orm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


NOT_FOR_A_RUN = ("alembic", "mako", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm")
NOT_FOR_A_RUN += ("latex2mathml", "markdown_it", "pygments.lexers", "regex")
NOT_FOR_A_RUN += ("chatlab.compare.session.session", "chatlab.compare.session.blind")
NOT_FOR_A_RUN += ("chatlab.compare.session.state", "chatlab.compare.report.from_session")
NOT_FOR_A_RUN += ("chatlab.compare.batch.engines.ray_engine",)


def test_a_run_whose_answers_are_plain_imports_what_it_uses(tmp_path: Path) -> None:
    """In a new SQLite file, too, and to its report."""
    (tmp_path / "lab.yaml").write_text("backends: {a: {kind: echo}, b: {kind: echo}}")
    (tmp_path / "prompts.txt").write_text("Hello.\nAnd again.\n")
    code = f"""
import json, sys
from chatlab.cli import main
try:
    main(["compare", "lab.yaml", "--lanes", "a,b", "--prompts", "prompts.txt", "--out", "run"])
except SystemExit as left:
    print(json.dumps([left.code, *(name for name in {NOT_FOR_A_RUN} if name in sys.modules)]))
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [0], done.stderr
    assert (tmp_path / "run" / "report.html").exists() and (tmp_path / ".chatlab" / "chatlab.db").exists()


def test_what_is_asked_about_above_would_be_seen() -> None:
    assert imported_by("import httpx2") == {"httpx2"}


def test_every_kind_is_described_where_no_sdk_can_be_imported() -> None:
    code = f"""
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {SDKS}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refuse())
from chatlab.config.load import json_schema
from chatlab.config.registry import backend_class
for kind in {list(KINDS)}:
    assert backend_class(kind).Options.model_json_schema()
assert len(json_schema({list(KINDS)})["$defs"]["BackendConfig"]["allOf"]) == {len(KINDS)}
"""
    assert imported_by(code) == set()
