"""The folder of a run of many prompts: what was to be run, and what came of it so far.

run.json          the plan: lanes, repeats, seed, checks, judge, and the hash of the prompts
prompts.jsonl     one prompt a line
results.jsonl     one `Result` a line, as they come; of an answer asked for again, the last line counts
verdicts.jsonl    one `Verdict` a line
ledger.jsonl      what was set aside and paid for calls of backends that have prices
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from chatlab.compare.batch.append_log import AppendLog, JournalLine, read_only
from chatlab.compare.batch.checks import parse_check
from chatlab.compare.batch.conflicts import judge_conflicts
from chatlab.compare.batch.item import CheckSpec, Item
from chatlab.compare.batch.on_disk import ResultsOnDisk, VerdictsOnDisk
from chatlab.compare.batch.prompts import item_from_json
from chatlab.compare.batch.stored_items import StoredItems, stored_items
from chatlab.compare.batch.whole_file import whole_file
from chatlab.compare.model import Comparison, Lane, Order, Result, Verdict
from chatlab.compare.model_json import lane_from_json, lane_to_json, result_line, verdict_to_json
from chatlab.compare.versions import versions
from chatlab.config.registry import Entry
from chatlab.errors import ChatlabError, StoreError
from chatlab.ids import ConversationId, LaneId

_PLAN = "run.json"
_PROMPTS = "prompts.jsonl"
_RESULTS = "results.jsonl"
_VERDICTS = "verdicts.jsonl"
_VERSION = 2  # 1 had the prompts in run.json


class Different(ChatlabError):
    """A run cannot go on, since something of it is not what it was; the sentence names all of that."""

    http_status = 409


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a run. It is drawn up once; whoever goes on with the run must mean the same.

    settings: the hash of what decides a backend's answers, by backend. judge: a backend's name or address.
    judge_model, lane_models: the models that the judge and, by lane, the backends ask for, as far as known.
    comparison: the session it goes to in the store, conversations: each lane's there; None without one.
    config: the configuration file. budget: in money, concurrency: calls at once, lane_concurrency and rpm:
    limits of lanes, as they were written; each of the newest sitting that named it, since they may change.
    """

    title: str
    created: datetime
    lanes: tuple[Lane, ...]
    items: Sequence[Item]
    repeats: int
    seed: int
    order: Order
    checks: tuple[CheckSpec, ...] = ()
    judge: str | None = None
    criteria: tuple[str, ...] = ("overall",)
    settings: Mapping[str, str] = field(default_factory=dict)
    comparison: str | None = None
    conversations: Mapping[LaneId, ConversationId] = field(default_factory=dict)
    config: str | None = None
    budget: float | None = None
    concurrency: int = 4
    lane_concurrency: tuple[str, ...] = ()
    rpm: tuple[str, ...] = ()
    judge_model: str | None = None
    lane_models: Mapping[str, str] = field(default_factory=dict)


def settings_of(entry: Entry) -> str:
    """Return a hash of what decides a backend's answers: its kind, options, parameters and system prompt.

    Neither secrets, which options only name, nor timeouts, prices and labels are part of it.
    """
    config = entry.config
    told = [config.kind, dict(config.parameters), entry.system, config.options.model_dump(mode="json")]
    return sha256(json.dumps(told, sort_keys=True).encode("ascii")).hexdigest()


def refuse_differences(was: Plan, now: Plan) -> None:
    """Raises Different, naming everything in which the second plan is not the first one."""
    found = []
    if [_lane_said(lane) for lane in was.lanes] != [_lane_said(lane) for lane in now.lanes]:
        found.append(f"the lanes were {_labels(was)} and are {_labels(now)}")
    changed = [name for name, told in was.settings.items() if now.settings.get(name, told) != told]
    if changed:
        found.append(f"the settings of {', '.join(changed)} have changed")
    if stored_items(was.items).sha256 != stored_items(now.items).sha256:
        found.append("the prompts are others")
    for what, before, after in (
        ("repeats", was.repeats, now.repeats),
        ("seed", was.seed, now.seed),
        ("checks", [spec.to_json() for spec in was.checks], [spec.to_json() for spec in now.checks]),
        ("judge", was.judge, now.judge),
        ("criteria", list(was.criteria), list(now.criteria)),
    ):
        if before != after:
            found.append(f"{what} was {json.dumps(before)} and is {json.dumps(after)}")
    if found:
        raise Different(f"this run cannot go on: {'; '.join(found)}. Begin another with --out")


def _lane_said(lane: Lane) -> tuple[Any, ...]:
    return lane.backend, lane.label, dict(lane.parameters), lane.system


def _labels(plan: Plan) -> str:
    return ", ".join(
        lane.label + (" with settings" if lane.parameters or lane.system else "") for lane in plan.lanes
    )


class RunFolder:
    """The folder of a run, open: no other process can go on with it meanwhile. Close it.

    results and verdicts: what is there, by what they are about; those of failed calls as well. They stay on
    the disk.
    """

    def __init__(self, path: Path, items: StoredItems | None = None) -> None:
        """items: its prompts, where they are known. Raises StoreError if it is none, or another process has
        it.
        """
        self.path = path
        self.plan = read_plan(path, items)
        self._results = AppendLog(path / _RESULTS)
        self._verdicts = AppendLog(path / _VERDICTS)
        self.ledger = AppendLog(path / "ledger.jsonl")
        try:
            self.results = _results(self.plan, self._results.lines(), path)
            self.verdicts = _verdicts(self.plan, self._verdicts.lines(), path)
        except BaseException:
            self.close()
            raise

    @classmethod
    def make(cls, path: Path, plan: Plan) -> RunFolder:
        """Return a new one. Raises StoreError if there is a run already."""
        path.mkdir(parents=True, exist_ok=True)
        if (path / _PLAN).exists():
            raise StoreError(f"{path} has a run already: resume it, or name another folder")
        items = stored_items(plan.items)
        write_plan(path, replace(plan, items=items))
        return cls(path, items)

    async def add_result(self, result: Result) -> None:
        """Returns when it is on the disk."""
        self.results.add(result, await self._results.append_line(result_line(result)))

    async def add_verdict(self, verdict: Verdict) -> None:
        """Returns when it is on the disk."""
        self.verdicts.add(verdict, await self._verdicts.append(verdict_to_json(verdict)))

    def close(self) -> None:
        """Lets another process have it."""
        for journal in (self._results, self._verdicts, self.ledger):
            journal.close()


def load(path: Path) -> Comparison:
    """Everything of a run so far, for a report. Nothing is changed, nor run that run.json names, so the
    folder may be somebody else's, and the run may go on meanwhile. Raises StoreError."""
    plan, results = read_run(path)
    return comparison_of_run(plan, results, _verdicts(plan, read_only(path / _VERDICTS), path))


def read_run(path: Path) -> tuple[Plan, ResultsOnDisk]:
    """Return the plan of a run and its results so far, by what they are about, as `load` reads them."""
    plan = read_plan(path)
    return plan, _results(plan, read_only(path / _RESULTS), path)


def comparison_of_run(plan: Plan, results: ResultsOnDisk, verdicts: VerdictsOnDisk) -> Comparison:
    """Return everything of a run, its results in the order of the prompts. They stay on the disk."""
    return Comparison(
        title=plan.title,
        created=plan.created,
        mode=None,
        order=plan.order,
        blind=False,
        lanes=plan.lanes,
        results=results.in_order(),
        verdicts=verdicts.in_order(),
        versions=versions(),
        repeats=plan.repeats,
        notes=conflicts_of(plan, results.models()),
    )


def conflicts_of(plan: Plan, answered: Iterable[tuple[str, str]] = ()) -> tuple[str, ...]:
    """Return what is to be said of a judge that is a lane too, or of a lane's family, as sentences.

    answered: the ids of lanes with the models that answered there.
    """
    if plan.judge is None:
        return ()
    return judge_conflicts(plan.judge, plan.judge_model, plan.lanes, plan.lane_models, answered)


def write_plan(path: Path, plan: Plan) -> None:
    """Writes run.json and the prompts, each whole or not at all."""
    prompts, items = path / _PROMPTS, stored_items(plan.items)
    if items.path != prompts:
        items.write(prompts)
    value = {
        "format": "chatlab-run",
        "version": _VERSION,
        "title": plan.title,
        "created": plan.created.isoformat(),
        "lanes": [lane_to_json(lane) for lane in plan.lanes],
        "repeats": plan.repeats,
        "seed": plan.seed,
        "order": plan.order,
        "checks": [spec.to_json() for spec in plan.checks],
        "judge": plan.judge,
        "judge_model": plan.judge_model,
        "lane_models": dict(plan.lane_models),
        "criteria": list(plan.criteria),
        "settings": dict(plan.settings),
        "comparison": plan.comparison,
        "conversations": dict(plan.conversations),
        "config": plan.config,
        "budget": plan.budget,
        "concurrency": plan.concurrency,
        "lane_concurrency": list(plan.lane_concurrency),
        "rpm": list(plan.rpm),
        "prompts_sha256": items.sha256,
    }
    with whole_file(path / _PLAN) as out:
        out.write(json.dumps(value, indent=1).encode("ascii"))


def read_plan(path: Path, items: StoredItems | None = None) -> Plan:
    """items: its prompts, where they are known, and need not be read. Raises StoreError if there is none, or
    none that can be read.
    """
    file = path / _PLAN
    try:
        value = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as exc:
        raise StoreError(f"{path} is not the folder of a run: it has no {_PLAN}") from exc
    except ValueError as exc:
        raise StoreError(f"{file} is not JSON") from exc
    try:
        if not isinstance(value, dict):
            raise ValueError("it is not a JSON object")
        if value["version"] not in (1, _VERSION):
            raise ValueError(f"it is version {value['version']}, and version {_VERSION} is expected")
        return Plan(
            title=value["title"],
            created=datetime.fromisoformat(value["created"]),
            lanes=tuple(lane_from_json(lane) for lane in value["lanes"]),
            items=_items(value, path / _PROMPTS) if items is None else items,
            repeats=value["repeats"],
            seed=value["seed"],
            order=value["order"],
            checks=tuple(_check(said, path) for said in value["checks"]),
            judge=value["judge"],
            criteria=tuple(value["criteria"]),
            settings=value["settings"],
            comparison=value["comparison"],
            conversations=value["conversations"],
            config=value["config"],
            budget=value.get("budget"),
            concurrency=value.get("concurrency", 4),
            lane_concurrency=tuple(value.get("lane_concurrency", ())),
            rpm=tuple(value.get("rpm", ())),
            judge_model=value.get("judge_model"),
            lane_models=value.get("lane_models", {}),
        )
    except KeyError as exc:
        raise StoreError(f"{file} cannot be used: {exc} is missing") from exc
    except (TypeError, ValueError, AttributeError, ChatlabError) as exc:
        raise StoreError(f"{file} cannot be used: {exc}") from exc


def _items(value: Mapping[str, Any], prompts: Path) -> StoredItems:
    """Return the prompts of run.json, or of the file beside it. Raises ValueError if they are not whole."""
    if value["version"] == 1:
        return StoredItems.of(item_from_json(item) for item in value["items"])
    try:
        found = StoredItems.at(prompts)
    except FileNotFoundError as exc:
        raise ValueError(f"{prompts} is missing") from exc
    if found.sha256 != value["prompts_sha256"]:
        raise ValueError(f"{prompts} has other prompts than it was written with")
    return found


def _check(said: Any, path: Path) -> CheckSpec:
    """Return a check of run.json.

    A function that it names is not imported: who reads a run need not trust it, nor have it. Who goes on with
    the run has it loaded by `checks.function_of`.
    """
    if isinstance(said, dict) and list(said) == ["python"] and isinstance(said["python"], str):
        return CheckSpec("python", said["python"])
    return parse_check(said, path)


def _results(plan: Plan, lines: Iterable[JournalLine], folder: Path) -> ResultsOnDisk:
    found = ResultsOnDisk(stored_items(plan.items), plan.lanes, plan.repeats, folder / _RESULTS)
    for line in lines:
        found.take(line)
    return found


def _verdicts(plan: Plan, lines: Iterable[JournalLine], folder: Path) -> VerdictsOnDisk:
    found = VerdictsOnDisk(
        stored_items(plan.items), plan.lanes, plan.repeats, plan.criteria, folder / _VERDICTS
    )
    for line in lines:
        found.take(line)
    return found
