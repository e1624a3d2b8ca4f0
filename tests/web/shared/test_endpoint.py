"""What chatlab's own routes refuse is said in the language of the page."""

from __future__ import annotations

from collections.abc import Callable

from tests.web.compare.client import Person
from tests.web.pages import Served

CONFIG = """\
version: 1
backends: {one: {kind: echo, label: Eins}, two: {kind: echo, label: Zwei}}
storage: {sharing: true}
limits: {running_turns: {visitor: 1}, sessions: {visitor: 20}}
ui: {language: de}
"""


def test_a_german_page_refuses_in_german(serve: Callable[..., Served]) -> None:
    person = Person(serve(CONFIG))
    lanes = {"lanes": [{"backend": "one"}, {"backend": "two"}]}
    session = f"/sessions/{person.post('/sessions', lanes)['id']}"
    asked = [
        ("POST", f"{session}/undo", {}, 409, "Es gibt nichts zurückzunehmen"),
        (
            "POST",
            f"{session}/ask",
            {"text": ""},
            409,
            "Es gibt nichts zu senden: Schreiben Sie eine Nachricht",
        ),
        ("POST", f"{session}/lanes", {"backend": "one", "parameters": {"heat": 1}}, 409, "Eins hat keinen"),
        ("DELETE", f"{session}/lanes/none", None, 409, "Diese Spur gibt es in dieser Sitzung nicht"),
        ("GET", "/sessions/none", None, 404, "Diesen Vergleich gibt es nicht: Vielleicht wurde er gelöscht"),
        ("GET", f"{session}/report?format=pdf", None, 400, "Das Format „pdf“ gibt es nicht: Wählen Sie"),
    ]
    for method, path, body, status, said in asked:
        answered, sentence = person.refused(method, path, body)
        assert (answered, sentence[: len(said)]) == (status, said)
    missing = person.http.get("/-/shared/none")
    assert missing.status_code == 404 and '<html lang="de">' in missing.text
    assert "Dieser Link führt nirgendwohin" in missing.text
