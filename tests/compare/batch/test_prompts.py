"""Files of prompts: what they say, and what is wrong with them."""

import json
from pathlib import Path

import pytest

from chatlab.backend import Parameter
from chatlab.compare.batch.item import CheckSpec, Item
from chatlab.compare.batch.prompts import (
    PromptsError,
    item_from_json,
    item_to_json,
    load_items,
    read_items,
)
from chatlab.compare.batch.stored_items import StoredItems
from chatlab.compare.statistics.votes_csv import from_csv
from chatlab.messages import FilePart, Message


def said(item: Item) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in item.messages]


def lines(*values: object) -> str:
    return "\n".join(json.dumps(value) for value in values)


def test_a_text_file_has_a_prompt_a_line() -> None:
    items = read_items("one\n\n  two words \r\nthree\u2028still three", "p.txt")
    assert [(item.id, said(item)) for item in items] == [
        ("1", [("user", "one")]),
        ("2", [("user", "  two words ")]),
        ("3", [("user", "three\u2028still three")]),
    ]


def test_a_json_line_has_a_prompt_or_messages_and_what_goes_with_them() -> None:
    items = read_items(
        lines(
            "just a text",
            {"prompt": "2 + 2?", "expected": 4, "tags": "sums", "id": "sum", "checks": ["numeric:1%"]},
            {
                "messages": [{"role": "user", "content": "hi"}],
                "system": "be brief",
                "parameters": {"seed": 1},
            },
        ),
        "p.jsonl",
    )
    assert items[0] == Item("1", (Message.of("user", "just a text"),))
    assert items[1] == Item(
        "sum", (Message.of("user", "2 + 2?"),), "4", ("sums",), (CheckSpec("numeric", "1%"),)
    )
    assert said(items[2]) == [("system", "be brief"), ("user", "hi")] and items[2].parameters == {"seed": 1}


def test_without_an_ending_json_lines_are_told_by_how_they_begin() -> None:
    for text in ('\n{"prompt": "one"}\n"two"', '{"prompt": "one"}\n{"prompt": "two"}'):
        assert [said(item) for item in read_items(text, "standard input")] == [
            [("user", "one")],
            [("user", "two")],
        ]
    (item,) = read_items("[sic] is what?", "standard input")
    assert said(item) == [("user", "[sic] is what?")]


def test_parameters_are_held_against_what_the_lanes_take_and_all_mistakes_told() -> None:
    length, heat = Parameter("max_tokens", "int", minimum=1), Parameter("temperature", "float", maximum=2)
    accepted = {"A": [length, heat], "B": [length], "declares none": []}
    text = lines(
        {"prompt": "x", "parameters": {"max_tokens": 5, "temperature": 1}},
        {"prompt": "x", "parameters": {"max_tokens": -4, "temperatur": 1}},
        {"promt": "x"},
        {"prompt": "x", "parameters": {"temperature": 3, "voice": "low"}},
    )
    with pytest.raises(PromptsError) as caught:
        read_items(text, "p.jsonl", accepted)
    assert caught.value.problems == [
        "p.jsonl:2: the parameter max_tokens should be at least 1 (lane A, B)",
        "p.jsonl:2: unknown parameter 'temperatur', did you mean temperature?",
        "p.jsonl:3: unknown key 'promt', did you mean prompt?",
        "p.jsonl:4: the parameter temperature should be at most 2 (lane A)",
        "p.jsonl:4: unknown parameter 'voice': the lanes know max_tokens, temperature",
    ]
    assert len(read_items(lines({"prompt": "x", "parameters": {"voice": 1}}), "p.jsonl", {"B": []})) == 1


def test_a_csv_file_has_columns_in_any_order_and_cells_of_several_lines() -> None:
    text = (
        "Expected,prompt,id,tags,prompt2,contains\n"
        'Paris,"Capital of\nFrance?",fr,"geo, easy",And Spain?,Par\n'
        ",two,,,,\n"
    )
    first, second = read_items(text, "p.csv")
    assert first == Item(
        "fr",
        (Message.of("user", "Capital of\nFrance?"), Message.of("user", "And Spain?")),
        "Paris",
        ("geo", "easy"),
        (CheckSpec("contains", "Par"),),
    )
    assert second == Item("2", (Message.of("user", "two"),))


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"\xef\xbb\xbfprompt\nhello\n")
    assert said(load_items(tmp_path / "p.csv")[0]) == [("user", "hello")]


def test_user_messages_are_asked_in_turn_and_answered_ones_are_history() -> None:
    messages = [
        {"role": "user", "content": "my name is Ada"},
        {"role": "assistant", "content": "hello Ada"},
        {"role": "user", "content": "first"},
        {"role": "user", "content": "second"},
    ]
    (item,) = read_items(lines({"messages": messages}), "p.jsonl")
    assert item.asked == (2, 3)
    assert [m.text for m in item.conversation([])] == ["my name is Ada", "hello Ada", "first"]
    answered = item.conversation([Message.of("assistant", "own answer")])
    assert [(m.role, m.text) for m in answered][2:] == [
        ("user", "first"),
        ("assistant", "own answer"),
        ("user", "second"),
    ]


def test_a_step_without_an_answer_is_not_sent_again() -> None:
    (item,) = read_items(lines({"prompt": ["one", "two", "three"]}), "p.jsonl")
    sent = item.conversation([Message("assistant", ()), Message.of("assistant", "2")])
    assert [m.text for m in sent] == ["two", "2", "three"]


def test_every_mistake_is_told_at_once_with_its_line() -> None:
    text = "\n".join(
        [
            '{"prompt": "fine"}',
            "not json",
            '{"promt": "x"}',
            '{"prompt": "x", "expcted": "y"}',
            '{"prompt": ""}',
            '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}',
            '{"prompt": "x", "checks": ["regx:a"]}',
            '{"prompt": "x", "checks": ["regex:("]}',
            '{"id": "1", "prompt": "x"}',
            '{"messages": [{"role": "robot", "content": "q"}]}',
            '{"prompt": "x", "checks": ["python:os:system"]}',
        ]
    )
    with pytest.raises(PromptsError) as caught:
        read_items(text, "dir/p.jsonl")
    problems = caught.value.problems
    assert [problem.split(": ")[0] for problem in problems] == [f"dir/p.jsonl:{n}" for n in range(2, 12)]
    for problem, word in zip(
        problems,
        (
            *("JSON", "did you mean prompt", "did you mean expected", "empty", "under expected"),
            *("did you mean regex", "pattern", "line 1", "robot", "cannot name code"),
        ),
        strict=True,
    ):
        assert word in problem


@pytest.mark.parametrize(
    ("text", "name", "word"),
    [
        ("\n \n", "p.txt", "has no prompts"),
        ('["one"]', "p.json", "p.json: prompts are not read from .json: write one JSON value a line"),
        ('[\n{"prompt": "one"}\n]', "standard input", "standard input:1: this line is not JSON"),
        ("{}", "p.jsonl", "p.jsonl:1: an item is a JSON text, or an object with either prompt or messages"),
        ("prompt,expectd\na,b\n", "p.csv", "p.csv:1: unknown column 'expectd', did you mean expected?"),
        ("text\na\n", "p.csv", "one of them is prompt"),
        ("prompt,id\na,b,c\n\n,x\n", "p.csv", "p.csv:2: there are more cells"),
        ("prompt,id\na,b,c\n\n,x\n", "p.csv", "p.csv:4: the prompt is empty"),
        ('prompt\n"a\nb', "p.csv", "not CSV"),
        ('prompt,id\n"two\nlines",1\nx,1\n', "p.csv", "p.csv:4: the id '1' is that of line 2 too"),
    ],
)
def test_mistakes_of_a_whole_file(text: str, name: str, word: str) -> None:
    with pytest.raises(PromptsError) as caught:
        read_items(text, name)
    assert word in str(caught.value)


def test_a_file_that_is_not_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes(b"caf\xe9")
    with pytest.raises(PromptsError, match="not UTF-8"):
        load_items(tmp_path / "p.txt")


def test_an_item_is_the_same_after_json() -> None:
    item = Item(
        "x",
        (Message("user", (FilePart("image/png", "a.png", data=b"\x89"),)),),
        "Paris",
        ("a", "b"),
        (CheckSpec("json_schema", {"type": "object"}), CheckSpec("exact"), CheckSpec("numeric", "1%")),
        {"seed": 1},
    )
    assert item_from_json(json.loads(json.dumps(item_to_json(item)))) == item


def test_the_hash_is_that_of_what_the_items_say_and_not_of_the_file() -> None:
    text, json_lines = read_items("one\ntwo\n", "p.txt"), read_items('{"prompt":"one"}\n"two"\n', "q.jsonl")
    said = StoredItems.of(text).sha256
    assert said == StoredItems.of(json_lines).sha256
    assert said != StoredItems.of(text[:1]).sha256


# Files as spreadsheets, editors and shells write them


TABLE = 'id,prompt,expected\n1,"Hello, you",a\n2,Grüße,"b\nc"\n'


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32-le", b"\xff\xfe\0\0"),
        ("utf-32-be", b"\0\0\xfe\xff"),
    ],
)
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_table_of_any_encoding_that_says_so_is_the_same(
    encoding: str, mark: bytes, ends: str, tmp_path: Path
) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(mark + TABLE.replace("\n", ends).encode(encoding))
    items = load_items(path)
    assert [item.id for item in items] == ["1", "2"]
    assert [item.messages[0].text for item in items] == ["Hello, you", "Grüße"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            "Grüße".encode("latin-1"),
            r"not UTF-8 text \(line 1, byte 0xfc\): it may be Latin-1",
        ),
        ("a\nb\n“c”".encode("cp1252"), r"not UTF-8 text \(line 3, byte 0x93\)"),
        ("Hello you".encode("utf-16-le"), "not UTF-8 text: it looks like UTF-16 without a byte order mark"),
        ("Hello you".encode("utf-16-be"), "it looks like UTF-16"),
        ("Hello you".encode("utf-32-le"), "it looks like UTF-32"),
        (b"\xff\xfea", "cut or damaged"),
    ],
)
def test_an_encoding_that_can_only_be_guessed_is_a_sentence(data: bytes, said: str, tmp_path: Path) -> None:
    for name in ("p.txt", "p.csv", "p.jsonl"):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(PromptsError, match=said):
            load_items(path)


@pytest.mark.parametrize("name", ["standard input", "p.txt", "p.jsonl", "p.csv"])
def test_the_mark_of_a_pipe_is_no_part_of_a_prompt(name: str) -> None:
    text = {"p.txt": "Hi", "p.csv": "prompt\nHi"}.get(name, '{"prompt": "Hi"}')
    (item,) = read_items("\ufeff" + text, name)
    assert item.messages[0].text == "Hi"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("head", ["", "sep"])
def test_cells_may_be_divided_otherwise(delimiter: str, head: str) -> None:
    first = f"sep={delimiter}\r\n" if head else ""
    text = f'{first}ID{delimiter}Prompt{delimiter}expected\n7{delimiter}"a{delimiter} b"{delimiter}c\n'
    (item,) = read_items(text, "p.csv")
    assert (item.id, item.messages[0].text, item.expected) == ("7", f"a{delimiter} b", "c")
    with pytest.raises(PromptsError, match=rf"p\.csv:{3 if head else 2}: there are more cells than columns"):
        read_items(f"{first}prompt{delimiter}id\na{delimiter}b{delimiter}c\n", "p.csv")


def test_a_file_of_tabs_is_a_table_too_and_a_comma_in_it_is_one() -> None:
    (item,) = read_items("prompt;expected\nHello, you;a\n", "p.tsv")
    assert (item.messages[0].text, item.expected) == ("Hello, you", "a")
    (item,) = read_items("prompt\texpected\nHello, you\ta;b\n", "p.tsv")
    assert (item.messages[0].text, item.expected) == ("Hello, you", "a;b")
    (item,) = read_items("prompt\nWhat is a;b?\n", "p.csv")
    assert item.messages[0].text == "What is a;b?"


def test_a_cell_may_be_as_long_as_a_prompt() -> None:
    long = "x" * 500_000
    (item,) = read_items(f"prompt\n{long}\n", "p.csv")
    assert item.messages[0].text == long
    judged = from_csv(f"model_a,model_b,winner,item\na,b,tie,{long}\n")
    assert judged[0].item == long


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_no_json(number: str) -> None:
    with pytest.raises(PromptsError, match=r"p\.jsonl:1: this line is not JSON: "):
        read_items(f'{{"prompt": "x", "parameters": {{"temperature": {number}}}}}', "p.jsonl")
