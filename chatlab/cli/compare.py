"""`chatlab compare`: many prompts to several lanes, with checks, a judge and a budget."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import click

from chatlab.cli.compare_end import broken_off, finish
from chatlab.cli.compare_engine import LOST, RayNamed, engine_named, workers_of
from chatlab.cli.compare_output import watch
from chatlab.cli.inputs import read_stdin
from chatlab.cli.program import FAILED, say
from chatlab.cli.target import config_of, default_config, entry, is_address, open_lab
from chatlab.compare.batch.batch import JUDGE, Batch, Listeners
from chatlab.compare.batch.budget import FIRST_OUTPUT, Budget, max_tokens
from chatlab.compare.batch.checks import WrongCheck, parse_check
from chatlab.compare.batch.conflicts import model_of
from chatlab.compare.batch.engines.engine import Engine, run_here
from chatlab.compare.batch.folder import (
    Plan,
    RunFolder,
    conflicts_of,
    read_plan,
    refuse_differences,
    settings_of,
    write_plan,
)
from chatlab.compare.batch.item import CheckSpec, Item
from chatlab.compare.batch.prompts import Accepted, PromptsError, items_of_file, items_of_text
from chatlab.compare.batch.scheduler import LaneLimit
from chatlab.compare.batch.store import BatchStore, make_comparison
from chatlab.compare.batch.stored_items import StoredItems
from chatlab.compare.model import Lane
from chatlab.compare.session.lanes import new_lane
from chatlab.config.models import Compare, CompareLane
from chatlab.config.registry import Entry
from chatlab.conversations.storage import OpenStorage, open_storage
from chatlab.errors import StoreError
from chatlab.event_loop import run
from chatlab.garbage import importing_for_good, less_looking_for_garbage
from chatlab.lab import Lab
from chatlab.spelling import count
from chatlab.store import now
from chatlab.words import ENGLISH, Words, words_of

OWNER = "local"
"""Whose the comparisons of this command are in the store: nobody is signed in on a command line."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """The options of the command line; None where one was not given."""

    lanes: str | None
    prompts: str | None
    repeats: int | None
    concurrency: int | None
    lane_concurrency: tuple[str, ...]
    rpm: tuple[str, ...]
    judge: str | None
    checks: tuple[str, ...]
    budget: float | None
    out: Path | None
    resume: Path | None
    retry_failed: bool
    seed: int | None
    engine: str
    workers: int | None
    as_json: bool


@less_looking_for_garbage()
def compare(config: str | None, options: CompareOptions) -> int:
    """Runs the command and returns its exit code."""
    if options.resume is not None and options.out is not None:
        raise click.UsageError("--resume goes on in its own folder, so --out cannot be given with it")
    ray = engine_named(options.engine, options.workers)
    if options.retry_failed and options.resume is None:
        raise click.UsageError("--retry-failed asks again in a run that was begun: name it with --resume")
    before = None if options.resume is None else read_plan(options.resume)
    path = _config_path(config, options.lanes, before)
    lab = open_lab(path)
    try:
        plan = _plan(lab, path, options, before)
    except PromptsError as exc:
        for problem in exc.problems:
            say(problem)
        return FAILED
    entries: dict[str, Entry] = {lane.id: entry(lab, lane.backend) for lane in plan.lanes}
    judge = None if plan.judge is None else entry(lab, plan.judge)
    if ray is None:  # workers look themselves whether they are ready
        for one in (*entries.values(), judge):
            if one is not None:
                one.backend()  # said to be not ready before anything is asked or written
    _say_budget(plan.budget, plan, entries, judge)
    for sentence in conflicts_of(plan):
        say(sentence)
    limits = _limits(plan)
    folder = options.resume or options.out or Path(f"compare-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
    if before is None and (folder / "run.json").exists():
        raise click.UsageError(f"{folder} has a run already: --resume {folder} goes on with it")
    try:
        return run(_run(lab, folder, plan, before, entries, judge, limits, options, ray))
    except (KeyboardInterrupt, OSError) as exc:
        return broken_off(folder, exc)


def _config_path(config: str | None, lanes: str | None, before: Plan | None) -> Path | None:
    if config is not None:
        return config_of(config)
    if before is not None:
        return None if before.config is None else Path(before.config)
    if lanes is not None and all(is_address(name) for name in _names(lanes)):
        return None
    return default_config()


def _plan(lab: Lab, path: Path | None, options: CompareOptions, before: Plan | None) -> Plan:
    """Return what is to be run; on resume what was begun. Raises Different if another is meant now."""
    if before is not None:
        return _resumed(lab, path, options, before)
    lanes = _lanes(lab, options.lanes)
    plan = _described(lab, path, options, lanes, _items(lab, options.prompts, lanes))
    for spec in plan.checks:
        if spec.needs_expected and all(item.expected is None for item in plan.items):
            raise click.UsageError(f"the check {spec.name} needs an expected answer, and no prompt has one")
    return plan


def _resumed(lab: Lab, path: Path | None, options: CompareOptions, before: Plan) -> Plan:
    """Return the plan of a run that goes on, with the limits named now."""
    lanes = before.lanes if options.lanes is None else _lanes(lab, options.lanes)
    items = before.items if options.prompts is None else _items(lab, options.prompts, lanes)
    meant = _described(lab, path, _over(options, before), lanes, items)
    refuse_differences(before, replace(meant, checks=meant.checks or before.checks))
    for spec in before.checks:
        if spec.kind == "python":
            _check(f"python:{spec.value}")  # said before anything is asked, if it is not there any more
    return replace(
        before,
        budget=_budget(options.budget, before),
        concurrency=options.concurrency or before.concurrency,
        lane_concurrency=options.lane_concurrency or before.lane_concurrency,
        rpm=options.rpm or before.rpm,
        judge_model=meant.judge_model,
        lane_models=meant.lane_models,
    )


def _over(options: CompareOptions, before: Plan) -> CompareOptions:
    """Return the options with those of the run where nothing was named now."""
    return replace(
        options,
        repeats=options.repeats or before.repeats,
        seed=before.seed if options.seed is None else options.seed,
        judge=options.judge or before.judge,
    )


def _described(
    lab: Lab,
    path: Path | None,
    options: CompareOptions,
    lanes: tuple[Lane, ...],
    items: Sequence[Item],
) -> Plan:
    """Return the plan that the options and the configuration describe."""
    compare = lab.config.compare if lab.config is not None else Compare()
    judge = None if options.judge is None else entry(lab, options.judge)
    used = {lane.backend for lane in lanes} | ({options.judge} if options.judge else set())
    return Plan(
        title=_title(_words(lab), options.prompts, lanes, items),
        created=now(),
        lanes=lanes,
        items=items,
        repeats=options.repeats or compare.repeats,
        seed=secrets.randbelow(2**32) if options.seed is None else options.seed,
        order="interleaved",
        checks=tuple(_check(said) for said in options.checks),
        judge=options.judge,
        criteria=compare.criteria,
        settings={name: settings_of(entry(lab, name)) for name in sorted(used)},
        config=None if path is None else str(path.resolve()),
        budget=_budget(options.budget, None),
        concurrency=options.concurrency or 4,
        lane_concurrency=options.lane_concurrency,
        rpm=options.rpm,
        judge_model=None if judge is None else model_of(judge) or None,
        lane_models={lane.id: model for lane in lanes if (model := model_of(entry(lab, lane.backend)))},
    )


def _words(lab: Lab) -> Words:
    """Return the words of the configuration's language."""
    return ENGLISH if lab.config is None else words_of(lab.config.ui.language)


def _title(words: Words, prompts: str | None, lanes: Sequence[Lane], items: Sequence[Item]) -> str:
    """Return what a run is called where it is listed, and at the top of its report."""
    what = words.counted("count.prompt", len(items)) if prompts in (None, "-") else Path(prompts or "").name
    return words("report.on", lanes=words.listed([lane.label for lane in lanes], 3), prompts=what)


def _budget(said: float | None, before: Plan | None) -> float | None:
    """Return the budget named now, or else that of the sittings before: going on is no reason to
    spend more.
    """
    if said is None:
        return None if before is None else before.budget
    return None if math.isinf(said) else said


def _names(lanes: str) -> list[str]:
    return [name.strip() for name in lanes.split(",") if name.strip()]


def _lanes(lab: Lab, named: str | None) -> tuple[Lane, ...]:
    configured = lab.config.compare.lanes if lab.config is not None else ()
    specs: Sequence[str | CompareLane]
    specs = configured if named is None else [_lane(name, configured) for name in _names(named)]
    if not specs:
        raise click.UsageError("name the lanes: --lanes a,b, or compare.lanes in the configuration")
    if len(specs) > 8:
        raise click.UsageError(f"{len(specs)} lanes are too many: a comparison has at most 8")
    made: list[Lane] = []
    for spec in specs:
        entry(lab, spec if isinstance(spec, str) else spec.backend)  # an unknown one is a usage error
        made.append(new_lane(spec, lab.backends, made))
    return tuple(made)


def _lane(name: str, configured: Sequence[str | CompareLane]) -> str | CompareLane:
    """Return the lane of compare.lanes with this label (LABEL or BACKEND@LABEL), or else a backend or
    address.
    """
    for spec in configured:
        if (
            isinstance(spec, CompareLane)
            and spec.label
            and name in (spec.label, f"{spec.backend}@{spec.label}")
        ):
            return spec
    return name


def _items(lab: Lab, prompts: str | None, lanes: Sequence[Lane]) -> Sequence[Item]:
    accepted: Accepted = {lane.label: entry(lab, lane.backend).capabilities.parameters for lane in lanes}
    if prompts is None:
        raise click.UsageError("name the file with the prompts: --prompts FILE")
    if prompts == "-":
        return StoredItems.of(items_of_text(read_stdin(), "standard input", accepted))
    return StoredItems.of(items_of_file(Path(prompts), accepted))


def _check(said: str) -> CheckSpec:
    try:
        return parse_check(said, Path(), trusted=True)
    except WrongCheck as exc:
        raise click.UsageError(f"--check {said}: {exc}") from exc


def _limits(plan: Plan) -> dict[str, LaneLimit]:
    known = {JUDGE: [JUDGE]}
    for lane in plan.lanes:
        for name in {lane.label, lane.backend, f"{lane.backend}@{lane.label}"}:
            known.setdefault(name, []).append(lane.id)
    everybody = [JUDGE, *(lane.id for lane in plan.lanes)]
    found: dict[str, LaneLimit] = dict.fromkeys(everybody, LaneLimit())
    for option, said in (
        *(("--lane-concurrency", said) for said in plan.lane_concurrency),
        *(("--rpm", said) for said in plan.rpm),
    ):
        name, equals, value = said.rpartition("=")
        whose = known.get(name) if equals else everybody
        if whose is None:
            raise click.UsageError(f"{option} {said}: there is no lane {name!r}")
        number = _number(option, said, value)
        for who in whose:
            if option == "--rpm":
                found[who] = replace(found[who], rpm=number)
            elif number != int(number):
                raise click.UsageError(f"{option} {said}: it is a whole number of calls")
            else:
                found[who] = replace(found[who], concurrency=int(number))
    return found


def _number(option: str, said: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise click.UsageError(f"{option} {said}: it is LANE=NUMBER, or a number for every lane")
    return number


def _say_budget(budget: float | None, plan: Plan, entries: Mapping[str, Entry], judge: Entry | None) -> None:
    """Says what the budget does not hold for. Raises UsageError if it holds for nothing."""
    if budget is None:
        return
    calls = [(lane.label, entries[lane.id], lane.parameters) for lane in plan.lanes]
    calls += [(f"the judge {judge.label}", judge, {})] if judge is not None else []
    free = [label for label, one, _ in calls if one.config.prices is None]
    if len(free) == len(calls):
        raise click.UsageError(
            "--budget: no lane has prices in the configuration, so there is nothing to hold"
        )
    if free:
        say(f"outside the budget, for want of prices: {', '.join(free)}")
    guessed = [
        label
        for label, one, given in calls
        if one.config.prices is not None and max_tokens(one, given) is None
    ]
    if guessed:
        say(
            "without max_tokens the budget counts an answer as twice the longest so far, or as "
            f"{FIRST_OUTPUT} tokens before the first: {', '.join(guessed)}"
        )


async def _run(
    lab: Lab,
    where: Path,
    plan: Plan,
    before: Plan | None,
    entries: Mapping[str, Entry],
    judge: Entry | None,
    limits: Mapping[str, LaneLimit],
    options: CompareOptions,
    ray: RayNamed | None,
) -> int:
    async with AsyncExitStack() as opened:
        opened.push_async_callback(lab.aclose)
        workers = None
        if ray is not None:
            workers = await opened.enter_async_context(workers_of(ray, lab, plan))
        engine: Engine = run_here if workers is None else workers
        storage = await _storage(lab, opened)
        if before is None and storage is not None:
            try:
                plan = await make_comparison(storage.store, OWNER, plan)
            except StoreError as exc:
                say(f"the store gets nothing of this run: {exc}")
        folder = RunFolder(where) if before is not None else RunFolder.make(where, plan)
        opened.callback(folder.close)
        if before is not None and plan != before:
            write_plan(where, plan)
        keep = None
        if storage is not None and plan.comparison is not None:
            keep = BatchStore(storage.store, OWNER, storage.files)
        budget = Budget(plan.budget, folder.ledger)
        answers = folder.results.wanted // len(plan.lanes)
        say(f"{where}: {count(answers, 'answer')} of each lane, seed {plan.seed}")
        with watch(plan.lanes, folder.results.in_order().figures, answers) as shown:
            batch = Batch(
                folder,
                entries,
                judge,
                budget,
                concurrency=plan.concurrency,
                limits=limits,
                retry_failed=options.retry_failed,
                store=keep,
                progress=Listeners(shown.result, shown.judging, shown.verdict),
                engine=engine,
            )
            whole = await batch.run()
        if workers is not None and workers.lost:
            say(f"{count(workers.lost, 'Ray worker')} died: {LOST}")
        if keep is not None and keep.problem is not None:
            say(f"not everything is in the store, only in {where}: {keep.problem}")
        return finish(folder, budget, batch, whole=whole, as_json=options.as_json, words=_words(lab))


async def _storage(lab: Lab, opened: AsyncExitStack) -> OpenStorage | None:
    """Return the configured storage, if there is one and it can be opened; it is closed with the stack."""
    if lab.config is None:
        return None
    try:
        with importing_for_good():
            return await opened.enter_async_context(open_storage(lab.config.storage))
    except StoreError as exc:
        say(f"the store gets nothing of this run: {exc}")
        return None
