"""MLflow: where runs are logged, models registered and what a run of ours holds."""

import logging
import os
import platform
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that does not answer is told of within seconds, before anything is trained.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema

from smallcaps.config import Settings
from smallcaps.errors import BadInput, FailedDependency
from smallcaps.lake import Lake
from smallcaps.models.event_model import EventModel

MODULES = ("mlflow", "numpy", "pandas", "pyspark", "scipy", "sklearn", "xgboost")
"""Whose versions a run notes."""


def tracking_uri(settings: Settings, lake: Lake) -> str:
    """Where MLflow writes: the setting, else a SQLite file in a lake on the local disk."""
    if settings.tracking_uri is not None:
        return settings.tracking_uri
    if "://" in lake.root:
        raise BadInput("A lake on S3 needs an MLflow server: set SMALLCAPS_TRACKING_URI.")
    os.makedirs(f"{lake.root}/mlflow", exist_ok=True)
    return f"sqlite:///{lake.root}/mlflow/mlflow.db"


def client_of(settings: Settings, lake: Lake) -> MlflowClient:
    """A client of the tracking server, which has answered. Raises FailedDependency where it does not."""
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It warns of pickles, whose code runs when they are loaded: who may write to the registry may run code here.
    logging.getLogger("mlflow.pyfunc").setLevel(logging.ERROR)
    uri = tracking_uri(settings, lake)
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    try:
        client.search_experiments(max_results=1)
    except MlflowException:
        place = urlsplit(uri)
        shown = f"{place.scheme}://{place.hostname or ''}{f':{place.port}' if place.port else ''}"
        raise FailedDependency(
            f"MLflow at {shown} does not answer. Start it, or set SMALLCAPS_TRACKING_URI to the one to use."
        ) from None  # What MLflow says of it names the whole URI, a password in it too.
    return client


@contextmanager
def answering() -> Iterator[None]:
    """What MLflow fails with within the block is raised as FailedDependency, without a password that its URI may hold."""
    try:
        yield
    except MlflowException as error:
        said = re.sub(r"//[^/@\s]+@", "//", str(error).splitlines()[0])
        raise FailedDependency(f"MLflow failed: {said}") from None


@contextmanager
def started_run(settings: Settings, lake: Lake, experiment: str, name: str) -> Iterator[str]:
    """A run of MLflow, as long as the block runs; gives its id. What fails in it leaves it as failed."""
    client_of(settings, lake)
    if mlflow.get_experiment_by_name(experiment) is None:
        local = tracking_uri(settings, lake).startswith("sqlite:///")
        mlflow.create_experiment(experiment, artifact_location=f"{lake.root}/mlflow/artifacts" if local else None)
    mlflow.set_experiment(experiment)
    with answering(), mlflow.start_run(run_name=name) as run:
        yield str(run.info.run_id)


class ServedModel(PythonModel):
    """An EventModel as MLflow serves it: rows of its inputs by name in, a column of probabilities a target out."""

    def __init__(self, event_model: EventModel) -> None:
        self.event_model = event_model

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Probabilities of the rows of `model_input`, NaN or null where an input is not known."""
        inputs = model_input[list(self.event_model.input_names)].to_numpy(dtype="float64", na_value=float("nan"))
        return pd.DataFrame(self.event_model.probabilities(inputs), index=model_input.index)


def log_model(client: MlflowClient, tracking_run: str, event_model: EventModel, tags: dict[str, str]) -> str:
    """Log a model to the run that is going on and register it under its problem; returns the version."""
    inputs = Schema([ColSpec("double", name, required=False) for name in event_model.input_names])
    outputs = Schema([ColSpec("double", target) for target in event_model.targets])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*An input example was not provided")
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=ServedModel(event_model),
            signature=ModelSignature(inputs, outputs),
            pip_requirements=[
                f"{name}=={number}" for name, number in _packages(event_model).items() if name != "pyspark"
            ],
        )
    called = event_model.problem
    if not client.search_registered_models(f"name = '{called}'"):
        client.create_registered_model(called)
    made = client.create_model_version(called, logged.model_uri, tracking_run, tags, model_id=logged.model_id)
    return str(made.version)


def log_environment(event_model: EventModel) -> None:
    """Python and packages of the run that is going on."""
    machine = {"python": platform.python_version(), "machine": platform.machine()}
    mlflow.log_dict(machine | _packages(event_model), "environment.json")


def _packages(event_model: EventModel) -> dict[str, str]:
    """Installed packages of MODULES with their versions. Several bring MLflow, one of that name; XGBoost has two names."""
    packages = packages_distributions()
    modules = MODULES + (("torch",) if event_model.reads == "sequence" else ())
    named = (module if module in packages[module] else packages[module][0] for module in modules)
    return {name: version(name) for name in named}


def log_frame(frame: pd.DataFrame, name: str) -> None:
    """A table of the run that is going on, as CSV or Parquet by its name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if path.suffix == ".parquet":
            frame.to_parquet(path, index=False)
        else:
            frame.to_csv(path, index=False)
        mlflow.log_artifact(str(path))


def logged_frame(client: MlflowClient, tracking_run: str, name: str) -> pd.DataFrame:
    """A table that an earlier run logged, Parquet or CSV by its name."""
    with tempfile.TemporaryDirectory() as folder:
        path = client.download_artifacts(tracking_run, name, folder)
        return pd.read_parquet(path) if name.endswith(".parquet") else pd.read_csv(path)
