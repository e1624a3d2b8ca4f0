"""The words of the pages: the same in every language, all used, and a file of one's own is checked."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from chatlab.compare.model import Receipt
from chatlab.errors import ConfigError
from chatlab.messages import Role, Timing, Usage
from chatlab.render.figures import figures_line
from chatlab.words import ENGLISH, SHIPPED, words_of

PACKAGE = Path(__file__).parents[2] / "chatlab"
TEXTS = {
    language: json.loads((PACKAGE / "words" / f"{language}.json").read_text("utf-8")) for language in SHIPPED
}
MADE = re.compile(
    r"(answer|button|chat\.wanted|detail|figures|finish|spread\.of|compare\.(status|previous|next|receipt|vote)|refusal\.advice)[.-]"
    r"|report\.(better|by|column|differ|fact|figure|lean|method|order|preferred|ranking-by|side|was|what|not-blind|message-|prompt-)"
    r"|report\.judged-|said\.(in-|attachment|credential|set)"
    r"|both\.(pages|chat|compare)|refusal\.(of-backend|store)"  # those are held by test_refusals.py
)


def places(text: str) -> set[str]:
    return set(re.findall(r"\{([\w-]+)\}", text))


@pytest.mark.parametrize("language", SHIPPED)
def test_every_language_has_the_same_keys_and_says_the_same_things(language: str) -> None:
    assert list(TEXTS[language]) == list(TEXTS["en"])
    for key, text in TEXTS[language].items():
        assert text.strip(), key
        assert places(text) == places(TEXTS["en"][key]), key


def test_what_a_receipt_has_is_named_and_a_percentage_is_written_in_one_way() -> None:
    """Without a space in English; in German with one that no line is broken at."""
    for field in fields(Receipt):
        key = f"compare.receipt-{field.name.replace('sha256', 'hash')}"
        assert key in TEXTS["en"] or field.name in ("messages", "arrivals"), field
    for role in get_args(Role):
        assert f"compare.receipt-role-{role}" in TEXTS["en"]
    for language, wrong in (("en", r"[\d}]\s%"), ("de", r"[\d}](%| %)")):
        assert [key for key, text in TEXTS[language].items() if re.search(wrong, text)] == []


def test_every_text_is_said_somewhere() -> None:
    static = PACKAGE / "web" / "static"
    backends = PACKAGE.parent / "backends"
    sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2"), *static.rglob("*.js"), *static.rglob("*.html")]
    sources += backends.rglob("*.py")
    code = "\n".join(source.read_text("utf-8") for source in sources)
    unsaid = [key for key in TEXTS["en"] if not said(key, code) and MADE.match(key) is None]
    assert unsaid == []


def said(key: str, code: str) -> bool:
    one = key.removesuffix("s")  # that of a number of things is said with that of one
    names = {key, one} if one in TEXTS["en"] else {key}
    return any(written in code for name in names for written in (f'"{name}"', f"'{name}'", f"{{{{{name}}}}}"))


def test_every_key_that_is_said_is_there() -> None:
    for source in (PACKAGE / "web" / "static").rglob("*.js"):
        text = source.read_text("utf-8")
        for key in re.findall(r'(?:\bsay\(|chatlabWords\[)\s*"([^"]+)"', text):
            assert key in TEXTS["en"], (source.name, key)


CARRIED = [
    key
    for key in TEXTS["en"]
    if key.startswith(("notice.", "parameter.", "ranking.", "refusal.", "said.", "spread.", "sent."))
]


@pytest.mark.parametrize("key", CARRIED)
def test_a_sentence_that_was_stored_in_english_is_shown_in_the_language_of_the_page(key: str) -> None:
    """Whatever stands in its places; so no two keys make sentences that could be taken for each other's."""
    german = words_of("de")
    for filled in ("a.png", "report (2), Ärger; v1"):
        named = places(TEXTS["en"][key]) - NUMBERS
        values = {name: "top_p" if name == "parameter" else filled for name in named}
        numbers = {name: "1.5" for name in places(TEXTS["en"][key]) & NUMBERS}
        stored = ENGLISH(key, **values, **numbers)
        shown = german(key, **values, **{name: "1,5" for name in numbers})
        assert german.translated(stored) == shown
        assert ENGLISH.translated(stored) == stored


NUMBERS = {"count", "difference", "fewest", "low", "high", "most", "p", "seconds", "size"}


def test_sentences_within_a_sentence_are_translated_too_and_what_is_not_ours_stays() -> None:
    german = words_of("de")
    judged = ENGLISH("ranking.interval-needs", judged=ENGLISH.counted("ranking.judged", 1), fewest=6)
    said = ENGLISH("ranking.alike", a="one", b="two", reason=judged)
    assert said == "one and two are not distinguishable: 1 prompt was judged, and an interval needs 6"
    assert german.translated(said) == (
        "one und two sind nicht zu unterscheiden: 1 Prompt wurde beurteilt, und ein Intervall braucht 6"
    )
    nothing = ENGLISH("sent.nothing")
    no_name = ENGLISH("notice.file-as-text", file=ENGLISH("notice.a-file"))
    assert german.translated(no_name) == "Als Text in der Nachricht gesendet: eine Datei"
    unlike = ENGLISH(
        "sent.difference", what=ENGLISH("sent.parameter", parameter="seed"), one="1", other=nothing
    )
    assert german.translated(unlike) == "Parameter seed: 1 | nicht gesendet"
    for other in ("", "the model is loading", "a file", "x" * 10_000 + " was sent as text in the message"):
        assert german.translated(other) == (other if other != "a file" else "eine Datei")


def write(file: Path, texts: object) -> Path:
    file.write_text(json.dumps(texts), "utf-8")
    return file


def test_what_a_file_of_ones_own_leaves_out_is_in_english(tmp_path: Path) -> None:
    words = words_of(write(tmp_path / "fr.json", {"language": "fr", "chat.options": "Réglages"}))
    assert (words.language, words("chat.options"), words("chat.message")) == ("fr", "Réglages", "Message")


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"chat.option": "x"}, "unknown key 'chat.option', did you mean chat.options?"),
        ({"notice.incident": "{who}"}, "notice.incident: there is nothing to put into {who}"),
        ({"chat.options": "{"}, "chat.options: a curly bracket has no other one"),
        ({"chat.options": 1}, "a file of words has one JSON object, with texts by key"),
        ([], "a file of words has one JSON object"),
    ],
)
def test_a_mistake_in_a_file_of_words_is_one_clear_sentence(tmp_path: Path, texts: object, said: str) -> None:
    file = write(tmp_path / "own.json", texts)
    with pytest.raises(ConfigError) as caught:
        words_of(file)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}") and said in problem and "\n" not in problem


def test_figures_are_written_as_the_language_writes_numbers() -> None:
    timing = Timing(first_token=0.25, total=1234.5)
    said = [
        figures_line("Echo", timing, Usage(input=12_345, output=1), 0.125, words=words)
        for words in (ENGLISH, words_of("de"))
    ]
    assert said == [
        "Echo · first token 250 ms · total 1,234.50 s · 12,345 tokens in, 1 out · cost 0.125",
        "Echo · erstes Token 250 ms · insgesamt 1.234,50 s · 12.345 Tokens Eingabe, 1 Ausgabe · Kosten 0,125",
    ]
