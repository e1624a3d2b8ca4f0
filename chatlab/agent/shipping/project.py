"""The folder of an agent: what `chatlab agent init` writes, and what the steps after it remember."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from chatlab.agent.config import AgentConfig, load_agent
from chatlab.errors import NotReady
from chatlab.installing import DISTRIBUTION

_TEMPLATES = Path(__file__).resolve().parent.parent / "project"
_RECORD = ".chatlab-agent.json"


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps that were taken, so that the next one knows what they made."""

    run_id: str | None = None
    model_uri: str | None = None
    model_name: str | None = None
    model_version: int | None = None
    evaluation_run: str | None = None


@dataclass(frozen=True, slots=True)
class Project:
    """An agent's file and the folder that it is in."""

    file: Path
    config: AgentConfig

    @classmethod
    def of(cls, file: Path) -> Self:
        """Return the project of an agent's file. Raises ConfigError."""
        return cls(file, load_agent(file))

    @property
    def folder(self) -> Path:
        """Return the folder."""
        return self.file.absolute().parent

    @property
    def code(self) -> Path:
        """Return the module that MLflow logs. Raises NotReady where there is none."""
        found = self.folder / "agent.py"
        if not found.is_file():
            raise NotReady(f"{found} is missing: `chatlab agent init DIR` writes one beside an agent.yaml")
        return found

    @property
    def steps(self) -> Steps:
        """Return the steps that were taken so far."""
        try:
            return Steps(**json.loads((self.folder / _RECORD).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return Steps()

    def remember(self, **taken: Any) -> None:
        """Note a step that was taken."""
        steps = asdict(replace(self.steps, **taken))
        (self.folder / _RECORD).write_text(json.dumps(steps, indent=2) + "\n", "utf-8")

    def logged(self) -> str:
        """Return the URI of the logged model. Raises NotReady."""
        if self.steps.model_uri is None:
            raise NotReady("the agent is not logged yet: run `chatlab agent log` first")
        return self.steps.model_uri

    def example(self) -> dict[str, Any]:
        """Return a question in the form that the agent's shape takes."""
        question = {"role": "user", "content": "Hello!"}
        return request_of(self.config, [question])


def request_of(config: AgentConfig, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Return messages as a request in the form that the agent's shape takes."""
    return {"input" if config.shape == "responses" else "messages": messages}


def start(folder: Path) -> list[Path]:
    """Write a project into a folder, and return its files. Raises NotReady where one of them is there."""
    name = folder.absolute().name
    files = sorted(file for file in _TEMPLATES.iterdir() if file.suffix == ".txt")
    targets = [folder / file.name.removesuffix(".txt") for file in files]
    if there := next((target for target in targets if target.exists()), None):
        raise NotReady(f"{there} is there already: choose an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    safe = "".join(one if one.isalnum() else "-" for one in name.lower()).strip("-") or "agent"
    for file, target in zip(files, targets, strict=True):
        text = file.read_text("utf-8").replace("DISTRIBUTION", DISTRIBUTION)
        target.write_text(text.replace("AGENT_NAME", safe), "utf-8")
    return targets
