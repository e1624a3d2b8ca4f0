"""Receipts: what a lane was really sent, and whether that is what it should have been."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatlab.backend import CallContext, shown_url
from chatlab.compare.model import Receipt
from chatlab.compare.model_json import receipt_from_json, receipt_to_json
from chatlab.compare.session.mismatch import find_mismatches
from chatlab.compare.session.receipt import canonical, difference, digest, receipt_of
from chatlab.compare.session.session import ComparisonSession
from chatlab.config.models import CompareLane
from chatlab.config.registry import backend_class
from chatlab.messages import FilePart, Message, TextPart
from chatlab.turns.turn import run_turn
from tests.compare.session.numbers_upstream import NumbersUpstream
from tests.compare.session.scripted import script, scripted


def receipt(*texts: str, **parameters: Any) -> Receipt:
    roles = ("user", "assistant")
    messages = tuple(Message.of(roles[number % 2], text) for number, text in enumerate(texts))  # type: ignore[arg-type]
    return Receipt("a", "script", messages, parameters, digest(messages, parameters))


async def test_a_receipt_is_what_the_backend_was_given_and_not_what_was_meant() -> None:
    backends = scripted("a", takes=())
    picture = FilePart("image/png", "sky.png", data=b"png")
    asked = Message("user", (TextPart("What is it?"), picture))
    async with run_turn(
        backends["a"], [asked], parameters={"temperature": 1, "top_k": 3}, system="Be brief."
    ) as turn:
        async for _ in turn.batches():
            pass
    found = receipt_of(turn, backends["a"], ctx=CallContext(identity="ada"))
    assert found is not None
    request = script(backends, "a").requests[-1]
    assert (
        found.messages
        == request.messages
        == (Message.of("system", "Be brief."), Message.of("user", "What is it?"))
    )
    assert found.parameters == request.parameters == {"temperature": 1}
    assert (found.model, found.model_answered, found.endpoint, found.identity) == (
        *("scripted-1", "scripted-1", "http://scripted.example/v1", "ada"),
    )
    assert found.dropped == (
        "sky.png was not sent: no image/png here",
        "top_k is not a parameter of this backend",
    )


async def test_a_turn_that_failed_before_its_request_has_no_receipt() -> None:
    backends = scripted("a", takes=())
    turn = run_turn(backends["a"], [Message("user", (FilePart("image/png", data=b"png"),))])
    async with turn:
        with pytest.raises(Exception, match="nothing to send"):
            async for _ in turn.batches():
                pass
    assert receipt_of(turn, backends["a"]) is None


async def test_the_hash_on_the_wire_is_that_of_the_body_the_upstream_received() -> None:
    with NumbersUpstream() as upstream:
        backends = upstream.backends()
        lanes = [CompareLane(backend="upstream", parameters={"seed": seed}) for seed in (1, 2)]
        session = await ComparisonSession.create(backends, lanes, owner="me")
        round_id = await session.ask("Hello")
        await session.settled()
        hashes = {receipt.wire_sha256 for receipt in session.receipts(round_id).values()}
        assert hashes == {hashlib.sha256(seen.body).hexdigest() for seen in upstream.requests}
        assert len(hashes) == 2
        await session.aclose()
        await backends.aclose()


def test_the_hash_depends_on_messages_and_parameters_and_on_nothing_else() -> None:
    one = receipt("Hello", a=1, b=[1, 2])
    assert one.sha256 == receipt("Hello", b=[1, 2], a=1).sha256
    others = [
        receipt("Hello ", a=1, b=[1, 2]),
        receipt("Hello", a=1, b=[2, 1]),
        receipt("Hello", a=2, b=[1, 2]),
        receipt("Hello"),
    ]
    assert len({one.sha256, *(other.sha256 for other in others)}) == 5
    assert canonical({"b": "é", "a": 1.5}) == '{"a":1.5,"b":"é"}'.encode()


@settings(max_examples=40)
@given(st.lists(st.text(max_size=20), max_size=4), st.dictionaries(st.text(max_size=3), st.integers()))
def test_a_receipt_is_the_same_after_json(texts: list[str], parameters: Mapping[str, int]) -> None:
    one = replace(receipt(*texts, **parameters), model="m", dropped=("something",), wire_sha256="00")
    assert receipt_from_json(json.loads(json.dumps(receipt_to_json(one)))) == one


def test_a_file_is_named_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "sky.png"
    path.write_bytes(b"png")
    hashes = {
        digest((Message("user", (part,)),), {})
        for part in (
            receipt_part(FilePart("image/png", path=path)),
            receipt_part(FilePart("image/png", "sky.png", data=b"png")),
        )
    }
    assert len(hashes) == 1


def receipt_part(part: FilePart) -> Any:
    from chatlab.compare.session.receipt import by_content

    named = by_content(Message("user", (part,))).parts[0]
    assert isinstance(named, FilePart) and named.url == "sha256:" + hashlib.sha256(b"png").hexdigest()
    return named


def test_a_difference_says_which_message_and_parameter_and_shows_where_they_part() -> None:
    long = "the same for a long while " * 10
    found = difference(receipt("Hi", long + "here", t=1, k=2), receipt("Hi", long + "there", t=1.5))
    assert [(one.where, one.what) for one in found] == [
        ("messages", "message 2 (assistant)"),
        ("parameters", "parameter k"),
        ("parameters", "parameter t"),
    ]
    assert found[0].a is not None and found[0].a.endswith("here") and len(found[0].a) < 90
    assert str(found[1]) == "parameter k: 2 | not sent"
    assert difference(receipt("Hi", t=1), receipt("Hi", t=1)) == ()


def test_a_message_that_only_one_was_sent_does_not_hide_that_the_rest_is_alike() -> None:
    without = receipt("One", "Two", "Three")
    briefed = replace(without, messages=(Message.of("system", "Be brief."), *without.messages))
    (found,) = difference(without, briefed)
    assert (found.what, found.a, found.b) == ("message 1 (system)", None, "system: Be brief.")


# -- what should have been sent


async def test_a_lane_that_was_sent_something_else_than_its_history_is_found() -> None:
    backends = scripted("a", "b")
    session = await ComparisonSession.create(backends, ["a", "b"], owner="me")
    round_id = await session.ask("My secret is 1")
    await session.settled()
    assert session.state.checked == {round_id: ()}
    turns = {turn_id: session.turn(turn_id) for turn_id in session.state.positions}
    receipts = dict(session.receipts(round_id))
    (mine, _), (lane, _) = receipts, session.state.lanes
    foreign = (Message.of("user", "My secret is 2"),)
    receipts[mine] = replace(receipts[mine], messages=foreign, sha256=digest(foreign, {}))
    alone, pair = find_mismatches(session.state, turns, receipts, backends, round_id)
    assert (alone.turns, alone.lanes) == ((mine,), (lane.id,))
    assert "My secret is 1" in alone.reason and "My secret is 2" in alone.reason
    assert pair.turns == tuple(receipts)
    receipts[mine] = replace(session.receipts(round_id)[mine], sha256="00")
    (forged,) = find_mismatches(session.state, turns, receipts, backends, round_id)
    assert forged.reason == "the receipt's hash is not that of its content"
    await session.aclose()


async def test_lanes_that_were_meant_to_differ_are_no_mismatch() -> None:
    backends = scripted("a")
    lanes = [
        CompareLane(backend="a", parameters={"temperature": 0}),
        CompareLane(backend="a", parameters={"temperature": 1}),
        CompareLane(backend="a", system="Be brief."),
    ]
    session = await ComparisonSession.create(backends, lanes, owner="me")
    for message in ("One", "Two"):
        round_id = await session.ask(message)
        await session.settled()
        assert session.mismatches(round_id) == ()
    await session.aclose()


# -- where calls go


@pytest.mark.parametrize(
    ("kind", "options", "model", "endpoint"),
    [
        ("openai", {"model": "m"}, "m", "https://api.openai.com/v1"),
        ("openai", {"model": "m", "base_url": "http://h:1/v1?key=s3cret"}, "m", "http://h:1/v1"),
        (
            "openai",
            {"azure": {"endpoint": "https://n.openai.azure.com/", "deployment": "d"}},
            *("d", "https://n.openai.azure.com/openai/v1"),
        ),
        ("databricks", {"endpoint": "e", "host": "https://dbc.example"}, "e", "https://dbc.example"),
        ("databricks", {"endpoint": "e"}, "e", None),
        ("huggingface", {"model": "org/name"}, "org/name", None),
        ("huggingface", {"model": "https://u@h.example/x?token=s3cret"}, None, "https://h.example/x"),
        ("langchain", {"model": "openai:m", "base_url": "http://u:s3cret@h/v1"}, "m", "http://h/v1"),
        ("langchain", {"model": "anthropic:m"}, "m", None),
        ("langchain", {"object": "mine:graph"}, "mine:graph", None),
        ("echo", {}, "echo", None),
        ("replay", {"recording": "folder/sample.jsonl"}, "sample.jsonl", None),
    ],
)
def test_a_kind_says_which_model_is_called_where_and_no_secret(
    kind: str, options: Any, model: str | None, endpoint: str | None
) -> None:
    cls = backend_class(kind)
    found = cls.target(cls.Options.model_validate(options))
    assert (found.model, found.endpoint) == (model, endpoint)


def test_a_shown_url_has_no_user_query_or_fragment() -> None:
    assert shown_url("https://u:p@h.example:8443/v1?key=x#y") == "https://h.example:8443/v1"
    assert shown_url("http://[::1]:80/v1") == "http://[::1]:80/v1"
