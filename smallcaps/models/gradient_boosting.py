"""The first model: gradient-boosted trees on the daily events, walk-forward, logged to MLflow.

1. Join events and labels to one row an event. 2. For each fold, fit `xgboost.spark` on the past and score the next stretch.
3. Write the out-of-sample probabilities, evaluate them with intervals beside the base rate, log it all with the versions
of the tables it came from.
"""

import logging
import os
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import ModelSettings
from smallcaps.errors import BadData, BadInput
from smallcaps.lake import Lake, Run, recorded_run
from smallcaps.models.dataset import feature_names, training_set
from smallcaps.models.evaluation import Estimate, area_under_curve, evaluate
from smallcaps.models.walk_forward import Fold, folds_of
from smallcaps.version import code_version

NAME = "daily_continuation"
DAILY_DETECTORS = ["atr_breakout", "flush_reversal", "gap", "range_explosion"]


@dataclass(frozen=True)
class Trained:
    """What training came to: the MLflow run, out-of-sample events and the metrics."""

    tracking_run: str
    events: int
    base_rate: float
    metrics: dict[str, Estimate]

    def __str__(self) -> str:
        auc = self.metrics["auc"]
        return f"AUC {auc.value:.3f} ({auc.low:.3f}–{auc.high:.3f}) over {self.events:,} events"


def train(lake: Lake, settings: Settings) -> Trained:
    """Train, score out of sample, replace the model's rows of gold.predictions, log to MLflow.

    Raises BadInput where there is nothing labelled. Needs the extra `models`.
    """
    with recorded_run(lake, "train", {"model": NAME}, settings.digest()) as run:
        rows = training_set(
            run.read("gold.events"),
            run.read("gold.event_labels"),
            run.read("silver.calendar"),
            settings.model,
            DAILY_DETECTORS,
        ).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            folds = folds_of(rows, settings.model.folds, settings.model.embargo_sessions)
            scored, booster = _walk(rows, folds, settings.model)
        finally:
            rows.unpersist()
        metrics = evaluate(scored, settings.model.bootstrap_samples, settings.model.seed)
        tracking_run = _log(run, settings, scored, metrics, folds, booster)
        scored["tracking_run"] = tracking_run
        _write(run, scored)
        trained = Trained(tracking_run, len(scored), float(scored["continued"].mean()), metrics)
        run.note = str(trained)
        return trained


def _walk(rows: DataFrame, folds: list[Fold], model: ModelSettings) -> tuple[pd.DataFrame, Any]:
    """Out-of-sample rows of every fold that has enough to train on, and the last fold's booster."""
    from xgboost.spark import SparkXGBClassifier

    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    names = feature_names(DAILY_DETECTORS)
    parts, booster = [], None
    options: dict[str, Any] = {
        **model.booster,
        "seed": model.seed,
        "missing": float("nan"),
        "verbosity": 0,
        "verbose": False,
    }
    for fold in folds:
        past = rows.where(F.col("label_session") < fold.train_before)
        counts = past.agg(F.count("*"), F.avg("continued")).collect()[0]
        if counts[0] < model.minimum_training_events:
            continue
        classifier = SparkXGBClassifier(
            features_col=names,
            label_col="continued",
            num_workers=1,
            **options,
        )
        # A total order before one worker reads the rows: the same rows give the same trees.
        fitted = classifier.fit(
            past.select(*names, "continued", "event_id").repartition(1).sortWithinPartitions("event_id")
        )
        booster = fitted.get_booster()
        tested = rows.where(F.col("session_number").between(fold.test_first, fold.test_last))
        columns = ["event_id", "symbol", "session_date", "detector", "continued"]
        scores = fitted.transform(tested).select(*columns, "probability").toPandas()
        scores["probability"] = [float(vector[1]) for vector in scores["probability"]]
        parts.append(scores.assign(fold=fold.number, base_rate=float(counts[1])))
    if not parts:
        raise BadInput(
            f"No fold has {model.minimum_training_events} labelled events before it. Run `smallcaps label` over more days."
        )
    return pd.concat(parts, ignore_index=True).sort_values("event_id", ignore_index=True), booster


def _write(run: Run, scored: pd.DataFrame) -> None:
    schema = (
        "event_id string, symbol string, session_date date, detector string, model string, fold int, probability double, "
        "continued int, base_rate double, tracking_run string"
    )
    columns = [part.split()[0] for part in schema.split(", ")]
    frame = run.lake.spark.createDataFrame(scored.assign(model=NAME)[columns], schema)
    written = run.replace("gold.predictions", frame, f"model = '{NAME}'").rows
    if written != len(scored):
        raise BadData(f"{len(scored)} predictions were made and {written} written.")


def tracking_uri(settings: Settings, lake: Lake) -> str:
    """Where MLflow writes: the setting, else a SQLite file in a lake on the local disk."""
    if settings.tracking_uri is not None:
        return settings.tracking_uri
    if "://" in lake.root:
        raise BadInput("A lake on S3 needs an MLflow server: set SMALLCAPS_TRACKING_URI.")
    os.makedirs(f"{lake.root}/mlflow", exist_ok=True)
    return f"sqlite:///{lake.root}/mlflow/mlflow.db"


def _log(
    run: Run,
    settings: Settings,
    scored: pd.DataFrame,
    metrics: dict[str, Estimate],
    folds: list[Fold],
    booster: Any,
) -> str:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow
    import mlflow.xgboost

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    uri = tracking_uri(settings, run.lake)
    mlflow.set_tracking_uri(uri)
    if mlflow.get_experiment_by_name(NAME) is None:
        local = uri.startswith("sqlite:///")
        mlflow.create_experiment(NAME, artifact_location=f"{run.lake.root}/mlflow/artifacts" if local else None)
    mlflow.set_experiment(NAME)
    with mlflow.start_run() as logged:
        mlflow.set_tags({"smallcaps.run_id": run.run_id, "smallcaps.code_version": code_version()})
        mlflow.log_params({**settings.model.model_dump(exclude={"booster"}), **settings.model.booster})
        mlflow.log_param("settings_hash", settings.digest())
        for name, estimate in metrics.items():
            mlflow.log_metrics({name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high})
        mlflow.log_metrics({"events": len(scored), "base_rate": float(scored["continued"].mean())})
        for number, rows in scored.groupby("fold"):
            mlflow.log_metric("fold_auc", area_under_curve(rows), step=int(str(number)))
        mlflow.log_dict(dict(run.inputs), "input_versions.json")
        mlflow.log_dict({"folds": [vars(fold) for fold in folds]}, "folds.json")
        mlflow.xgboost.log_model(booster, name="model", pip_requirements=["xgboost"])
        return str(logged.info.run_id)
