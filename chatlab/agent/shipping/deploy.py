"""`chatlab agent deploy`: to Model Serving by `databricks.agents`, or to Databricks Apps by a bundle."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from typing import Any

from pydantic import SecretStr

from chatlab.agent.rights import host_of, own_token, workspace_client
from chatlab.agent.shipping.log import in_workspace, told
from chatlab.agent.shipping.permissions import resources_of, scopes_of
from chatlab.agent.shipping.project import Project
from chatlab.errors import NotReady, Unavailable
from chatlab.installing import how_to_install_package

_LOOK = 10.0  # most seconds between two looks at an endpoint that starts
_SAY = 30.0  # seconds after which the same state is told again
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


def permissions_of(project: Project) -> list[dict[str, str]]:
    """Return who may ask the endpoint, as the workspace is told it."""
    return [
        {"user_name" if "@" in name else "group_name": name, "permission_level": "CAN_QUERY"}
        for name in project.config.deploy.can_query
    ]


def described(project: Project) -> dict[str, Any]:
    """Return all that a deployment sends, and the rights that are logged with the model."""
    return {
        "databricks.agents.deploy": deployment_of(project),
        "permissions": permissions_of(project),
        "auth_policy": {
            "system": [{"type": kind, "name": name} for kind, name in resources_of(project.config)],
            "user": list(scopes_of(project.config)),
        },
        "asked": project.example(),
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
    with told("the agent was not deployed"), in_workspace(project.config):
        client = workspace_client(host_of(project.config), SecretStr(own_token() or ""))
        name = _deployed(agents, client, arguments, progress)
        _permit(client, name, permissions_of(project))
        _wait(client, name, progress)
        answer = client.api_client.do(
            "POST", f"/serving-endpoints/{name}/invocations", body=project.example()
        )
    return name, answer if isinstance(answer, dict) else {}


def _deployed(agents: Any, client: Any, arguments: dict[str, Any], progress: Callable[[str], None]) -> str:
    """Return the name of the endpoint that has the version, or is about to: of an earlier run, or new."""
    from databricks.sdk.errors import NotFound

    with suppress(NotFound):
        for one in agents.get_deployments(arguments["model_name"], arguments["model_version"]):
            if not _failed(client.serving_endpoints.get(one.endpoint_name).state):
                progress(f"{one.endpoint_name}: has this version already")
                return str(one.endpoint_name)
    with redirect_stdout(sys.stderr):  # it prints where the endpoint is to be seen
        return str(agents.deploy(**arguments).endpoint_name)


def _failed(state: Any) -> bool:
    return (
        state is not None and state.config_update is not None and state.config_update.value == "UPDATE_FAILED"
    )


def _permit(client: Any, name: str, permissions: list[dict[str, str]]) -> None:
    """Let people and groups ask an endpoint, and leave to others what they may do."""
    if not permissions:
        return
    from databricks.sdk.service.serving import ServingEndpointAccessControlRequest

    asked = [ServingEndpointAccessControlRequest.from_dict(one) for one in permissions]
    found = client.serving_endpoints.get(name)
    client.serving_endpoints.update_permissions(found.id, access_control_list=asked)


def _wait(client: Any, name: str, progress: Callable[[str], None]) -> None:
    """Wait until an endpoint is ready. Raises Unavailable where it fails, or takes 45 minutes."""
    began, pause, told_state, told_at = time.monotonic(), 0.5, "", 0.0
    while True:
        found = client.serving_endpoints.get(name)
        state = found.state
        ready = state is not None and state.ready is not None and state.ready.value == "READY"
        updating = state.config_update.value if state is not None and state.config_update is not None else ""
        if ready and updating == "NOT_UPDATING":
            return
        if _failed(state):
            raise Unavailable(f"the deployment of {name} failed: its page in the workspace has the log")
        waited = time.monotonic() - began
        if waited > _LONGEST:
            raise Unavailable(f"{name} is not ready after 45 minutes: look at its page in the workspace")
        said = updating.lower().replace("_", " ") or "starting"
        if said != told_state or waited - told_at > _SAY:
            progress(f"{name}: {said}, {waited:.0f} s")
            told_state, told_at = said, waited
        time.sleep(pause)
        pause = min(_LOOK, 2 * pause)
