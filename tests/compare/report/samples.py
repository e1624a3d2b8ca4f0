"""A comparison to report on, with everything in it that a report can show."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from chatlab.compare.model import Check, Comparison, Lane, Receipt, Result, Verdict, Vote
from chatlab.compare.session.receipt import digest
from chatlab.messages import FilePart, Finish, Message, Notice, ReasoningPart, TextPart, Timing, Usage
from chatlab.store import StoredTurn

WHEN = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
LANES = (Lane("l1", "gpt", "GPT mini"), Lane("l2", "qwen", "Qwen", {"temperature": 0.2}, "Be brief."))
PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89"
    b"\x00\x00\x00\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x05\x02\x00_\xc8\xf1\xd2\x00\x00\x00\x00IEND\xaeB`\x82"
)


def turn(lane: Lane, prompt: Message, text: str, seconds: float, **changes: Any) -> StoredTurn:
    values: dict[str, Any] = {
        "id": f"{lane.id}-{seconds:g}",
        "owner": "",
        "conversation": "c",
        "parent": None,
        "created": WHEN,
        "user": prompt,
        "backend": lane.backend,
        "kind": "openai",
        "label": lane.label,
        "parameters": lane.parameters,
        "system": lane.system,
        "sent": lane.parameters,
        "status": "finished",
        "answer": (TextPart(text),),
        "finish": Finish("stop", Usage(12, 30), f"{lane.backend}-2026"),
        "timing": Timing(
            first_token=seconds / 4, total=seconds, longest_stall=0.1, tokens_per_second=40 / seconds
        ),
        "cost": 0.0001 * seconds,
    }
    return StoredTurn(**{**values, **changes})


def result(lane: Lane, item: str, prompt: Message, text: str, seconds: float, **changes: Any) -> Result:
    system = () if lane.system is None else (Message.of("system", lane.system),)
    shown = Message("user", tuple(part for part in prompt.parts if isinstance(part, TextPart)))
    messages = (*system, shown)
    repeat = changes.pop("repeat", 0)
    receipt = Receipt(
        *(lane.backend, "openai", messages, lane.parameters, digest(messages, lane.parameters)),
        lane.backend,
        f"{lane.backend}-2026",
        "https://api.example/v1",
    )
    made = turn(lane, prompt, text, seconds, **changes)
    return Result(
        item, 0, repeat, lane.id, made, receipt, (Check("contains sky", "sky" in text, 1.0, "it says"),)
    )


def comparison(prompts: int = 8, **changes: Any) -> Comparison:
    """Two lanes of which the first is always quicker and mostly preferred."""
    results, votes, verdicts = [], [], []
    for number in range(1, prompts + 1):
        prompt = Message.of("user", f"Why is the sky blue, question {number}?")
        if number == 1:
            prompt = Message("user", (FilePart("image/png", "pixel.png", data=PIXEL), *prompt.parts))
        for place, lane in enumerate(LANES):
            text = f"Answer {number} of **{lane.backend}**: the sky scatters <b>blue</b> light."
            text += "\n\n```python\nx = 1\n```"
            changed: dict[str, Any] = {}
            if number == 2 and place:
                changed = {"status": "failed", "error": "Qwen is not reachable", "finish": None}
            if number == 3:
                answer = (ReasoningPart("thought hard"), TextPart(text))
                changed = {"answer": answer, "notices": (Notice("parameter_ignored", "seed was ignored"),)}
            results.append(result(lane, f"r{number}", prompt, text, 0.4 + place + 0.03 * number, **changed))
        best = "l2" if number == 4 else "tie" if number == 5 else "l1"
        at = WHEN + timedelta(minutes=number)
        note = f"note {number}"
        votes.append(Vote(f"r{number}", "overall", best, ("l1", "l2"), "ann", at, True, ("clear",), note))
        verdicts.append(
            Verdict(
                f"r{number}",
                0,
                0,
                "l1",
                "l2",
                "flip" if number == 6 else "l1",
                "judge-1",
                "overall",
                ("a", "b"),
            )
        )
    values: dict[str, Any] = {
        "title": "Sky & <light>",
        "created": WHEN,
        "mode": "own",
        "order": "parallel",
        "blind": True,
        "lanes": LANES,
        "results": tuple(results),
        "votes": tuple(votes),
        "verdicts": tuple(verdicts),
        "versions": {"chatlab": "9.9", "Python": "3.11"},
        "session": "s1",
        "mismatches": ("message 1, GPT mini and Qwen: message 1 (user): a | b",),
        "notes": ("Something of the session is not in it: 1.",),
    }
    return Comparison(**{**values, **changes})


NAMES = (
    "GPT mini",
    "Haiku",
    "Qwen 8B (local)",
    "Scout",
    "Small",
    "A retrieval agent",
    "hot",
    "A rather long name",
)


def run_of_many(lanes: int = 8, prompts: int = 12) -> Comparison:
    """A run. The first lane fails with prompt 6, any other n-th with every n-th; the third did not finish
    prompt 5."""
    made = [Lane(f"l{number}", f"b{number}", NAMES[number]) for number in range(lanes)]
    results, verdicts = [], []
    for number in range(1, prompts + 1):
        prompt = Message.of("user", f"Question {number}, which is long enough to be more than a line")
        for place, lane in enumerate(made):
            failed = place == 2 and number == 5
            changes: dict[str, Any] = {"status": "failed", "error": "gone", "finish": None} if failed else {}
            wrong = number % (place + 1) == 0 if place else number == 6
            text = "no idea" if wrong else "the sky"
            one = result(lane, f"q{number}", prompt, text, 0.4 + place + 0.01 * number, **changes)
            results.append(replace(one, checks=()) if failed else one)
        if lanes > 1:
            judged = ("l0", "l1", "l0", "judge-1", "overall", ("a", "b"), 0.25, ("first", "second"))
            verdicts.append(Verdict(f"q{number}", 0, 0, *judged))
    return comparison(
        1,
        **{"title": "Many", "mode": None, "order": "interleaved", "blind": False, "lanes": tuple(made)},
        **{"results": tuple(results), "votes": (), "verdicts": tuple(verdicts), "session": ""},
        **{"mismatches": (), "notes": ()},
    )
