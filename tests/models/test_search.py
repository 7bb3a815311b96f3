"""The search for parameters, for real: trials in tasks of Spark, each a run of MLflow, on what lies before the first fold."""

from collections.abc import Iterator

import mlflow
import numpy as np
import pytest
from mlflow.tracking import MlflowClient
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.models.past import HELD_OUT
from smallcaps.models.search import ALGORITHM, Objective, search
from smallcaps.models.training import Walk
from tests.microstructure.tables import as_table
from tests.models.world import SESSIONS

pytestmark = pytest.mark.slow

NAMES = ["signal", "noise"]
EVENTS_A_SESSION = 12
FIRST_NUMBER = SESSIONS[0]["session_number"]
FOLDS = [
    {"number": 1, "train_before": FIRST_NUMBER + 30, "test_first": FIRST_NUMBER + 30, "test_last": FIRST_NUMBER + 44},
    {"number": 2, "train_before": FIRST_NUMBER + 45, "test_first": FIRST_NUMBER + 45, "test_last": FIRST_NUMBER + 59},
]


@pytest.fixture(scope="module")
def small(settings: Settings) -> Settings:
    options = {**settings.models.gradient_boosting, "n_estimators": 60, "learning_rate": 0.0005}
    models = settings.models.model_copy(update={"gradient_boosting": options, "minimum_training_events": 100})
    return settings.model_copy(update={"models": models, "tracking_uri": None})


@pytest.fixture(scope="module")
def own_lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, small: Settings) -> Iterator[Lake]:
    """A frozen dataset whose signal tells the outcome with probability 0.75."""
    lake, random = Lake(str(tmp_path_factory.mktemp("search") / "lake"), spark), np.random.default_rng(3)
    rows = []
    for session in SESSIONS:
        for place in range(EVENTS_A_SESSION):
            signal = float(random.normal())
            continues = bool(random.random() < (0.75 if signal > 0 else 0.25))
            rows.append(
                {
                    "dataset": "small",
                    "event_id": f"{session['session_number']}-{place:02d}",
                    "symbol": f"S{place}",
                    "session_date": session["session_date"],
                    "detector": "gap",
                    "known_at": session["close_at"],
                    "session_number": session["session_number"],
                    "label_session": session["session_number"],
                    "outcome": "continuation" if continues else "reversal",
                    "return": 0.0,
                    "gave_back": bool(random.random() < 0.5),
                    "halted": False,
                    "uniqueness": 1.0,
                    "is_core": False,
                    "fold": None,
                    "inputs": [signal, float(random.normal())],
                    "sequence": None,
                }
            )
    lake.replace("gold.dataset_rows", as_table(spark, "gold.dataset_rows", rows), None, "test")
    kept = {
        "dataset": "small",
        "definition": small.datasets["daily"].model_dump_json(),
        "first_day": SESSIONS[0]["session_date"],
        "last_day": SESSIONS[-1]["session_date"],
        "input_names": NAMES,
        "sequence_names": [],
        "folds": FOLDS,
        "input_versions": {},
        "rows": len(rows),
        "content_hash": "0",
        "code_version": "0",
        "settings_hash": "0",
    }
    lake.replace("gold.datasets", as_table(spark, "gold.datasets", [kept]), None, "test")
    yield lake
    mlflow.set_tracking_uri(None)
    for layer in ("gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def test_better_parameters_are_found_every_trial_is_logged_and_the_same_seed_finds_the_same(
    own_lake: Lake, small: Settings
) -> None:
    found = search(own_lake, small, "small", 8)
    # With the settings' own it hardly learns.
    assert found.loss < found.loss_of_settings
    client = MlflowClient()
    (experiment,) = [one for one in client.search_experiments() if one.name == "daily_5d_1atr"]
    runs = client.search_runs([experiment.experiment_id], f"tags.mlflow.parentRunId = '{found.tracking_run}'")
    assert sorted(run.info.run_name for run in runs) == sorted(f"trial {number}" for number in range(8))
    losses = [run.data.metrics["held_out_loss"] for run in runs]
    assert min(losses) == found.loss
    best = next(run for run in runs if run.data.metrics["held_out_loss"] == found.loss)
    assert {name: float(value) for name, value in best.data.params.items()} == pytest.approx(found.parameters)
    parent = client.get_run(found.tracking_run)
    assert (parent.data.params["trials"], parent.data.params["dataset"]) == ("8", "small")
    again = search(own_lake, small, "small", 8)
    assert (again.parameters, again.loss) == (found.parameters, found.loss)


def test_nothing_from_the_first_fold_on_is_looked_at(own_lake: Lake, small: Settings, spark: SparkSession) -> None:
    """Outcomes turned round from the first fold on change no loss."""
    rows = own_lake.read("gold.dataset_rows")
    kept = own_lake.read("gold.datasets").collect()[0].asDict(recursive=True)
    turned = F.expr("IF(outcome = 'reversal', 'continuation', 'reversal')")
    later = F.col("session_number") >= FOLDS[0]["test_first"]
    other = rows.withColumn("outcome", F.when(later, turned).otherwise(F.col("outcome")))
    losses = []
    for one in (rows, other):
        past = Walk(one, kept, small.models, "scratch").past(ALGORITHM, FOLDS[0]["train_before"])
        assert past is not None
        last = past.rows.where(F.col("part") == HELD_OUT).agg(F.max("session_number")).collect()[0][0]
        assert last < FOLDS[0]["test_first"]
        losses.append(Objective(past, small)({"max_depth": 3}))
    assert losses[0] == losses[1]


def test_too_few_events_are_told(own_lake: Lake, small: Settings) -> None:
    models = small.models.model_copy(update={"minimum_training_events": 10_000})
    with pytest.raises(BadInput, match="small has too few events before each of its folds"):
        search(own_lake, small.model_copy(update={"models": models}), "small", 2)
