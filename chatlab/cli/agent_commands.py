"""The commands of `chatlab agent`. Only click is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chatlab.cli.program import Group

_AGENT = click.option(
    "-a",
    "--agent",
    "file",
    type=click.Path(path_type=Path),
    default=Path("agent.yaml"),
    show_default=True,
    metavar="FILE",
    help="The agent's file.",
)


@click.group(cls=Group, short_help="Make an agent, and take it to an endpoint.")
def agent() -> None:
    """Make an agent that answers with the rights of whoever asks, and take it from a folder to an endpoint.

    Each step says what it did and what comes next; a step that failed can be run again. What is stored of the
    steps is in .chatlab-agent.json beside the agent's file. docs/agent.md goes through all of them.

    \b
      chatlab agent init my-agent
      cd my-agent
      chatlab agent try "Hello!"
    """


@agent.command(short_help="Write a project to start from.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write a project into FOLDER: agent.yaml, agent.py, requirements, questions for an evaluation, a
    configuration for chatlab's pages, and what Databricks Apps needs.
    """
    from chatlab.cli.agent import init as run

    run(folder)


@agent.command("try", short_help="Ask the agent here, as yourself.")
@click.argument("prompt", required=False)
@_AGENT
def try_(prompt: str | None, file: Path) -> None:
    """Ask the agent in this process, as whoever DATABRICKS_TOKEN belongs to.

    The answer goes to standard output as it arrives; which tools ran, with what and as whom, goes to standard
    error. A call that has to be approved is asked about. Without PROMPT, standard input is the prompt.
    """
    from chatlab.cli.agent import try_agent

    try_agent(prompt, file)


@agent.command(short_help="Log it as a model of MLflow.")
@_AGENT
@click.option("--experiment", metavar="NAME", help="Experiment to log to, instead of MLflow's default.")
def log(file: Path, experiment: str | None) -> None:
    """Log the agent as code, where MLFLOW_TRACKING_URI says, with an input example, pinned requirements, and
    the resources and API scopes that its tools need.
    """
    from chatlab.cli.agent import log as run

    run(file, experiment)


@agent.command(short_help="Score its answers to a table of questions.")
@_AGENT
@click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Questions as .jsonl, .json or .csv with request, and expected_response or tools if wanted.",
)
@click.option("--against", metavar="RUN", help="Run of an earlier evaluation; leaves with 1 if a score fell.")
@click.option(
    "--judge", metavar="BACKEND", help="Backend that says whether answers are supported by sources."
)
@click.option("--config", metavar="FILE", help="Configuration of the judge.")
@click.option("--databricks-judges", is_flag=True, help="Ask the workspace's own judges, too.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a report, too: .html, .md or .jsonl.",
)
def evaluate(file: Path, **options: Any) -> None:
    """Ask the logged agent every question, as yourself, and score the answers.

    The scores, in MLflow and as a table here: contains the expected response, called the expected tools,
    answered at all, seconds, cost where the agent's file has prices, and with --judge grounded in what the
    tools found, and with --databricks-judges correctness, relevance and safety.
    """
    from chatlab.cli.agent import evaluate as run

    raise click.exceptions.Exit(run(file, **options))


@agent.command(short_help="Have the logged model answer in a fresh environment.")
@_AGENT
@click.option(
    "--env-manager",
    type=click.Choice(["uv", "virtualenv", "local"]),
    default="uv",
    show_default=True,
    help="The environment's maker; local is this one.",
)
@click.option("--input", "request", metavar="TEXT", help="Question to ask, instead of the input example.")
def validate(file: Path, env_manager: str, request: str | None) -> None:
    """Answer the input example by the logged model, in an environment made of its requirements."""
    from chatlab.cli.agent import validate as run

    run(file, env_manager, request)


@agent.command(short_help="Register it, in Unity Catalog or elsewhere.")
@_AGENT
@click.option("--name", metavar="NAME", help="Name, instead of `model` in the agent's file.")
@click.option("--registry", metavar="URI", help="Registry, instead of `registry` in the agent's file.")
def register(file: Path, name: str | None, registry: str | None) -> None:
    """Register the logged model as a new version, in Unity Catalog if nothing else is said."""
    from chatlab.cli.agent import register as run

    run(file, name, registry)


@agent.command(short_help="Deploy it to Model Serving or Databricks Apps.")
@_AGENT
@click.option("--to", "target", type=click.Choice(["serving", "apps"]), default="serving", show_default=True)
@click.option("--dry-run", is_flag=True, help="Print as JSON what would be sent, and send nothing.")
def deploy(file: Path, target: str, dry_run: bool) -> None:
    """Deploy the registered version, wait until it answers, and ask it the input example.

    For Databricks Apps a bundle is written into bundle/, with the rights that its tools need: what to run is
    printed, since the Databricks CLI sends it.
    """
    from chatlab.cli.agent import deploy as run

    run(file, target, dry_run=dry_run)


@agent.command(short_help="Serve it by MLflow's AgentServer.")
@_AGENT
@click.option(
    "--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Address to listen on."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8000, show_default=True, metavar="PORT", help="Port."
)
@click.option("--as-me", is_flag=True, help="Answer requests without a token as whoever starts it.")
def serve(file: Path, host: str, port: int, as_me: bool) -> None:
    """Serve the agent by MLflow's AgentServer: /responses and /invocations.

    Who asks is whoever the token of the request belongs to, x-forwarded-access-token or a bearer token. With
    --as-me, on this machine alone, a request without one is answered as the owner of DATABRICKS_TOKEN.
    """
    from chatlab.cli.agent import serve as run

    run(file, host, port, as_me=as_me)
