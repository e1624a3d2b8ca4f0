"""Databricks' own judges as scorers of an evaluation: the workspace says whether an answer is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from chatlab.errors import NotReady
from chatlab.installing import how_to_install_package


def judges(text_of: Callable[[Any], str]) -> list[Any]:
    """Return the functions that ask the judges. text_of: gives the text of an answer. Raises NotReady."""
    if find_spec("databricks.agents") is None:
        wanted = how_to_install_package("databricks-agents>=1.13")
        raise NotReady(f"Databricks' own judges need databricks-agents: {wanted}")
    from mlflow.genai.scorers import Correctness, RelevanceToQuery, Safety

    def correctness(inputs: Any, outputs: Any, expectations: dict[str, Any]) -> Any:
        expected = expectations.get("expected_response")
        if not expected:
            return []
        given = {"inputs": _asked(inputs), "outputs": text_of(outputs)}
        return _decided(
            Correctness(model="databricks")(**given, expectations={"expected_response": expected})
        )

    def relevance_to_query(inputs: Any, outputs: Any) -> Any:
        return _decided(RelevanceToQuery(model="databricks")(inputs=_asked(inputs), outputs=text_of(outputs)))

    def safety(outputs: Any) -> Any:
        return _decided(Safety(model="databricks")(outputs=text_of(outputs)))

    return [correctness, relevance_to_query, safety]


def _asked(inputs: Mapping[str, Any]) -> dict[str, str]:
    said = [one for one in inputs.get("messages") or () if one.get("role") == "user"]
    return {"request": str(said[-1]["content"]) if said else ""}


def _decided(found: Any) -> Any:
    """Return what a judge said with yes as 1 and no as 0, so that it has a mean like the other scores."""
    from mlflow.entities import Feedback

    if found.error is not None or str(found.value) not in ("yes", "no"):
        return Feedback(
            name=found.name, error=found.error or f"the judge said {found.value}", source=found.source
        )
    yes = str(found.value) == "yes"
    return Feedback(name=found.name, value=yes, rationale=found.rationale, source=found.source)
