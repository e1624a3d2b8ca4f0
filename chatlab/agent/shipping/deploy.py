"""`chatlab agent deploy`: to Model Serving by `databricks.agents`, or to Databricks Apps by a bundle."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pydantic import SecretStr

from chatlab.agent.rights import host_of, own_token, workspace_client
from chatlab.agent.shipping.log import as_me, told
from chatlab.agent.shipping.permissions import resources_of, scopes_of
from chatlab.agent.shipping.project import Project
from chatlab.errors import NotReady, Unavailable
from chatlab.installing import how_to_install_package

_LOOK = 10.0  # seconds between two looks at an endpoint that starts
_LONGEST = 45 * 60.0  # seconds


def deployment_of(project: Project) -> dict[str, Any]:
    """Return the arguments of `databricks.agents.deploy`. Raises NotReady before the agent is registered."""
    steps, wanted = project.steps, project.config.deploy
    if steps.model_name is None or steps.model_version is None:
        raise NotReady("the agent is not registered yet: run `chatlab agent register` first")
    sent: dict[str, Any] = {
        "model_name": steps.model_name,
        "model_version": steps.model_version,
        "scale_to_zero": wanted.scale_to_zero,
        "workload_size": wanted.workload_size,
        "environment_vars": dict(wanted.environment),
        "tags": dict(wanted.tags),
        "endpoint_name": wanted.endpoint,
    }
    return {name: value for name, value in sent.items() if value not in (None, {})}


def described(project: Project) -> dict[str, Any]:
    """Return all that a deployment sends, and the rights that are logged with the model."""
    return {
        "databricks.agents.deploy": deployment_of(project),
        "auth_policy": {
            "system": [{"type": kind, "name": name} for kind, name in resources_of(project.config)],
            "user": list(scopes_of(project.config)),
        },
    }


def deploy(project: Project, progress: Callable[[str], None]) -> tuple[str, dict[str, Any]]:
    """Deploy, wait until the endpoint answers, and ask it the example as whoever runs this.

    Return its name and that answer. Raises NotReady where that person's token is not set.
    """
    arguments = deployment_of(project)
    try:
        from databricks import agents
    except ImportError as exc:
        raise NotReady(
            f"deploying needs databricks-agents: {how_to_install_package('databricks-agents>=1.13')}"
        ) from exc
    with told("the agent was not deployed"), as_me():
        client = workspace_client(host_of(project.config), SecretStr(own_token() or ""))
        made = agents.deploy(**arguments)
        name = str(made.endpoint_name)
        _wait(client, name, progress)
        answer = client.api_client.do(
            "POST", f"/serving-endpoints/{name}/invocations", body=project.example()
        )
    return name, answer if isinstance(answer, dict) else {}


def _wait(client: Any, name: str, progress: Callable[[str], None]) -> None:
    """Wait until an endpoint is ready. Raises Unavailable where it fails, or takes 45 minutes."""
    until = time.monotonic() + _LONGEST
    while True:
        found = client.serving_endpoints.get(name)
        state = found.state
        ready = state is not None and state.ready is not None and state.ready.value == "READY"
        updating = state.config_update.value if state is not None and state.config_update is not None else ""
        if ready and updating == "NOT_UPDATING":
            return
        if updating == "UPDATE_FAILED":
            raise Unavailable(f"the deployment of {name} failed: its page in the workspace has the log")
        if time.monotonic() > until:
            raise Unavailable(f"{name} is not ready after 45 minutes: look at its page in the workspace")
        progress(f"{name}: {updating.lower().replace('_', ' ') or 'starting'}")
        time.sleep(_LOOK)
