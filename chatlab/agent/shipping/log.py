"""`chatlab agent log`, `validate` and `register`: an agent as a model of MLflow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from chatlab.agent.config import AgentConfig
from chatlab.agent.rights import AS_ME, host_of
from chatlab.agent.shipping.permissions import auth_policy
from chatlab.agent.shipping.project import Project
from chatlab.errors import ChatlabError, NotReady, Unavailable
from chatlab.paths import PACKAGE
from chatlab.secret import scrub

# What `chatlab.agent` imports where it answers; chatlab itself goes along as code.
_NEEDS = (
    "mlflow anyio databricks-sdk httpx httpx2 langchain-core langchain-openai langgraph pydantic pyyaml "
    "typing-extensions"
)

_CALLS_NOBODY = {"MLFLOW_MODEL_CATALOG_URI": "", "MLFLOW_DISABLE_TELEMETRY": "true"}


def mlflow_of() -> Any:
    """Return MLflow, which takes two seconds to import. Raises NotReady with how to install it.

    Where nothing else is said, it asks github.com for the prices of models, and tells its makers that it is
    used: neither is what somebody wants who runs a command of chatlab's.
    """
    for name, value in _CALLS_NOBODY.items():
        os.environ.setdefault(name, value)
    try:
        import mlflow
    except ImportError as exc:
        from chatlab.installing import how_to_install

        raise NotReady(f"this needs MLflow: {how_to_install('agent')}") from exc
    return mlflow


@contextmanager
def told(step: str) -> Iterator[None]:
    """Make one sentence of what MLflow or the workspace raises."""
    try:
        yield
    except ChatlabError:
        raise
    except Exception as exc:
        first = next((line for line in str(exc).splitlines() if line.strip()), type(exc).__name__)
        raise Unavailable(f"{step}: {scrub(first.strip())}") from exc


@contextmanager
def as_me() -> Iterator[None]:
    """Have the agent answer as whoever runs this command, where it uses the rights of who asks."""
    with _variables({AS_ME: "1"}):
        yield


@contextmanager
def in_workspace(config: AgentConfig) -> Iterator[None]:
    """Have MLflow and databricks-agents, which look into the environment, find the agent's workspace, and
    the person's token where a service principal is there as well: given both, they refuse to choose.
    """
    found = {"DATABRICKS_HOST": host_of(config)}
    if os.environ.get("DATABRICKS_TOKEN"):
        found["DATABRICKS_AUTH_TYPE"] = "pat"
    with as_me(), _variables(found):
        yield


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def requirements(project: Project) -> list[str]:
    """Return what the model needs, pinned to what is installed here, and what its file adds."""
    found = []
    for name in _NEEDS.split():
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return [*found, *project.config.requirements]


def log(project: Project, experiment: str | None = None) -> str:
    """Log the agent as code, with its rights and pinned requirements. Return the URI of the model."""
    mlflow = mlflow_of()
    with told("the agent was not logged"):
        if experiment is not None:
            mlflow.set_experiment(experiment)
        with mlflow.start_run() as run, as_me():
            made = mlflow.pyfunc.log_model(
                name=project.config.name,
                python_model=str(project.code),
                model_config=project.config.model_dump(mode="json", by_alias=True, exclude_unset=True),
                input_example=project.example(),
                pip_requirements=requirements(project),
                code_paths=[str(PACKAGE)],
                auth_policy=auth_policy(project.config),
            )
    project.remember(run_id=run.info.run_id, model_uri=made.model_uri)
    return str(made.model_uri)


def validate(project: Project, request: dict[str, Any], env_manager: str) -> None:
    """Answer a request by the logged model, in an environment made of its requirements."""
    mlflow = mlflow_of()
    with told("the logged agent did not answer"), as_me():
        mlflow.models.predict(model_uri=project.logged(), input_data=request, env_manager=env_manager)


def register(project: Project, name: str | None, registry: str | None) -> tuple[str, int]:
    """Register the logged model. Return its name and its version."""
    mlflow = mlflow_of()
    name = name or project.config.model
    if not name:
        raise NotReady("the agent has no name to register it under: give --name, or `model` in its file")
    uri = project.logged()
    registry = registry or project.config.registry
    there = in_workspace(project.config) if registry.startswith("databricks") else nullcontext()
    with told(f"{name} was not registered"), there:
        mlflow.set_registry_uri(registry)
        made = mlflow.register_model(uri, name)
    project.remember(model_name=name, model_version=int(made.version))
    return name, int(made.version)
