"""Secrets are given by reference, read when used, and kept out of whatever people read."""

from __future__ import annotations

import base64
import json
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from chatlab.compare.report.redact import redacted
from chatlab.config.load import load_config
from chatlab.errors import AuthenticationFailed, ConfigError, classify
from chatlab.known_secrets import KnownSecrets, WithoutSecrets
from chatlab.paths import BASE
from chatlab.redaction.texts import parse_patterns
from chatlab.secret import ScrubbingFormatter, SecretRef, remember, scrub
from tests.compare.report.samples import comparison

VALUE = "correct-horse-battery"


def test_a_secret_comes_from_a_variable_each_time_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = SecretRef(env="SOME_KEY")
    monkeypatch.delenv("SOME_KEY", raising=False)
    assert ref.missing() == "set SOME_KEY"
    with pytest.raises(LookupError, match="set SOME_KEY"):
        ref.resolve()
    monkeypatch.setenv("SOME_KEY", f" {VALUE}\n")
    assert ref.missing() is None
    assert ref.resolve().get_secret_value() == VALUE
    monkeypatch.setenv("SOME_KEY", "rotated-value")
    assert ref.resolve().get_secret_value() == "rotated-value"


def test_an_empty_variable_is_a_missing_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " ")
    assert SecretRef(env="SOME_KEY").missing() == "set SOME_KEY"


def test_a_secret_comes_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    ref = SecretRef.model_validate({"file": "key.txt"}, context={BASE: tmp_path})
    assert str(tmp_path / "key.txt") in str(ref.missing())
    (tmp_path / "key.txt").write_text("\n")
    assert str(ref.missing()).startswith("put the secret into ")
    (tmp_path / "key.txt").write_bytes(b"\xff\xfe")
    assert ref.missing() is not None
    (tmp_path / "key.txt").write_text(f"{VALUE}\n")
    assert ref.missing() is None
    assert ref.resolve().get_secret_value() == VALUE


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        17,
        True,
        [VALUE],
        None,
        {},
        {"env": "A", "file": "b"},
        {"value": VALUE},
        {"env": VALUE},
        {"env": "hf_" + "a" * 20},
        {"file": "sk-" + "a" * 20},
    ],
)
def test_anything_but_a_reference_is_refused_without_being_repeated(written: object) -> None:
    with pytest.raises(ValidationError) as caught:
        SecretRef.model_validate(written)
    said = str(caught.value)
    assert VALUE not in said
    assert "a" * 20 not in said


def test_a_reference_never_shows_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", VALUE)
    ref = SecretRef(env="SOME_KEY")
    value = ref.resolve()
    assert VALUE not in repr(ref) + str(ref) + ref.model_dump_json() + repr(value) + str(value)


def test_what_was_resolved_is_scrubbed_from_errors_and_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", VALUE)
    SecretRef(env="SOME_KEY").resolve()
    assert scrub(f"refused: {VALUE}!") == "refused: ***!"
    assert VALUE not in str(AuthenticationFailed(f"Incorrect API key provided: {VALUE}"))
    assert VALUE not in str(classify(401, f"bad {VALUE}"))
    try:
        raise RuntimeError(VALUE)
    except RuntimeError:
        record = logging.LogRecord("x", 40, "f", 1, "with %s", (VALUE,), sys.exc_info())
    assert VALUE not in ScrubbingFormatter().format(record)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdefgh12345",
        "Incorrect API key provided: sk-proj-****abcd",
        "token hf_abcdefghijkl",
        "dapi0123456789abcdef",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    ],
)
def test_what_is_shaped_like_a_credential_is_scrubbed_whoever_it_belongs_to(text: str) -> None:
    assert "***" in scrub(text)
    assert text.split()[-1] not in scrub(text)


CREDENTIALS = [
    "sk-ant-api03-" + "Ab0_" * 8,
    "hf_" + "aB" * 17,
    "dapi" + "0123456789abcdef" * 2,
    "dose" + "0123456789abcdef" * 2,
    "gsk_" + "aB3" * 17,
    "xai-" + "aB3" * 20,
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "ghp_" + "aB3" * 12,
    "gho_" + "aB3" * 12,
    "github_pat_" + "11ABC_" * 10,
    "glpat-" + "x-Y_" * 5,
    "xoxb-123456789012-abcdefABCDEF",
    "xapp-1-A012-345-abcdef",
    "AIza" + "SyA-_" * 7,
    "ya29." + "a0Af" * 8,
    "eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow" + "AbC/" * 20 + "\n-----END RSA PRIVATE KEY-----",
]


@pytest.mark.parametrize("credential", CREDENTIALS, ids=lambda value: value[:10])
def test_texts_configurations_and_reports_know_the_same_credentials(credential: str, tmp_path: Path) -> None:
    text = f"refused ({credential}), try again"
    assert scrub(text) == "refused (***), try again"
    found = redacted(comparison(1, title=text), parse_patterns(["api-key"]))
    assert found.title == "refused ([redacted: api-key]), try again"
    config = tmp_path / "chatlab.yaml"
    header = json.dumps({"X-Key": credential})
    config.write_text(f"backends: {{a: {{kind: openai, model: m, extra_headers: {header}}}}}")
    with pytest.raises(ConfigError, match="by reference") as caught:
        load_config(config)
    assert credential not in str(caught.value)


def test_a_password_in_a_url_is_scrubbed() -> None:
    assert scrub("postgresql://ann:geheim@db/chat is away") == "postgresql://***@db/chat is away"
    assert scrub("see https://example.org:8080/a@b") == "see https://example.org:8080/a@b"


def test_ordinary_text_is_left_alone() -> None:
    remember("abc")  # too short to be told from ordinary text
    text = "the abc of tasks: sk-1, hf_x, a bearer of news"
    assert scrub(text) == text


def test_a_stand_in_for_a_key_takes_no_word_out_of_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_KEY", "none")
    SecretRef(env="NO_KEY").resolve()
    assert scrub("none of it is secret") == "none of it is secret"


def test_a_row_of_noughts_is_no_part_of_a_key_that_has_one() -> None:
    remember("00000000-0000-0000-0000-0000000000a7")
    text = "0.10750000000000001 s, 00000000-0000"
    assert scrub(text) == text


KEY = "gw7f-Q9pZ+k2LmN8/rT4vX1="


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        quote(KEY, safe=""),
        base64.b64encode(f"user:{KEY}".encode()).decode(),
        base64.b64encode(f"ab{KEY}cd".encode()).decode(),
        base64.urlsafe_b64encode(f"token {KEY}".encode()).decode(),
        KEY.encode().hex(),
        json.dumps({"key": f'"{KEY}"'}),
        KEY[:8],
        KEY[7:],
        KEY[3:15],
        f"{KEY[:4]}****{KEY[-4:]}",
        f"{KEY[:6]}...",
        f"...{KEY[-5:]}",
        f"{KEY[:3]}xxxxxxxx{KEY[-3:]}",
    ],
)
def test_a_known_key_is_scrubbed_in_whatever_form_it_stands(form: str) -> None:
    remember(KEY)
    said = scrub(f"refused: {form}, see the log")
    assert said.startswith("refused: ") and said.endswith(", see the log") and "***" in said
    for part in (KEY[n : n + 8] for n in range(len(KEY) - 7)):
        assert part not in said and base64.b64encode(part.encode()).decode()[:8] not in said
    assert len(said) <= len("refused: , see the log") + 32


def test_words_that_a_key_has_too_are_left_alone() -> None:
    remember("horse-battery-staple-7")
    text = "the horse... and a battery, stapled: battery- *** ... ab-7"
    assert scrub(text) == text


@pytest.mark.parametrize(
    "written", ["9f8e7d6c5b4a3928\n7777888899990000", "a-key-\u201cquoted\u201d", "tabbed\tkey-123"]
)
def test_a_key_with_characters_that_no_key_has_is_not_ready_and_shown_nowhere(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD_KEY", written)
    ref = SecretRef(env="ODD_KEY")
    assert str(ref.missing()).startswith("the key in ODD_KEY has characters that no key has")
    with pytest.raises(LookupError, match="ODD_KEY") as caught:
        ref.resolve()
    for part in written.split():
        assert part not in str(caught.value)
        assert part not in scrub(f"Illegal header value {written!r} or {written.encode()!r}: {part}")


def test_a_byte_order_mark_is_no_part_of_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key.txt").write_bytes(b"\xef\xbb\xbf" + VALUE.encode() + b"\r\n")
    ref = SecretRef.model_validate({"file": "key.txt"}, context={BASE: tmp_path})
    assert ref.missing() is None and ref.resolve().get_secret_value() == VALUE
    monkeypatch.setenv("BOM_KEY", f"\ufeff{VALUE}")
    assert SecretRef(env="BOM_KEY").resolve().get_secret_value() == VALUE


def test_the_url_of_a_database_may_have_any_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_URL", "postgresql://ann:gehe\u00efm@db/chat")
    assert SecretRef(env="THE_URL").text().get_secret_value().endswith("m@db/chat")
    assert scrub("postgresql://bob is another one") == "postgresql://bob is another one"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
def test_a_key_in_an_answer_that_arrives_in_pieces_is_taken_out(size: int) -> None:
    remember(KEY)
    text = f"gw: the key is {KEY}, and {KEY[:7]} begins it; {KEY}{KEY} gw7f"
    answer = WithoutSecrets()
    shown = "".join(answer.add(text[at : at + size]) for at in range(0, len(text), size)) + answer.end()
    left = len("gw7") if size < 4 else 0  # what went out before it was as long as to tell
    assert KEY not in shown and KEY[left:] not in shown
    assert shown.startswith("gw: the key is ") and f", and {KEY[:7]} begins it; " in shown
    assert shown.endswith(" gw7f")
    assert shown.count("***") == 3


def test_pieces_without_a_key_are_not_touched() -> None:
    remember(KEY)
    answer = WithoutSecrets()
    piece = "an ordinary piece of text"
    assert answer.add(piece) is piece and answer.end() == ""


def test_secrets_are_added_while_others_look() -> None:
    """Whoever walks over what another thread changes fails now and then: here, at once."""
    secrets = KnownSecrets()
    secrets.add(KEY)
    done = threading.Event()
    failures: list[BaseException] = []

    def add(number: int) -> None:
        count = 0
        while not done.is_set():
            secrets.add(f"hammered-{number}-{count:06d}", source="tokens")
            count += 1

    def look() -> None:
        try:
            for _ in range(300):
                assert secrets.taken_out_of(f"there is {KEY} in it", parts=True) == "there is *** in it"
        except BaseException as exc:
            failures.append(exc)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(3)]
    looking = [threading.Thread(target=look) for _ in range(3)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in (*threads, *looking):
            thread.start()
        for thread in looking:
            thread.join()
    finally:
        done.set()
        sys.setswitchinterval(before)
    for thread in threads:
        thread.join()
    assert not failures


def test_of_a_secret_that_is_made_anew_again_and_again_the_latest_are_known() -> None:
    secrets = KnownSecrets()
    secrets.add("the-password-1")
    tokens = [f"token-of-hour-{hour:04d}" for hour in range(200)]
    for token in tokens:
        secrets.add(token, source="tokens")
    assert secrets.taken_out_of(f"{tokens[-1]} the-password-1") == "*** ***"
    assert len(secrets.forms) < 200 * 6, "they do not grow without end"


class _Searched(str):
    """A text that counts how often something is looked for in it."""

    times = 0

    def find(self, *args: Any) -> int:
        """Do as any text."""
        self.times += 1
        return super().find(*args)


def test_a_piece_of_an_answer_is_not_searched_for_each_of_many_secrets() -> None:
    secrets = KnownSecrets()
    for number in range(300):
        secrets.add(f"dapi{number:03d}-of-person/{number}\nand its second line {number}")
    piece = _Searched("an ordinary piece, 12 words")
    assert secrets.taken_out_of(piece, parts=True) == piece
    assert piece.times < 10
    for form in secrets.forms[:60]:
        assert form not in secrets.taken_out_of(f"a {form} b"), "found as in a long text"
    assert secrets.taken_out_of("the key dapi007-of-per", parts=True) == "the key ***"
    both = "dapi007-of-person/7\nand its second line 7"
    assert secrets.taken_out_of(f"{both}{both[:9]}") == f"***{both[:9]}", "the longest is found first"


def test_a_long_text_is_looked_through_quickly() -> None:
    secrets = KnownSecrets()
    for number in range(20):
        secrets.add(f"sk-proj-{number:02d}-" + "Ab3dEf6hIj9l" * 4)
    text = "An answer of words... and 12 numbers, task-force ** bold ** text.\n" * 4000
    started = time.thread_time()
    assert secrets.taken_out_of(text, parts=True) == text
    assert time.thread_time() - started < 3.0, "of 270 kB and 20 keys"
