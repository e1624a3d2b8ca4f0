"""The choices that the comparison page is told before it has a session."""

from __future__ import annotations

from chatlab.config.models import CompareLane, Config
from chatlab.config.registry import Backends
from chatlab.web.compare.view_model import BackendChoices, LaneSpec, PageOptions
from chatlab.words import Words


def options_of(config: Config) -> PageOptions:
    """Return what every page needs.

    No backend is in it: a page that opens a blind session is told of none.
    """
    storage = config.storage
    return {
        "title": config.ui.title,
        "storage": storage is not None,
        "sharing": storage is not None and storage.sharing,
        "examples": [one.text for one in config.ui.examples if not one.files],
    }


def backends_of(config: Config, backends: Backends, words: Words) -> BackendChoices:
    """Return what the forms for a new session and for another lane need."""
    compare = config.compare
    lanes = [CompareLane(backend=lane) if isinstance(lane, str) else lane for lane in compare.lanes]
    return {
        "backends": [
            {
                "name": name,
                "label": entry.label,
                "ready": words.translated(entry.not_ready or "") or None,
                "discovers": entry.model_list is not None,
                "parameters": [
                    {
                        "name": one.name,
                        "type": one.type,
                        "description": words.translated(one.description),
                        "minimum": one.minimum,
                        "maximum": one.maximum,
                        "choices": list(one.choices),
                    }
                    for one in entry.capabilities.parameters
                ],
            }
            for name, entry in backends.items()
        ],
        "defaults": {
            "lanes": [lane_spec(lane) for lane in lanes],
            "mode": compare.mode,
            "blind": compare.blind,
            "reveal": compare.reveal,
            "repeats": compare.repeats,
            "criteria": list(compare.criteria),
            "reasons": list(compare.reasons),
        },
    }


def lane_spec(lane: CompareLane) -> LaneSpec:
    """Return a lane as the forms for lanes have it."""
    return {
        "backend": lane.backend,
        "label": lane.label,
        "parameters": dict(lane.parameters),
        "system": lane.system,
    }
