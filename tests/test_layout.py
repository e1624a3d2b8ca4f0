"""Tests mirror the tree: whoever changes a folder finds its tests in the folder of the same name."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent

NOT_MIRRORED = {
    "data": "files that several tests read",
    "formats/golden": "Gradio's histories, and what captures them",
    "servers": "servers that tests talk to, and tests of these",
    "store/samples": "files of every kind that can be attached",
}
WITHOUT_TESTS = {
    "chatlab/store/migrations": "tests/store/test_schema.py takes every step of them",
    "chatlab/store/migrations/versions": "the same",
}
OF_THE_WHOLE = {
    "test_app.py": "app.py",
    "test_configs.py": "configs/",
    "test_deploy.py": "deploy/",
    "test_deploy_azure.py": "deploy/azure/",
    "test_imports.py": "what importing chatlab imports",
    "test_layout.py": "the folders of tests/",
    "test_readme.py": "README.md",
    "test_space.py": "a Hugging Face Space, from requirements.txt",
    "test_wheel.py": "the wheel",
    "test_words.py": "the words of all code",
}


def mirrored(folder: Path) -> Path:
    """The folder that a folder of tests is for."""
    below = folder.relative_to(TESTS)
    return ROOT / below if below.parts[:1] == ("backends",) else ROOT / "chatlab" / below


def folders_of_tests() -> list[Path]:
    found = [folder for folder in TESTS.rglob("*") if folder.is_dir() and folder.name != "__pycache__"]
    return [folder for folder in found if any(file.is_file() for file in folder.iterdir())]


def test_every_folder_of_tests_is_that_of_a_folder_of_the_product() -> None:
    unknown = [
        str(folder.relative_to(TESTS)) for folder in folders_of_tests() if not mirrored(folder).is_dir()
    ]
    assert sorted({*unknown}) == sorted(NOT_MIRRORED)


def test_every_folder_of_the_product_has_one_of_tests() -> None:
    packages = [
        file.parent for top in ("chatlab", "backends") for file in ROOT.glob(f"{top}/*/**/__init__.py")
    ]
    tested = {mirrored(folder) for folder in folders_of_tests() if any(folder.rglob("test_*.py"))}
    missing = [str(package.relative_to(ROOT)) for package in packages if package not in tested]
    assert sorted(missing) == sorted(WITHOUT_TESTS)


def test_a_test_beside_the_folders_is_of_a_module_there_or_of_the_whole() -> None:
    modules = {f"test_{file.name}" for file in (ROOT / "chatlab").glob("*.py")}
    assert sorted({file.name for file in TESTS.glob("test_*.py")} - modules) == sorted(OF_THE_WHOLE)


def test_no_module_of_the_product_has_400_lines() -> None:
    """A file that passes them is two files."""
    modules = [file for top in ("chatlab", "backends") for file in (ROOT / top).rglob("*.py")]
    lines = {str(file.relative_to(ROOT)): len(file.read_text("utf-8").splitlines()) for file in modules}
    assert {name: number for name, number in lines.items() if number >= 400} == {}
