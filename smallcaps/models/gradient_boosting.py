"""Gradient-boosted trees (Chen and Guestrin 2016), grown by `xgboost.spark` in as many tasks as their events are worth."""

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from pyspark.sql import functions as F

from smallcaps.config.settings import ModelSettings
from smallcaps.models.event_model import Calibrated, Floats, calibrated
from smallcaps.models.past import BETWEEN, FIT, HELD_OUT, Past
from smallcaps.spark import task_slots, workers_of

NOT_KNOWN = float("nan")
MOST_ROWS = 200_000
"""Calibration looks at so many held-out events at most, drawn by event_id."""


@dataclass(frozen=True)
class Trees:
    """The first `rounds` trees of a booster."""

    booster: xgboost.Booster
    rounds: int

    def margins(self, inputs: Floats) -> Floats:
        """See Classifier."""
        found = self.booster.inplace_predict(
            inputs, iteration_range=(0, self.rounds), predict_type="margin", missing=NOT_KNOWN
        )
        return np.asarray(found, dtype=np.float64)

    def contributions(self, inputs: Floats) -> Floats:
        """See Classifier."""
        rows = xgboost.DMatrix(inputs, missing=NOT_KNOWN, feature_names=self.booster.feature_names)
        found = self.booster.predict(rows, pred_contribs=True, iteration_range=(0, self.rounds))
        return np.asarray(found[:, :-1], dtype=np.float64)


def fit(past: Past, settings: ModelSettings) -> dict[str, Calibrated]:
    """Trees for each target. What is held out says when to stop and calibrates; then as many trees are grown on all of the past.

    Raises BadInput where more workers are asked for than Spark has task slots.
    """
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    spark = past.rows.sparkSession
    workers = workers_of(spark, settings.workers, -(-past.events // settings.events_per_worker))
    held_out = past.sample(MOST_ROWS, HELD_OUT)
    with ThreadPoolExecutor(max(1, task_slots(spark) // workers)) as pool:
        found = pool.map(lambda target: _fit_target(past, held_out, target, settings, workers), past.targets)
        return dict(zip(past.targets, found, strict=True))


def _fit_target(past: Past, held_out: pd.DataFrame, target: str, settings: ModelSettings, workers: int) -> Calibrated:
    options = dict(settings.gradient_boosting)
    patience = options.pop("early_stopping_rounds")
    stopping = {"early_stopping_rounds": patience, "validation_indicator_col": "is_held_out"}
    trial = _grow(past, target, settings.seed, workers, options | stopping, f"part <> '{BETWEEN}'")
    trial = Trees(trial.booster, trial.booster.best_iteration + 1)
    inputs, happened = (held_out[names].to_numpy(dtype=np.float64) for names in (list(past.names), target))
    scale = calibrated(trial, inputs, happened)
    grown = _grow(past, target, settings.seed, workers, options | {"n_estimators": trial.rounds}, "true")
    return Calibrated(grown, scale.slope, scale.intercept)


def _grow(past: Past, target: str, seed: int, workers: int, options: Mapping[str, Any], condition: str) -> Trees:
    from xgboost.spark import SparkXGBClassifier

    rows = past.rows.where(condition).select(
        *past.names,
        F.col(target).alias("happened"),
        past.weight(target).alias("fit_weight"),
        (F.col("part") != FIT).alias("is_held_out"),
        "event_id",
    )
    classifier = SparkXGBClassifier(
        features_col=list(past.names),
        label_col="happened",
        weight_col="fit_weight",
        num_workers=workers,
        seed=seed,
        missing=NOT_KNOWN,
        verbosity=0,
        verbose=False,
        **options,
    )
    # A total order before each worker reads its rows: the same rows give the same trees.
    fitted = classifier.fit(rows.repartition(workers, "event_id").sortWithinPartitions("event_id"))
    booster = fitted.get_booster()
    return Trees(booster, booster.num_boosted_rounds())
