"""Training for real: on a small lake with a planted signal, with shuffled labels, with a planted leak.

Four trainings of two folds, each logged to MLflow in a SQLite file of the lake.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.tracking import MlflowClient
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, last_runs
from smallcaps.models import dataset
from smallcaps.models.dataset import feature_names, training_set
from smallcaps.models.evaluation import area_under_curve
from smallcaps.models.gradient_boosting import DAILY_DETECTORS, NAME, Trained, tracking_uri, train
from smallcaps.models.walk_forward import walk_forward
from tests.models.world import EVENTS_A_SESSION, SESSIONS, shuffled, world, write, write_labels

pytestmark = pytest.mark.slow

BOOSTER = {"n_estimators": 15, "max_depth": 2, "learning_rate": 0.3, "min_child_weight": 5}
PLAUSIBLE_AUC = 0.95
"""No honest model of market data gets there: beyond it an input knows the outcome."""


@dataclass(frozen=True)
class Outcome:
    trained: Trained
    predictions: pd.DataFrame


@pytest.fixture(scope="module")
def small(settings: Settings) -> Settings:
    """Two folds of twenty sessions, 15 small trees."""
    model = settings.model.model_copy(
        update={
            "folds": 2,
            "embargo_sessions": 5,
            "minimum_training_events": 60,
            "bootstrap_samples": 40,
            "booster": BOOSTER,
        }
    )
    return settings.model_copy(update={"model": model, "tracking_uri": None})


@pytest.fixture(scope="module")
def own_lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """The lake of this module: training is dear."""
    yield Lake(str(tmp_path_factory.mktemp("models") / "lake"), spark)
    mlflow.set_tracking_uri(None)
    for layer in ("silver", "gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def trained_on(lake: Lake, settings: Settings) -> Outcome:
    trained = train(lake, settings)
    return Outcome(trained, lake.read("gold.predictions").toPandas().sort_values("event_id", ignore_index=True))


@pytest.fixture(scope="module")
def twice(own_lake: Lake, spark: SparkSession, small: Settings) -> tuple[Outcome, Outcome]:
    """Trained on the signal, and again."""
    write(own_lake, spark, *world())
    return trained_on(own_lake, small), trained_on(own_lake, small)


@pytest.fixture(scope="module")
def leaked(own_lake: Lake, small: Settings, twice: tuple[Outcome, Outcome]) -> Outcome:
    """Trained on the same tables with the outcome among the inputs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dataset.FEATURES, "leak", "vwap_distance")
        return trained_on(own_lake, small)


@pytest.fixture(scope="module")
def dealt_anew(own_lake: Lake, spark: SparkSession, small: Settings, leaked: Outcome) -> Outcome:
    """Trained with the labels shuffled; after all others, since it rewrites them."""
    write_labels(own_lake, spark, shuffled(world()[1]))
    return trained_on(own_lake, small)


@pytest.fixture(scope="module")
def signal(twice: tuple[Outcome, Outcome]) -> Outcome:
    return twice[0]


@pytest.fixture(scope="module")
def run(twice: tuple[Outcome, Outcome], own_lake: Lake, small: Settings) -> mlflow.entities.Run:
    """The MLflow run of the first training."""
    return MlflowClient(tracking_uri(small, own_lake)).get_run(twice[0].trained.tracking_run)


def artifact(run: mlflow.entities.Run, name: str) -> dict:
    return json.loads((Path(run.info.artifact_uri) / name).read_text(encoding="utf-8"))


def refuse_implausible(auc: float) -> None:
    """The gate: what is too good is a leak."""
    assert auc < PLAUSIBLE_AUC, f"AUC {auc:.3f}: an input knows the outcome"


def test_a_planted_signal_is_found_out_of_sample(signal: Outcome) -> None:
    auc = signal.trained.metrics["auc"]
    # Strength alone, perfectly read, gives P(pair in order) = 0.85² + 0.85·0.15 = 0.85 (equal halves, ties half).
    assert 0.5 < auc.low < auc.value < auc.high
    assert 0.7 < auc.value < 0.9
    assert signal.trained.metrics["log_loss_skill"].low > 0
    refuse_implausible(auc.value)


def test_every_event_after_the_first_stretch_is_scored_once_by_a_fold_that_could(signal: Outcome) -> None:
    predictions = signal.predictions
    first, second = walk_forward([session["session_number"] for session in SESSIONS], 2, 5)
    numbers = {session["session_date"]: session["session_number"] for session in SESSIONS}
    tested = predictions["session_date"].map(numbers)
    assert predictions["event_id"].is_unique
    assert len(predictions) == signal.trained.events == 40 * EVENTS_A_SESSION
    assert ((tested >= first.test_first) & (tested <= first.test_last)).equals(predictions["fold"] == 1)
    assert ((tested >= second.test_first) & (tested <= second.test_last)).equals(predictions["fold"] == 2)
    # The base rate is that of the fold's training rows: label ends (5 sessions on) before the test less the embargo.
    events, labels = world()
    for fold in (first, second):
        past = [
            label["outcome"] == "continuation"
            for event, label in zip(events, labels, strict=True)
            if numbers[event["session_date"]] + 5 < fold.test_first - 5
        ]
        # 20 or 40 sessions less the last ten.
        assert len(past) == (20 * fold.number - 10) * EVENTS_A_SESSION
        base_rates = predictions.loc[predictions["fold"] == fold.number, "base_rate"].unique()
        assert base_rates.tolist() == pytest.approx([np.mean(past)])


def test_predictions_say_what_really_came(signal: Outcome) -> None:
    events, labels = world()
    came = {label["event_id"]: int(label["outcome"] == "continuation") for label in labels}
    event_of = {event["event_id"]: event for event in events}
    predictions = signal.predictions
    assert list(predictions["continued"]) == [came[event_id] for event_id in predictions["event_id"]]
    for column in ("symbol", "session_date", "detector"):
        assert list(predictions[column]) == [event_of[event_id][column] for event_id in predictions["event_id"]]
    assert set(predictions["model"]) == {NAME}
    assert predictions["probability"].between(0, 1, inclusive="neither").all()
    assert signal.trained.base_rate == pytest.approx(predictions["continued"].mean())
    assert signal.trained.metrics["auc"].value == pytest.approx(area_under_curve(predictions))


def test_training_twice_leaves_the_same_predictions(twice: tuple[Outcome, Outcome]) -> None:
    one, other = (outcome.predictions.drop(columns=["run_id", "tracking_run"]) for outcome in twice)
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    first, second = (outcome.trained for outcome in twice)
    assert first.metrics == second.metrics
    assert first.tracking_run != second.tracking_run
    assert [set(outcome.predictions["tracking_run"]) for outcome in twice] == [
        {first.tracking_run},
        {second.tracking_run},
    ]


def test_the_run_is_logged_with_its_parameters_and_metrics(
    run: mlflow.entities.Run, signal: Outcome, small: Settings
) -> None:
    assert run.info.status == "FINISHED"
    expected = {
        "folds": 2,
        "embargo_sessions": 5,
        "barrier_width": 1.0,
        "horizon": "5d",
        "seed": small.model.seed,
        **BOOSTER,
    }
    expected |= {"minimum_training_events": 60, "bootstrap_samples": 40, "settings_hash": small.digest()}
    assert run.data.params == {name: str(value) for name, value in expected.items()}
    for name, estimate in signal.trained.metrics.items():
        logged = [run.data.metrics[key] for key in (name, f"{name}_low", f"{name}_high")]
        assert logged == pytest.approx([estimate.value, estimate.low, estimate.high])
    assert run.data.metrics["events"] == signal.trained.events
    assert run.data.metrics["base_rate"] == pytest.approx(signal.trained.base_rate)


def test_each_folds_auc_is_logged_under_its_number(
    run: mlflow.entities.Run, signal: Outcome, own_lake: Lake, small: Settings
) -> None:
    history = MlflowClient(tracking_uri(small, own_lake)).get_metric_history(run.info.run_id, "fold_auc")
    expected = {fold: area_under_curve(rows) for fold, rows in signal.predictions.groupby("fold")}
    assert {metric.step: metric.value for metric in history} == pytest.approx(expected)


def test_the_run_names_the_versions_of_the_tables_it_came_from(run: mlflow.entities.Run, own_lake: Lake) -> None:
    versions = artifact(run, "input_versions.json")
    assert set(versions) == {"gold.events", "gold.event_labels", "silver.calendar"}
    # The versions still hold what the world was: the tables as first written.
    assert own_lake.read("gold.events", versions["gold.events"]).count() == len(SESSIONS) * EVENTS_A_SESSION
    recorded = {row["run_id"]: row for row in last_runs(own_lake, ["train"])}[run.data.tags["smallcaps.run_id"]]
    assert {one["table"]: one["version"] for one in recorded["inputs"]} == versions
    assert recorded["outcome"] == "succeeded"
    assert "AUC" in recorded["message"]
    assert run.data.tags["smallcaps.code_version"] == recorded["code_version"]


def test_the_folds_are_logged(run: mlflow.entities.Run) -> None:
    expected = walk_forward([session["session_number"] for session in SESSIONS], 2, 5)
    assert artifact(run, "folds.json") == {"folds": [vars(fold) for fold in expected]}


def test_the_logged_model_gives_the_last_folds_probabilities(
    run: mlflow.entities.Run, signal: Outcome, own_lake: Lake, small: Settings
) -> None:
    mlflow.set_tracking_uri(tracking_uri(small, own_lake))
    booster = mlflow.xgboost.load_model(f"runs:/{run.info.run_id}/model")
    assert isinstance(booster, xgboost.Booster)
    versions = artifact(run, "input_versions.json")
    events, labels, calendar = (
        own_lake.read(name, versions[name]) for name in ("gold.events", "gold.event_labels", "silver.calendar")
    )
    inputs = training_set(events, labels, calendar, small.model, DAILY_DETECTORS).toPandas().set_index("event_id")
    last = signal.predictions[signal.predictions["fold"] == 2]
    values = inputs.loc[last["event_id"], feature_names(DAILY_DETECTORS)].to_numpy(dtype=np.float32)
    again = booster.predict(xgboost.DMatrix(values, feature_names=booster.feature_names))
    assert again == pytest.approx(last["probability"].to_numpy(), abs=1e-6)


def test_a_planted_leak_drives_the_auc_to_one_and_is_refused(leaked: Outcome) -> None:
    auc = leaked.trained.metrics["auc"].value
    assert auc > 0.99
    with pytest.raises(AssertionError, match="an input knows the outcome"):
        refuse_implausible(auc)


def test_shuffled_labels_bring_the_auc_back_to_one_half(dealt_anew: Outcome) -> None:
    auc = dealt_anew.trained.metrics["auc"]
    assert auc.low < 0.5 < auc.high
    assert abs(auc.value - 0.5) < 0.1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"folds": 60}, "60 sessions with labelled events cannot make 60 folds"),
        ({"minimum_training_events": 10_000}, "No fold has 10000"),
    ],
)
def test_too_little_to_train_on_is_told_and_leaves_earlier_predictions(
    changed: dict, message: str, own_lake: Lake, small: Settings, dealt_anew: Outcome
) -> None:
    before = own_lake.version("gold.predictions")
    settings = small.model_copy(update={"model": small.model.model_copy(update=changed)})
    with pytest.raises(BadInput, match=message):
        train(own_lake, settings)
    assert own_lake.version("gold.predictions") == before
    assert last_runs(own_lake, ["train"], limit=1)[0]["outcome"] == "failed"


def test_a_lake_on_s3_needs_a_tracking_server(own_lake: Lake, small: Settings) -> None:
    remote = Lake.__new__(Lake)
    remote.root = "s3a://bucket/lake"
    with pytest.raises(BadInput, match="SMALLCAPS_TRACKING_URI"):
        tracking_uri(small, remote)
    assert tracking_uri(small.model_copy(update={"tracking_uri": "http://mlflow:5000"}), remote) == "http://mlflow:5000"
