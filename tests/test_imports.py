"""Who may import whom, as docs/architecture.md has it: read from the sources, and seen in new processes."""

from __future__ import annotations

import ast
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends import KINDS

ROOT = Path(__file__).resolve().parent.parent

# A module imports from its own layer and those above it in this list, never from those below.
LAYERS = [
    {"paths", "secret", "errors", "messages"},
    {
        *("arrivals", "backend", "http", "history", "recording", "event_json", "stopwatch"),
        *("_chat_history", "_gradio_history", "_langchain_history", "_responses_history"),
        *("_conversation", "_media", "_named_templates", "_prompt_template"),
    },
    {"config", "store", "_config_problems", "_yaml_positions"},
    {"registry", "chat", "fit", "config_file", "_config_schema", "markup"},
    {"saving", "storage", "_transfer_chatgpt", "_transfer_html", "_transfer_json", "_transfer_markdown"},
    {
        *("kept", "lab", "compare", "record", "check"),
        *("transfer", "_transfer_drafts", "_transfer_import", "_transfer_sessions", "_transfer_session_text"),
    },
    {"auth", "ui", "agent"},
    {"cli", "__main__", "cli_reference", "config_reference"},
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}

FOR_BACKENDS = {
    f"chatlab.{name}"
    for name in ("messages", "errors", "history", "backend", "http", "secret", "paths", "recording")
}
SDKS = ("gradio", "openai", "langchain", "langchain_core", "langchain_openai", "langgraph", "huggingface_hub")
SDKS += ("text_generation", "databricks", "httpx2", "httpx", "aiohttp")


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def module_of(file: Path) -> str:
    name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {module_of(file) for package in ("chatlab", "backends") for file in sources(package)}


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
                yield below if below in MODULES else str(node.module)
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


def layer(module: str) -> int | None:
    """The number of a module's layer; None for what is not chatlab's."""
    parts = module.split(".")
    if parts[0] != "chatlab" or len(parts) == 1:
        return None
    name = "cli" if parts[1].startswith("_cli_") else parts[1]
    assert name in LAYER, f"give {module} a layer"
    return LAYER[name]


@pytest.mark.parametrize("file", sources("chatlab"), ids=module_of)
def test_a_module_imports_from_its_layer_and_lower_ones_only(file: Path) -> None:
    module = module_of(file)
    if module == "chatlab":
        return  # its names are looked up when asked for, see below
    mine = layer(module)
    assert mine is not None
    too_high = [name for name in imports(parsed(file)) if (layer(name) or 0) > mine]
    assert not too_high
    assert not [name for name in imports(parsed(file)) if name.startswith("backends.")]
    assert module == "chatlab.config.registry" or "backends" not in imports(parsed(file))


def test_no_two_modules_need_each_other_to_be_imported() -> None:
    graph = {
        module_of(file): at_start(parsed(file)) & MODULES
        for package in ("chatlab", "backends")
        for file in sources(package)
    }
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("file", sources("backends"), ids=module_of)
def test_a_backend_knows_what_backends_are_made_of_and_no_other_kind(file: Path) -> None:
    for name in imports(parsed(file)):
        if name.split(".")[0] == "chatlab":
            assert name in FOR_BACKENDS
        if name.startswith("backends."):
            assert name.startswith("backends._"), "what two kinds share is in a private module"


@pytest.mark.parametrize("kind", KINDS)
def test_importing_a_kind_imports_no_sdk(kind: str) -> None:
    ours = {"chatlab", "backends", "pydantic", "pydantic_core", "typing_extensions"}
    todo, seen = [KINDS[kind].partition(":")[0]], set()
    while todo:
        module = todo.pop()
        seen.add(module)
        found = at_start(parsed(ROOT / f"{module.replace('.', '/')}.py"))
        assert {name.split(".")[0] for name in found} - sys.stdlib_module_names <= ours, module
        todo += {name for name in found if name.startswith("backends.")} - seen


@pytest.mark.parametrize("file", [*sources("chatlab"), *sources("backends")], ids=module_of)
def test_gradio_is_imported_by_the_page_and_its_server_only(file: Path) -> None:
    if file.parent.name == "ui" and (file.name.startswith("gradio_") or file.name == "server.py"):
        return
    assert not [name for name in imports(parsed(file)) if name.split(".")[0] == "gradio"]


def imported_by(code: str) -> set[str]:
    """The SDKs in memory after running some code in a process of its own."""
    report = f"import json, sys; print(json.dumps([name for name in {SDKS} if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_core_is_imported_without_any_sdk() -> None:
    assert (
        imported_by("import chatlab, chatlab.config.load, chatlab.config.registry, chatlab.lab, chatlab.cli")
        == set()
    )


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
