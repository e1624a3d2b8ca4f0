"""A judge that is of the lanes it judges, or of their family, and so may favour its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

from chatlab.compare.model import Lane
from chatlab.config.registry import Entry
from chatlab.words import ENGLISH


def judge_conflicts(
    judge: str,
    judge_model: str | None,
    lanes: Sequence[Lane],
    lane_models: Mapping[str, str],
    answered: Iterable[tuple[str, str]] = (),
) -> tuple[str, ...]:
    """Return a sentence for each lane that the judge is, or whose family it is of.

    Told from the backends' names, and from the models that were asked for (`judge_model`, and `lane_models`
    by lane, as far as known) and that answered (`answered`, by lane).
    """
    models: dict[str, set[str]] = defaultdict(set)
    for lane_id, model in lane_models.items():
        models[lane_id].add(model)
    for lane_id, model in answered:
        models[lane_id].add(model)
    own = {judge, judge_model or ""} - {""}
    found = (_conflict(judge, judge_model, own, lane, models[lane.id] - {""}) for lane in lanes)
    return tuple(sentence for sentence in found if sentence is not None)


def _conflict(judge: str, judge_model: str | None, own: Set[str], lane: Lane, models: Set[str]) -> str | None:
    if lane.backend == judge:
        return ENGLISH("said.judge-is-lane", judge=judge, lane=lane.label)
    if judge_model in models:
        return ENGLISH("said.judge-same-model", judge=judge, lane=lane.label, model=judge_model)
    from chatlab.compare.session.blind import families  # a run without a judge does without

    common = sorted(families(own) & families({lane.backend, *models}))
    if common:
        return ENGLISH("said.judge-family", judge=judge, lane=lane.label, names=", ".join(common))
    return None


def model_of(entry: Entry) -> str:
    """Return the model that a backend asks for; "" if that is not known."""
    return entry.cls.target(entry.config.options).model or ""
