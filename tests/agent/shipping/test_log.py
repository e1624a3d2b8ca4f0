"""MLflow as the commands use it: it asks nobody but the store and the workspace."""

from __future__ import annotations

import pytest

from chatlab.agent.shipping.log import mlflow_of
from tests.heavy import needed

pytestmark = pytest.mark.heavy


def test_mlflow_calls_no_foreign_host(monkeypatch: pytest.MonkeyPatch) -> None:
    needed("mlflow")
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY, MLFLOW_MODEL_CATALOG_URI

    for variable in (MLFLOW_DISABLE_TELEMETRY, MLFLOW_MODEL_CATALOG_URI):
        monkeypatch.delenv(variable.name)
    mlflow_of()
    assert MLFLOW_DISABLE_TELEMETRY.get() is True
    assert MLFLOW_MODEL_CATALOG_URI.get() == ""  # it is github.com where nothing is said
    monkeypatch.setenv(MLFLOW_MODEL_CATALOG_URI.name, "file:///prices")
    mlflow_of()
    assert MLFLOW_MODEL_CATALOG_URI.get() == "file:///prices"
