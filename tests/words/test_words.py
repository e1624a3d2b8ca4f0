"""The words of the pages: the same in every language, all used, and a file of one's own is checked."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from chatlab.errors import ConfigError
from chatlab.messages import Timing, Usage
from chatlab.render.figures import figures_line
from chatlab.words import ENGLISH, SHIPPED, words_of

PACKAGE = Path(__file__).parents[2] / "chatlab"
TEXTS = {
    language: json.loads((PACKAGE / "words" / f"{language}.json").read_text("utf-8")) for language in SHIPPED
}
MADE = re.compile(
    r"(answer|button|chat\.wanted|detail|figures|compare\.(status|previous|next))[.-]"
    r"|both\.(pages|chat|compare)|sidebar\.\w+s$"
)


def places(text: str) -> set[str]:
    return set(re.findall(r"\{([\w-]+)\}", text))


@pytest.mark.parametrize("language", SHIPPED)
def test_every_language_has_the_same_keys_and_says_the_same_things(language: str) -> None:
    assert list(TEXTS[language]) == list(TEXTS["en"])
    for key, text in TEXTS[language].items():
        assert text.strip(), key
        assert places(text) == places(TEXTS["en"][key]), key


def test_every_text_is_said_somewhere() -> None:
    static = PACKAGE / "web" / "static"
    sources = [*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2"), *static.rglob("*.js"), *static.rglob("*.html")]
    code = "\n".join(source.read_text("utf-8") for source in sources)
    unsaid = [key for key in TEXTS["en"] if not said(key, code) and MADE.match(key) is None]
    assert unsaid == []


def said(key: str, code: str) -> bool:
    return any(written in code for written in (f'"{key}"', f"'{key}'", f"{{{{{key}}}}}"))


def test_every_key_that_is_said_is_there() -> None:
    for source in (PACKAGE / "web" / "static").rglob("*.js"):
        text = source.read_text("utf-8")
        for key in re.findall(r'(?:\bsay\(|chatlabWords\[)\s*"([^"]+)"', text):
            assert key in TEXTS["en"], (source.name, key)


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
        ({"chat.incident": "{who}"}, "chat.incident: there is nothing to put into {who}"),
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
