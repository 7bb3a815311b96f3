"""MLflow on a server of its own, as on a cluster: what is logged there comes back, and nothing tells the password."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

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

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """host:port of a server that runs as long as the module."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "files")]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    try:
        _wait(f"http://127.0.0.1:{port}/health", process, folder / "server.log")
        yield f"127.0.0.1:{port}"
    finally:
        mlflow.set_tracking_uri(None)
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert process.poll() is None, log.read_text()
        try:
            with urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.25)
    raise AssertionError(log.read_text())


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
