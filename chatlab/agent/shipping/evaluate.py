"""`chatlab agent evaluate`: a table of questions, asked of the logged agent and scored by MLflow."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chatlab.agent.shipping.databricks_judges import judges
from chatlab.agent.shipping.log import as_me, in_workspace, mlflow_of, told
from chatlab.agent.shipping.project import Project, request_of
from chatlab.config.models import cost as cost_of
from chatlab.errors import UnsupportedContent
from chatlab.messages import Usage

Judge = Callable[[str], str]
"""Answers a text: a backend of a configuration."""

_NO_SCORE = ("seconds/mean", "cost/mean")  # more of them is no better
_REQUESTS = ("request", "inputs", "prompt", "question")
_VERDICT = re.compile(r"\W*(yes|no)\b", re.I)
_GROUNDED = (
    "Is every statement of the answer supported by the sources? Say yes or no first.\n\n"
    "Sources:\n{sources}\n\nAnswer:\n{answer}"
)


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """One question with what was answered. outputs: as the agent gave it. usage: tokens, as the trace has
    them.
    """

    asked: str
    outputs: Mapping[str, Any]
    scores: Mapping[str, Any]
    usage: Usage

    @property
    def answer(self) -> str:
        """Return the text of the answer."""
        return text_of(self.outputs)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of an evaluation. metrics: means by scorer. worse: what fell against an earlier run."""

    run_id: str
    metrics: Mapping[str, float]
    rows: list[ScoredAnswer]
    worse: tuple[str, ...] = ()


def read_questions(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a table, as MLflow takes them.

    JSON lines, a JSON list or CSV, with `request` (a text, messages, or {"messages": ...}) and, if wanted,
    `expected_response` and `tools`, as the tables of Databricks' notebooks have them. Raises
    UnsupportedContent.
    """
    text = file.read_text("utf-8-sig")
    if file.suffix == ".csv":
        rows: list[Any] = list(csv.DictReader(text.splitlines()))
    elif file.suffix == ".json":
        rows = json.loads(text)
    else:
        rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    found = [_row(row, f"{file}, row {number}") for number, row in enumerate(rows, 1)]
    if not found:
        raise UnsupportedContent(f"{file} has no questions")
    return found


def _row(row: Any, where: str) -> dict[str, Any]:
    key = next((key for key in _REQUESTS if isinstance(row, dict) and row.get(key)), None)
    if key is None:
        raise UnsupportedContent(f"{where}: `request` is missing")
    request = row[key]
    if isinstance(request, str):
        request = {"messages": [{"role": "user", "content": request}]}
    messages = request.get("messages") or request.get("input") if isinstance(request, dict) else request
    if not isinstance(messages, list):
        raise UnsupportedContent(f"{where}: `request` is neither a text nor messages")
    expected = row.get("expected_response")
    tools = row.get("tools") or ()
    tools = [one.strip() for one in tools.split(",")] if isinstance(tools, str) else list(tools)
    return {
        "inputs": {"messages": messages},
        "expectations": {"expected_response": expected or "", "tools": tools},
    }


def evaluate(
    project: Project,
    questions: list[dict[str, Any]],
    *,
    against: str | None = None,
    judge: Judge | None = None,
    databricks: bool = False,
) -> Evaluation:
    """Ask the logged agent all questions, score its answers, and compare with an earlier evaluation.

    against: the run of that one. judge: is asked whether an answer is supported by its sources. databricks:
    whether the workspace's own judges are asked, too.
    """
    mlflow = mlflow_of()
    there = in_workspace(project.config) if databricks else as_me()
    with told("the agent was not evaluated"), there:
        model = mlflow.pyfunc.load_model(project.logged())

        def predict_fn(messages: list[dict[str, Any]]) -> dict[str, Any]:
            return dict(model.predict(request_of(project.config, messages)))

        with mlflow.start_run() as run:
            found = mlflow.genai.evaluate(
                data=questions, scorers=_scorers(project, judge, databricks), predict_fn=predict_fn
            )
            earlier = mlflow.get_run(against).data.metrics if against else {}
    metrics = {name: float(value) for name, value in found.metrics.items() if value is not None}
    worse = tuple(
        f"{name} fell from {before:.2f} to {metrics[name]:.2f}"
        for name, before in earlier.items()
        if name in metrics and name not in _NO_SCORE and metrics[name] < before - 1e-9
    )
    project.remember(evaluation_run=run.info.run_id)
    return Evaluation(run.info.run_id, metrics, _rows(found), worse)


def _scorers(project: Project, judge: Judge | None, databricks: bool) -> list[Any]:
    from mlflow.entities import Feedback
    from mlflow.genai.scorers import scorer

    def contains_expected(outputs: Any, expectations: dict[str, Any]) -> list[Feedback]:
        expected = expectations.get("expected_response")
        if not expected:
            return []
        return [Feedback(name="contains_expected", value=expected.casefold() in text_of(outputs).casefold())]

    def called_tools(outputs: Any, expectations: dict[str, Any]) -> list[Feedback]:
        wanted = expectations.get("tools")
        if not wanted:
            return []
        return [Feedback(name="called_tools", value=set(wanted) <= set(called_in(outputs)))]

    def answered(outputs: Any) -> bool:
        return bool(text_of(outputs).strip())

    def seconds(trace: Any) -> float:
        return float(trace.info.execution_duration or 0) / 1000

    def grounded(outputs: Any) -> list[Feedback]:
        sources = "\n\n".join(results_in(outputs))
        if judge is None or not sources:
            return []
        said = judge(_GROUNDED.format(sources=sources, answer=text_of(outputs)))
        verdict = _VERDICT.match(said)
        if verdict is None:
            return [
                Feedback(name="grounded", error="the judge said neither yes nor no", rationale=said[:1000])
            ]
        return [Feedback(name="grounded", value=verdict[1].casefold() == "yes", rationale=said[:1000])]

    def cost(trace: Any) -> list[Feedback]:
        found = cost_of(usage_of(trace), prices)
        return [] if found is None else [Feedback(name="cost", value=found)]

    prices = project.config.prices
    functions = [contains_expected, called_tools, answered, seconds]
    functions += [cost] if prices is not None else []
    functions += judges(text_of) if databricks else []
    return [scorer(one) for one in (*functions, *([grounded] if judge is not None else []))]


def usage_of(trace: Any) -> Usage:
    """Return the tokens of an answer, of all its calls of the model, as MLflow's trace has them."""
    counted = trace.info.token_usage or {}
    return Usage(counted.get("input_tokens"), counted.get("output_tokens"))


def items_of(outputs: Any) -> Iterator[Mapping[str, Any]]:
    """Yield what an answer is made of: the items of a ResponsesAgent, or the messages of a ChatAgent."""
    yield from (outputs or {}).get("output") or (outputs or {}).get("messages") or ()


def text_of(outputs: Any) -> str:
    """Return the text of the last message of an answer, of either shape."""
    found = ""
    for item in items_of(outputs):
        content = item.get("content")
        if item.get("type") == "message":
            found = "".join(one.get("text") or "" for one in content or ())
        elif item.get("role") == "assistant" and isinstance(content, str):
            found = content
    return found


def called_in(outputs: Any) -> list[str]:
    """Return the names of the tools that were called."""
    found = []
    for item in items_of(outputs):
        if item.get("type") == "function_call":
            found.append(str(item["name"]))
        found += [str(call["function"]["name"]) for call in item.get("tool_calls") or ()]
    return found


def results_in(outputs: Any) -> list[str]:
    """Return what the tools gave."""
    found = []
    for item in items_of(outputs):
        if item.get("type") == "function_call_output":
            found.append(str(item["output"]))
        elif item.get("role") == "tool":
            found.append(str(item["content"]))
    return found


def _rows(found: Any) -> list[ScoredAnswer]:
    """Return for each question what was said and how it was scored."""
    table = found.tables.get("eval_results")
    if table is None:
        return []
    from mlflow.entities import Trace

    rows = []
    for row in table.to_dict("records"):
        scores = {
            name.removesuffix("/value"): value
            for name, value in row.items()
            if name.endswith("/value") and value is not None and value == value  # NaN where there is none
        }
        messages = (row.get("request") or {}).get("messages") or ()
        asked = next((str(one["content"]) for one in reversed(messages) if one.get("role") == "user"), "")
        trace = row["trace"] if not isinstance(row["trace"], str) else Trace.from_json(row["trace"])
        rows.append(ScoredAnswer(asked, row.get("response") or {}, scores, usage_of(trace)))
    return rows
