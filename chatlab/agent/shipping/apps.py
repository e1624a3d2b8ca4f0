"""`chatlab agent deploy --to apps`: the agent as a bundle for Databricks Apps.

A bundle is a folder that `databricks bundle deploy` sends as it is: the app's own files, chatlab's code, and
`databricks.yml` with the rights that the agent's tools need. https://docs.databricks.com/aws/en/dev-tools/bundles
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chatlab.agent.config import Variable
from chatlab.agent.rights import endpoint_of, host_of
from chatlab.agent.shipping.log import requirements
from chatlab.agent.shipping.permissions import resources_of, scopes_of
from chatlab.agent.shipping.project import Project
from chatlab.errors import NotReady
from chatlab.paths import PACKAGE

FOLDER = "bundle"
"""The folder in the project that a bundle is written to."""

_NAME = re.compile(r"[a-z][a-z0-9-]{1,29}")
_SCOPES = "user_api_scopes"
_OF_A_BUNDLE = frozenset({"source_code_path", "permissions", "lifecycle", "config", "git_source"})


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that is not written yet. key, app: the app as `databricks.yml` has it."""

    key: str
    app: dict[str, Any]
    written: dict[str, str]
    copied: dict[str, Path]

    def described(self) -> dict[str, Any]:
        """Return all that is sent: the app, the files that are written, and a digest of those copied."""
        found = hashlib.sha256()
        for name, path in sorted(self.copied.items()):
            found.update(name.encode() + b"\0" + path.read_bytes())
        return {
            "app": self.app,
            "files": self.written,
            "copied": {"files": sorted(self.copied), "sha256": found.hexdigest()},
        }

    def write(self, folder: Path) -> None:
        """Write it, in place of what an earlier run wrote there."""
        shutil.rmtree(folder, ignore_errors=True)
        for name, path in self.copied.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
        for name, text in self.written.items():
            (folder / name).write_text(text, "utf-8")


def bundle_of(project: Project) -> Bundle:
    """Return the bundle of a project, checked. Raises NotReady with what is missing or wrong."""
    bundle, key, app = _app(project)
    app[_SCOPES] = sorted({*(app.get(_SCOPES) or ()), *scopes_of(project.config)})
    app["resources"] = [*(app.get("resources") or ()), *_resources(project)]
    _check(app)
    start = _mapping(project, "app.yaml")
    start["env"] = [*(start.get("env") or ()), *_variables(project, start)]
    if not isinstance(start.get("command"), list):
        raise NotReady("app.yaml has no `command`, which starts the app")
    written = {
        "databricks.yml": yaml.safe_dump(bundle, sort_keys=False, allow_unicode=True),
        "app.yaml": yaml.safe_dump(start, sort_keys=False, allow_unicode=True),
        "requirements.txt": "".join(f"{one}\n" for one in requirements(project)),
    }
    return Bundle(key, app, written, dict(_copied(project)))


def _mapping(project: Project, name: str) -> dict[str, Any]:
    file = project.folder / name
    try:
        found = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as exc:
        raise NotReady(f"{file} cannot be read: `chatlab agent init DIR` writes one") from exc
    if not isinstance(found, dict):
        raise NotReady(f"{file} is no mapping (key: value)")
    return found


def _app(project: Project) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """Return what is in `databricks.yml`, and the one app in it with its key."""
    bundle = _mapping(project, "databricks.yml")
    resources = bundle.get("resources")
    apps = resources.get("apps") if isinstance(resources, dict) else None
    found = list(apps.items()) if isinstance(apps, dict) else []
    if len(found) != 1 or not isinstance(found[0][1], dict):
        raise NotReady("databricks.yml should have one app, under resources.apps")
    key, app = found[0]
    app["source_code_path"] = "."
    return bundle, str(key), app


def _resources(project: Project) -> Iterator[dict[str, Any]]:
    """Yield what the service itself uses, as an app has it."""
    for number, (kind, name) in enumerate(resources_of(project.config), 1):
        named = {"name": f"{kind}-{number}"}
        if kind == "endpoint":
            yield {**named, "serving_endpoint": {"name": name, "permission": "CAN_QUERY"}}
        elif kind == "warehouse":
            yield {**named, "sql_warehouse": {"id": name, "permission": "CAN_USE"}}
        elif kind == "genie":
            yield {**named, "genie_space": {"name": name, "space_id": name, "permission": "CAN_RUN"}}
        elif kind == "app":
            yield {**named, "app": {"name": name, "permission": "CAN_USE"}}
        else:
            types = {"function": ("FUNCTION", "EXECUTE"), "connection": ("CONNECTION", "USE_CONNECTION")}
            securable, permission = types.get(kind, ("TABLE", "SELECT"))  # an index is a table of the catalog
            right = {"securable_type": securable, "permission": permission}
            yield {**named, "uc_securable": {"securable_full_name": name, **right}}


def _check(app: dict[str, Any]) -> None:
    """Raise NotReady where the workspace's own types have no place for an app that is written so."""
    from databricks.sdk.service.apps import App

    name = app.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise NotReady(
            "the name of an app has 2 to 30 small letters, digits and hyphens: change it in databricks.yml"
        )
    known = {key: value for key, value in app.items() if key not in _OF_A_BUNDLE}
    try:
        understood = App.from_dict(known).as_dict()
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise NotReady(f"databricks.yml has an app that the workspace does not take: {exc}") from exc
    lost = sorted({*known} - {*App.__dataclass_fields__})
    if lost or understood.get("resources", []) != known["resources"]:
        raise NotReady(
            f"databricks.yml has what the workspace does not know of an app: {', '.join(lost) or 'resources'}"
        )


def _variables(project: Project, start: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the variables that the agent's file names, but for those that the app has anyway."""
    config = project.config
    there = {one.get("name") for one in start.get("env") or () if isinstance(one, dict)}
    for named, value in ((config.host, host_of), (config.endpoint, endpoint_of)):
        if isinstance(named, Variable) and named.env not in {"DATABRICKS_HOST", *there}:
            yield {"name": named.env, "value": value(config)}


def _copied(project: Project) -> Iterator[tuple[str, Path]]:
    """Yield what is sent as it is: the agent, its module and those beside it, and chatlab's code."""
    yield "agent.yaml", project.file
    for path in sorted(project.folder.glob("*.py")):
        yield path.name, path
    for path in sorted(PACKAGE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}", path
