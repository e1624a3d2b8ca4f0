"""Votes as files: what is written is read back, and what others write is understood."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatlab.compare.statistics import votes_csv
from chatlab.compare.statistics.judgements import SOURCES, WINNERS, Judgement
from chatlab.errors import UnsupportedContent

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.none() | st.integers(0, 10**6)


@st.composite
def any_judgement(draw: st.DrawFn) -> Judgement:
    a, b = draw(st.lists(TEXT, min_size=2, max_size=2, unique=True))
    return Judgement(
        a,
        b,
        draw(st.sampled_from(WINNERS)),
        *(draw(TEXT) for _ in range(3)),
        *(draw(NUMBER) for _ in range(4)),
        draw(st.sampled_from(SOURCES)),
        draw(TEXT),
        draw(st.floats(min_value=5e-324, allow_infinity=False)),
    )


@given(st.lists(any_judgement(), max_size=5))
def test_csv_and_json_lines_are_read_back_exactly(given: list[Judgement]) -> None:
    assert votes_csv.from_csv(votes_csv.to_csv(given)) == given
    assert votes_csv.from_jsonl(votes_csv.to_jsonl(given)) == given


@pytest.mark.parametrize("name", ["votes.csv", "votes.jsonl"])
def test_files_are_read_back_exactly(tmp_path: Path, name: str) -> None:
    given = [
        Judgement("a\r\n", 'b "quoted", é', "tie", item="\n", weight=0.1),
        Judgement("a", "b", "model_b"),
    ]
    votes_csv.write(tmp_path / name, given)
    assert votes_csv.read(tmp_path / name) == given


def test_the_first_columns_are_those_that_others_read() -> None:
    text = votes_csv.to_csv([Judgement("x", "y", "tie (bothbad)", voter="v")])
    row = next(csv.DictReader(io.StringIO(text)))
    assert list(row)[:3] == ["model_a", "model_b", "winner"]
    assert (row["model_a"], row["winner"], row["position_a"]) == ("x", "tie (bothbad)", "")
    line = json.loads(votes_csv.to_jsonl([Judgement("x", "y", "model_a")]))
    assert line["winner"] == "model_a" and line["position_a"] is None


def test_arena_data_are_read_with_their_own_columns_passed_over() -> None:
    text = (
        "﻿question_id,model_a,model_b,winner,judge,turn,tstamp\n"
        "58210e39,alpaca-13b,koala-13b,model_b,arena_user_973,1,1682351591.13\n"
        "dd38c4fd,vicuna-7b,koala-13b,tie (bothbad),arena_user_2,1,1682351654.66\n"
        "11111111,vicuna-7b,koala-13b,both_bad,arena_user_2,1,1682351654.66\n"
    )
    found = votes_csv.from_csv(text.removeprefix("﻿"))
    assert [one.winner for one in found] == ["model_b", "tie (bothbad)", "tie (bothbad)"]
    assert found[0] == Judgement("alpaca-13b", "koala-13b", "model_b")
    assert votes_csv.from_jsonl('{"model_a": "x", "model_b": "y", "winner": "tie", "judge": null}\n') == [
        Judgement("x", "y", "tie")
    ]


def test_a_byte_order_mark_of_a_spreadsheet_is_no_part_of_a_column(tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_bytes(b"\xef\xbb\xbfmodel_a,model_b,winner\r\nx,y,tie\r\n")
    assert votes_csv.read(tmp_path / "v.csv") == [Judgement("x", "y", "tie")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model_a,winner\n", "votes.csv:1: the header has no model_b"),
        ("", "votes.csv:1: the header has no model_a, model_b, winner"),
        ("model_a,model_b,winner\nx,y,tie\nx,y,left\n", "votes.csv:3: winner: "),
        ("model_a,model_b,winner\nx,y\n", "votes.csv:2: winner: "),
        ("model_a,model_b,winner\nx,x,tie\n", "votes.csv:2: .*two lanes"),
        ("model_a,model_b,winner,weight\nx,y,tie,heavy\n", "votes.csv:2: weight: "),
    ],
)
def test_what_is_no_vote_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "votes.csv").write_text(text)
    with pytest.raises(UnsupportedContent, match=f"^{said}"):
        votes_csv.read(tmp_path / "votes.csv")


@pytest.mark.parametrize("line", ["{", "[]", '"tie"', '{"model_a": "x"}'])
def test_so_it_is_for_json_lines(tmp_path: Path, line: str) -> None:
    (tmp_path / "v.jsonl").write_text(f'{{"model_a": "x", "model_b": "y", "winner": "tie"}}\n\n{line}\n')
    with pytest.raises(UnsupportedContent, match=r"^v\.jsonl:3: "):
        votes_csv.read(tmp_path / "v.jsonl")


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedContent, match=r"none\.csv could not be read"):
        votes_csv.read(tmp_path / "none.csv")
    (tmp_path / "v.csv").write_bytes(b"caf\xe9")
    with pytest.raises(UnsupportedContent, match="UTF-8"):
        votes_csv.read(tmp_path / "v.csv")
