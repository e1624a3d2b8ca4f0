"""What the comparison page is told before it has a session."""

from __future__ import annotations

from typing import Any

from chatlab.config.models import CompareLane, Config
from chatlab.config.registry import Backends


def options_of(config: Config) -> dict[str, Any]:
    """What every page needs. No backend is in it: a page that opens a blind session is told of none."""
    storage = config.storage
    return {
        "title": config.ui.title,
        "storage": storage is not None,
        "sharing": storage is not None and storage.sharing,
    }


def backends_of(config: Config, backends: Backends) -> dict[str, Any]:
    """What the forms for a new session and for another lane need."""
    compare = config.compare
    lanes = [CompareLane(backend=lane) if isinstance(lane, str) else lane for lane in compare.lanes]
    return {
        "backends": [
            {
                "name": name,
                "label": entry.label,
                "ready": entry.not_ready,
                "parameters": [
                    {
                        "name": one.name,
                        "type": one.type,
                        "description": one.description,
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
            **compare.model_dump(mode="json", exclude={"lanes"}),
            "lanes": [lane.model_dump(mode="json") for lane in lanes],
        },
    }
