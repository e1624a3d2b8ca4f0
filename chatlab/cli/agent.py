"""`chatlab agent`: each step of an agent, what it did, and the next command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import SecretStr

from chatlab.agent.rights import Rights, host_of, own_token
from chatlab.agent.shipping.log import as_me as answering_me
from chatlab.agent.shipping.project import Project, request_of, start
from chatlab.cli.program import FAILED, OK
from chatlab.cli.terminal_text import clean, one_line

if TYPE_CHECKING:
    from chatlab.agent.steps import Answering, Said


def _next(did: str, following: str | None = None) -> None:
    click.echo(did, err=True)
    if following is not None:
        click.echo(f"next: {following}", err=True)


def init(folder: Path) -> None:
    """Runs `chatlab agent init`."""
    files = start(folder)
    _next(
        f"wrote {', '.join(file.name for file in files)} into {folder}",
        f'fill in {folder}/agent.yaml, then cd {folder} and chatlab agent try "Hello!"',
    )


def try_agent(prompt: str | None, file: Path) -> None:
    """Runs `chatlab agent try`."""
    from langchain_core.messages import BaseMessage, HumanMessage

    from chatlab.agent.own import agent_of
    from chatlab.agent.steps import Answering

    project = Project.of(file)
    agent = agent_of(project.config, project.folder)
    said = prompt if prompt is not None else sys.stdin.read()
    if not said.strip():
        raise click.UsageError('a prompt is needed: chatlab agent try "Hello!"')
    given: list[BaseMessage] = [HumanMessage(said)]
    while True:
        with answering_me():
            token = own_token()
        rights = Rights(host_of(agent.config), SecretStr(token) if token else None, name="you")
        question = _tell(Answering(agent, rights, given), given)
        if question is None:
            break
        if not sys.stdin.isatty():
            click.echo(question)
            break
        given.append(HumanMessage(click.prompt(question, err=True)))
    _next("that was the answer", "chatlab agent log")


def _tell(answering: Answering, given: list[Any]) -> str | None:
    """Print an answer and add its messages to the conversation. Return what it asks of the person, if so."""
    from langchain_core.messages import AIMessage, ToolMessage

    from chatlab.agent.steps import Piece, Said, ToolOutput
    from chatlab.formats.approval import calls_in

    before, question = tuple(given), None
    streamed: set[str] = set()
    answering.given = before
    for step in answering.steps():
        if isinstance(step, Piece):
            streamed.add(step.message)
            click.echo(clean(step.text), nl=False)
        elif isinstance(step, Said):
            given.append(AIMessage(step.text, tool_calls=list(step.calls), id=step.id))
            if step.id in streamed:
                click.echo()
            elif calls_in(step.text):
                question = clean(step.text)
            elif step.text:
                click.echo(clean(step.text))
            _tell_of(step)
        elif isinstance(step, ToolOutput):
            given.append(ToolMessage(step.text, tool_call_id=step.call, name=step.name))
            whom = answering.ran.get(step.name)
            _aside(f"{step.name}{f' (as {whom})' if whom else ''}: {step.text}")
    for skipped in answering.skipped:
        _aside(skipped)
    return question


def _tell_of(said: Said) -> None:
    for call in said.calls:
        _aside(f"calls {call['name']} {json.dumps(call['args'], ensure_ascii=False)}")
    for number, source in enumerate(said.sources, 1):
        _aside(f"[{number}] {source['title']} {source['url'] or ''}")


def _aside(line: str) -> None:
    click.echo(one_line(line, 500), err=True)


def log(file: Path, experiment: str | None) -> None:
    """Runs `chatlab agent log`."""
    from chatlab.agent.shipping.log import log as run
    from chatlab.agent.shipping.permissions import resources_of, scopes_of

    project = Project.of(file)
    uri = run(project, experiment)
    for kind, name in resources_of(project.config):
        click.echo(f"resource of the service: {kind} {name}", err=True)
    for scope, reason in scopes_of(project.config).items():
        click.echo(f"API scope of the person: {scope} ({reason})", err=True)
    click.echo(uri)
    _next(f"logged {project.config.name}", "chatlab agent evaluate --data evaluation.jsonl")


def evaluate(
    file: Path,
    *,
    data: Path,
    against: str | None,
    judge: str | None,
    config: str | None,
    databricks_judges: bool,
    report: Path | None,
) -> int:
    """Runs `chatlab agent evaluate`; returns the exit code."""
    from chatlab.agent.shipping.evaluate import evaluate as run
    from chatlab.agent.shipping.evaluate import read_questions
    from chatlab.agent.shipping.report import format_of, written

    form = format_of(report) if report is not None else None
    project, questions = Project.of(file), read_questions(data)
    judging, close = _judge(judge, config)
    try:
        found = run(project, questions, against=against, judge=judging, databricks=databricks_judges)
    finally:
        close()
    for number, row in enumerate(found.rows, 1):
        click.echo(one_line(f"{number}. {_scores(row.scores)}  {row.answer}", 200))
    click.echo(_scores(found.metrics))
    for fell in found.worse:
        click.echo(f"worse than {against}: {fell}", err=True)
    if report is not None and form is not None:
        report.write_text(written(project, found, form), "utf-8")
        click.echo(f"wrote {report}", err=True)
    _next(f"evaluated as run {found.run_id}", "chatlab agent validate")
    return FAILED if found.worse else OK


def _judge(name: str | None, config: str | None) -> tuple[Callable[[str], str] | None, Callable[[], None]]:
    """Return what asks the judge, and what closes it."""
    if name is None:
        return None, lambda: None
    from chatlab.cli.target import config_of, entry, is_address, open_lab

    lab = open_lab(None if config is None and is_address(name) else config_of(config))
    entry(lab, name)
    return lambda text: lab.answer_blocking(name, text).text, lab.close


def _scores(row: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {_figure(value)}" for name, value in row.items())


def _figure(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if value == 0 or abs(value) >= 0.01 else f"{value:.2g}"


def validate(file: Path, env_manager: str, request: str | None) -> None:
    """Runs `chatlab agent validate`."""
    from chatlab.agent.shipping.log import validate as run

    project = Project.of(file)
    asked = project.example()
    if request is not None:
        asked = request_of(project.config, [{"role": "user", "content": request}])
    run(project, asked, env_manager)
    _next("the logged model answers", "chatlab agent register")


def register(file: Path, name: str | None, registry: str | None) -> None:
    """Runs `chatlab agent register`."""
    from chatlab.agent.shipping.log import register as run

    made, version = run(Project.of(file), name, registry)
    _next(f"registered {made}, version {version}", "chatlab agent deploy --dry-run")


def deploy(file: Path, target: str, *, dry_run: bool) -> None:
    """Runs `chatlab agent deploy`."""
    from chatlab.agent.shipping.deploy import deploy as run
    from chatlab.agent.shipping.deploy import described

    project = Project.of(file)
    if target == "apps":
        _to_apps(project, dry_run=dry_run)
        return
    if dry_run:
        click.echo(json.dumps(described(project), indent=2))
        _next("nothing was sent", "chatlab agent deploy")
        return
    name, answer = run(project, lambda line: click.echo(line, err=True))
    outputs = answer.get("custom_outputs") or {}
    for left_out in outputs.get("left_out") or ():
        _aside(str(left_out))
    ran = outputs.get("ran_as") or {}
    whom = ", ".join(f"{tool} as {who}" for tool, who in ran.items()) or "no tool"
    _next(f"{name} answers, asked as you; it ran {whom}", "ask it on chatlab's page by the kind databricks")


def _to_apps(project: Project, *, dry_run: bool) -> None:
    from chatlab.agent.shipping.apps import FOLDER, bundle_of

    bundle = bundle_of(project)
    if dry_run:
        click.echo(json.dumps(bundle.described(), indent=2, ensure_ascii=False))
        _next("nothing was written or sent", "chatlab agent deploy --to apps")
        return
    bundle.write(project.folder / FOLDER)
    _next(
        f"wrote {len(bundle.written) + len(bundle.copied)} files into {FOLDER}/",
        f"cd {FOLDER}, then databricks bundle deploy and databricks bundle run {bundle.key}",
    )


def serve(file: Path, host: str, port: int, *, as_me: bool) -> None:
    """Runs `chatlab agent serve`."""
    import os

    import uvicorn

    from chatlab.agent.own import OwnAgent, agent_of
    from chatlab.agent.rights import AS_ME
    from chatlab.agent.shipping.serve import server_of
    from chatlab.cli.address import refuse_taken_address

    if as_me and host not in ("127.0.0.1", "localhost", "::1"):
        raise click.UsageError(
            "--as-me answers anybody with your rights: it goes with a loopback address only"
        )
    project = Project.of(file)
    refuse_taken_address(host, port)
    agent = agent_of(project.config, project.folder)
    if isinstance(agent, OwnAgent) and not as_me:
        raise click.UsageError(
            "agent.py has an agent of its own, which answers everybody with the credential of its "
            "environment: serve it with --as-me, for yourself"
        )
    if as_me:
        os.environ[AS_ME] = "1"
    app = server_of(agent)
    _next(
        f"serving {project.config.name} at http://{host}:{port}/responses; Ctrl-C ends it",
        f"chatlab chat chatlab.yaml -b agent-server, with base_url http://{host}:{port}",
    )
    uvicorn.run(app, host=host, port=port, log_level="warning")
