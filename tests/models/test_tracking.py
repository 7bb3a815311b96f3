"""MLflow on a server of its own, as on a cluster: what is logged there comes back, and nothing tells the password."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.lake import Lake
from smallcaps.models.event_model import Calibrated, EventModel
from smallcaps.models.logistic_regression import Line
from smallcaps.models.registry import CHALLENGER, registered
from smallcaps.models.tracking import client_of, log_frame, log_model, logged_frame, started_run
from smallcaps.platform.mlflow import mlflow_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a server that runs as long as the module."""
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as address:
        yield address.removeprefix("http://")
    mlflow.set_tracking_uri(None)


def test_a_model_comes_back_from_a_server_as_it_was_and_no_password_is_printed(
    server: str, settings: Settings, spark: SparkSession, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    away = settings.model_copy(update={"tracking_uri": f"http://someone:hidden-word@{server}"})
    lake = Lake(str(tmp_path), spark)
    line = Line(np.array([1.0, 2.0]), np.zeros(2), np.ones(2), np.array([0.5, -0.25]), 0.1)
    model = EventModel(
        "daily_5d_1atr", "logistic_regression", "inputs", ("one", "other"), {"reversal": Calibrated(line, 0.9, 0)}
    )
    frame = pd.DataFrame({"event_id": ["a", "b"], "probability": [0.1 + 0.2, 1 / 3]})
    client = client_of(away, lake)
    with started_run(away, lake, model.problem, model.algorithm) as run:
        log_frame(frame, "out_of_sample.parquet")
        tags = {"algorithm": model.algorithm, "dataset": "daily-1", "certain_before": "77", "newest_fold": "2"}
        first, second = (log_model(client, run, model, tags) for _ in range(2))
    assert (first, second) == ("1", "2")
    pd.testing.assert_frame_equal(logged_frame(client, run, "out_of_sample.parquet"), frame, check_exact=True)
    client.set_registered_model_alias(model.problem, CHALLENGER, second)
    found = registered(away, lake, model.problem, CHALLENGER)
    assert (found.name, found.tracking_run, found.certain_before) == ("daily_5d_1atr@2", run, 77)
    values = {"one": 0.3, "other": None}
    assert found.event_model.score(values) == model.score(values)
    # Nothing is kept in the lake.
    assert not (tmp_path / "mlflow").exists()
    printed = capfd.readouterr()
    assert "hidden-word" not in printed.out + printed.err
