"""Policies of content: made in one module, so that a change of one is a change of all that are alike."""

from __future__ import annotations

from pathlib import Path

from chatlab.content_security import chat_page

ROOT = Path(__file__).resolve().parent.parent
READ = {".py", ".j2", ".html", ".js", ".css", ".yaml"}


def test_policies_are_written_in_one_module_alone() -> None:
    files = [file for package in ("chatlab", "backends") for file in (ROOT / package).rglob("*")]
    written = {
        str(file.relative_to(ROOT)): text
        for file in files
        if file.suffix in READ and (text := file.read_text("utf-8").lower())
    }
    for words in ("content-security-policy", "default-src", "frame-ancestors"):
        assert [name for name, text in written.items() if words in text] == ["chatlab/content_security.py"]


def test_a_host_cannot_smuggle_a_directive_into_the_policy() -> None:
    assert chat_page(["cdn.example", "*.example:8443"]).count("cdn.example *.example:8443") == 2
    assert "evil" not in chat_page(["ok.example; script-src evil", "evil *", "'evil'"])
