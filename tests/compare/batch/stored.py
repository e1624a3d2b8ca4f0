"""Runs whose results are on the disk already, of any length."""

from __future__ import annotations

from pathlib import Path

from chatlab.compare.batch.folder import Plan, write_plan
from chatlab.compare.batch.prompts import read_items
from chatlab.compare.model import Lane, Result
from chatlab.compare.model_json import result_to_json, to_line
from chatlab.ids import ConversationId, LaneId, TurnId
from chatlab.messages import Finish, Message, TextPart, Timing, Usage
from chatlab.store import StoredTurn, now

LANES = tuple(Lane(LaneId(name), name, name) for name in "ab")
WHEN = now()


def result(item: str, lane: str, answer: str = "fine " * 40, *, step: int = 0, repeat: int = 0) -> Result:
    turn = StoredTurn(
        TurnId(f"{item}{lane}{step}{repeat}"),
        "",
        ConversationId(""),
        None,
        WHEN,
        Message.of("user", f"prompt {item}"),
        lane,
        "echo",
        lane,
        status="finished" if answer else "failed",
        answer=(TextPart(answer),) if answer else (),
        error=None if answer else f"{lane} broke",
        finish=Finish("stop", Usage(3, len(answer))) if answer else None,
        timing=Timing(first_token=0.1, total=1.0 + len(item)),
    )
    return Result(item, step, repeat, LaneId(lane), turn, None)


def run_of(folder: Path, prompts: int, lines: list[Result] | None = None) -> Path:
    """Make the folder of a run, which has all answers if no lines are given."""
    folder.mkdir()
    items = read_items("\n".join(f"prompt {n}" for n in range(prompts)), "p.txt")
    write_plan(folder, Plan("test", WHEN, LANES, tuple(items), 1, 1, "interleaved"))
    with (folder / "results.jsonl").open("w") as out:
        for item in items if lines is None else ():
            out.writelines(to_line(result_to_json(result(item.id, lane.id))) for lane in LANES)
        out.writelines(to_line(result_to_json(one)) for one in lines or ())
    return folder
